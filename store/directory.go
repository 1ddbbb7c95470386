package store

import (
	"context"
	"slices"
	"strings"
)

// Kinds of directory entries.
const (
	ConfirmedEmail = "email"
	ClientID       = "client"
	SessionID      = "session"
)

// Entry says where a thing is that is asked for without its organization.
type Entry struct {
	Kind string `db:"kind"`
	Key  string `db:"key"`
	Org  string `db:"organization_id"`
	ID   string `db:"id"`
}

// Find looks an entry up.
func (r Reads) Find(ctx context.Context, kind, key string) (e Entry, err error) {
	err = r.one(ctx, &e, `SELECT kind, key, organization_id, id FROM directory WHERE kind = ? AND key = ?`, kind, key)
	return e, err
}

// Enlist adds entries, in the order of their keys, so that two changes never
// wait for each other crosswise. A key that is taken is ErrExists.
func (w writes) Enlist(ctx context.Context, entries ...Entry) error {
	sortEntries(entries)
	for _, e := range entries {
		err := w.insert(ctx, `INSERT INTO directory (kind, key, organization_id, id) VALUES (:kind, :key, :organization_id, :id)`, e)
		if err != nil {
			return err
		}
	}
	return nil
}

func sortEntries(entries []Entry) {
	slices.SortFunc(entries, func(a, b Entry) int {
		return strings.Compare(a.Kind+"\x00"+a.Key, b.Kind+"\x00"+b.Key)
	})
}

// Delist removes an entry, if it is that of the thing.
func (w writes) Delist(ctx context.Context, kind, key, id string) error {
	_, err := w.exec(ctx, `DELETE FROM directory WHERE kind = ? AND key = ? AND id = ?`, kind, key, id)
	return err
}

// EmailHolder is who has an e-mail address.
type EmailHolder struct {
	Here      string `db:"here"`      // id of the user of the organization, deleted ones too; empty: none
	Elsewhere bool   `db:"elsewhere"` // a user of another organization has confirmed it
}

// Taken tells whether anybody has it.
func (h EmailHolder) Taken() bool { return h.Here != "" || h.Elsewhere }

// EmailHolder returns who has an address, passing over one user of the organization.
func (r Reads) EmailHolder(ctx context.Context, org, key, but string) (h EmailHolder, err error) {
	err = r.one(ctx, &h, `SELECT
		COALESCE((SELECT CAST(id AS TEXT) FROM users WHERE organization_id = ? AND email_key = ? AND id <> ?), '') AS here,
		(SELECT COUNT(*) FROM directory WHERE kind = 'email' AND key = ? AND organization_id <> ?) > 0 AS elsewhere`,
		org, key, but, key, org)
	return h, err
}

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

// Link returns a link that has not expired, spent or not.
func (r Reads) Link(ctx context.Context, digest string, now Micros) (l Link, err error) {
	err = r.one(ctx, &l, `SELECT `+linkColumns+` FROM links WHERE digest = ? AND expire_time > ?`, digest, now)
	return l, err
}

// LinkOf returns the last link of a user.
func (r Reads) LinkOf(ctx context.Context, org, user string) (l Link, err error) {
	err = r.one(ctx, &l, `SELECT `+linkColumns+` FROM links WHERE organization_id = ? AND user_id = ?`, org, user)
	return l, err
}

// OpenLinks returns which of the users to whom messages go have a link that they can
// follow now: neither spent nor expired, and for the user as they are. Of each link it
// tells whose it is and when it was made.
func (r Reads) OpenLinks(ctx context.Context, messages []Message, now Micros) (open []Link, err error) {
	users := make([]Message, len(messages))
	for i, m := range messages {
		users[i] = Message{Org: m.Org, ID: m.Principal}
	}
	these, args := rowsOf(users)
	err = r.all(ctx, &open, `
		SELECT l.organization_id, l.user_id, l.create_time FROM (SELECT * FROM users WHERE `+these+`) AS u
		JOIN links l ON l.organization_id = u.organization_id AND l.user_id = u.id
		WHERE l.spend_time = 0 AND l.expire_time > ? AND l.email_key = u.email_key AND l.epoch = u.epoch
			AND u.enabled AND u.delete_time = 0 AND (NOT u.confirmed OR u.password_hash = '')`, append(args, now)...)
	return open, err
}

// SpendLink uses a link up. Of any number of simultaneous callers one
// succeeds; the others get ErrNotFound.
func (t *Tx) SpendLink(ctx context.Context, digest string, now Micros) error {
	return t.must(ctx, `UPDATE links SET spend_time = ? WHERE digest = ? AND spend_time = 0 AND expire_time > ?`, now, digest, now)
}
