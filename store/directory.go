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

// EmailTaken tells whether an address is that of anybody in the organization,
// or confirmed anywhere, but for one person of the organization.
func (r Reads) EmailTaken(ctx context.Context, org, key, but string) (taken bool, err error) {
	err = r.one(ctx, &taken, `SELECT
		(SELECT COUNT(*) FROM users WHERE organization_id = ? AND email_key = ? AND id <> ?) +
		(SELECT COUNT(*) FROM directory WHERE kind = 'email' AND key = ? AND NOT (organization_id = ? AND id = ?)) > 0`,
		org, key, but, key, org, but)
	return taken, err
}
