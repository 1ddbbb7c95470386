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
