package store

import "context"

// Link is the one-time link of a person: one at a time, found by the digest of
// its token. It is good for the address and the epoch that it was made for.
type Link struct {
	Org      string `db:"organization_id"`
	User     string `db:"user_id"`
	Digest   string `db:"digest"`
	EmailKey string `db:"email_key"`
	Epoch    Micros `db:"epoch"`
	Created  Micros `db:"create_time"`
	Expires  Micros `db:"expire_time"`
	Spent    Micros `db:"spend_time"`
}

const linkColumns = `organization_id, user_id, digest, email_key, epoch, create_time, expire_time, spend_time`

// linksAtOnce keeps an INSERT below the parameter limits of both databases.
const linksAtOnce = 500

// PutLinks adds links, each in place of the one that its person had.
func (w writes) PutLinks(ctx context.Context, links ...Link) error {
	for len(links) > 0 {
		n := min(len(links), linksAtOnce)
		err := later(ctx, w, "links", `
			INSERT INTO links (`+linkColumns+`)
			VALUES (:organization_id, :user_id, :digest, :email_key, :epoch, :create_time, :expire_time, :spend_time)
			ON CONFLICT (organization_id, user_id) DO UPDATE SET digest = excluded.digest, email_key = excluded.email_key,
				epoch = excluded.epoch, create_time = excluded.create_time, expire_time = excluded.expire_time, spend_time = 0`, links[:n])
		if err != nil {
			return err
		}
		links = links[n:]
	}
	return nil
}

// OpenLink returns a link that is neither spent nor expired.
func (r Reads) OpenLink(ctx context.Context, digest string, now Micros) (l Link, err error) {
	err = r.one(ctx, &l, `SELECT `+linkColumns+` FROM links WHERE digest = ? AND spend_time = 0 AND expire_time > ?`, digest, now)
	return l, err
}

// SpendLink uses a link up. Of any number of simultaneous callers one
// succeeds; the others get ErrNotFound.
func (t *Tx) SpendLink(ctx context.Context, digest string, now Micros) error {
	return t.must(ctx, `UPDATE links SET spend_time = ? WHERE digest = ? AND spend_time = 0 AND expire_time > ?`, now, digest, now)
}
