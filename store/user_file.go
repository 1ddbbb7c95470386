package store

import "context"

// rowsAtOnce keeps an INSERT of people or grants below the parameter limits
// of both databases.
const rowsAtOnce = 500

// AddressHolder is who has an e-mail address.
type AddressHolder struct {
	Key     string `db:"email_key"`
	ID      string `db:"id"`
	Deleted Micros `db:"delete_time"` // the address is reserved
}

// AddressHolders returns who of an organization has which of the addresses,
// deleted people included. There may be rowsAtOnce keys and more.
func (r Reads) AddressHolders(ctx context.Context, org string, keys []string) (holders []AddressHolder, err error) {
	if len(keys) == 0 {
		return nil, nil
	}
	err = r.in(ctx, &holders, `SELECT email_key, id, delete_time FROM users WHERE organization_id = ? AND email_key IN (?)`, org, keys)
	return holders, err
}

// FindAll looks several entries of a kind up.
func (r Reads) FindAll(ctx context.Context, kind string, keys []string) (entries []Entry, err error) {
	if len(keys) == 0 {
		return nil, nil
	}
	err = r.in(ctx, &entries, `SELECT kind, key, organization_id, id FROM directory WHERE kind = ? AND key IN (?)`, kind, keys)
	return entries, err
}

// EnlistFree adds those of the entries whose keys are free, in the order of
// their keys; FindAll tells which.
func (w writes) EnlistFree(ctx context.Context, entries []Entry) error {
	sortEntries(entries)
	return inParts(entries, func(part []Entry) error {
		return insertAll(ctx, w, `INSERT INTO directory (kind, key, organization_id, id)
			VALUES (:kind, :key, :organization_id, :id) ON CONFLICT (kind, key) DO NOTHING`, part)
	})
}

// AddUsers adds people of one organization whose addresses are free.
func (t *Tx) AddUsers(ctx context.Context, users []User) error {
	for _, u := range users {
		t.countUser(u, 1)
	}
	return inParts(users, func(part []User) error { return insertAll(ctx, t.writes, insertUsers, part) })
}

// AddGrants assigns to people who are new.
func (t *Tx) AddGrants(ctx context.Context, grants []Grant) error {
	return inParts(grants, func(part []Grant) error {
		return insertAll(ctx, t.writes, `
			INSERT INTO grants (`+grantColumns+`)
			VALUES (:organization_id, :principal_id, :role_id, :permission_key, :expire_time, :create_time, :created_by)`, part)
	})
}

// inParts does something with rowsAtOnce rows at a time.
func inParts[R any](rows []R, do func([]R) error) error {
	for len(rows) > 0 {
		n := min(len(rows), rowsAtOnce)
		if err := do(rows[:n]); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}
