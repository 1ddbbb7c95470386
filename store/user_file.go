package store

import (
	"context"
	"strings"
)

// rowsAtOnce keeps an INSERT of people or grants below the parameter limits
// of both databases.
const rowsAtOnce = 500

// AddressHolder is the user of an organization who has an e-mail address. That of a
// deleted user stays reserved.
type AddressHolder struct {
	Key, ID string
	Deleted bool
}

// AddressHolders returns who of an organization has which of the addresses. It
// looks each of them up by itself: for a list of a thousand PostgreSQL also
// thinks of the index for searching parts of addresses, which takes seconds.
func (r Reads) AddressHolders(ctx context.Context, org string, keys []string) (holders []AddressHolder, err error) {
	if len(keys) == 0 {
		return nil, nil
	}
	args, keys := []any{org}, filledUp(keys)
	for _, key := range keys {
		args = append(args, key)
	}
	var found []struct {
		Key   string  `db:"column1"`
		Found *string `db:"found"` // the id, behind a 1 where the user is deleted and a 0 otherwise
	}
	err = r.all(ctx, &found, `
		SELECT column1, (
			SELECT CASE WHEN delete_time = 0 THEN '0' ELSE '1' END || CAST(id AS TEXT) FROM users
			WHERE organization_id = ? AND email_key = column1) AS found
		FROM (VALUES (?)`+strings.Repeat(`, (?)`, len(keys)-1)+`) AS wanted`, args...)
	for _, f := range found {
		if f.Found != nil {
			holders = append(holders, AddressHolder{Key: f.Key, ID: (*f.Found)[1:], Deleted: (*f.Found)[0] == '1'})
		}
	}
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

// Analyze has PostgreSQL count people and grants again, after a change of so
// many that its plans are for another table. By itself it does so a minute
// later, and until then looks grants of a page up by reading all of them.
// SQLite's plans do not depend on how many rows there are.
func (s *Store) Analyze(ctx context.Context) error {
	if s.dialect == "sqlite" {
		return nil
	}
	return s.Short(ctx, func(t *ShortTx) error {
		_, err := t.exec(ctx, `ANALYZE users, grants`)
		return err
	})
}
