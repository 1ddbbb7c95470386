package store

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
)

// ServiceAccount is a machine.
type ServiceAccount struct {
	Org             string `db:"organization_id"`
	ID              string `db:"id"`
	DisplayName     string `db:"display_name"`
	NameKey         string `db:"name_key"`
	Description     string `db:"description"`
	Enabled         bool   `db:"enabled"`
	ParentType      string `db:"parent_type"`
	ParentID        string `db:"parent_id"`
	ParentName      string `db:"parent_name"`
	Audiences       List   `db:"audiences"`
	AllowedNetworks List   `db:"allowed_networks"`
	TokenLifetime   Micros `db:"token_lifetime"`
	Epoch           Micros `db:"epoch"`
	Version         int64  `db:"version"`
	Created         Micros `db:"create_time"`
	Updated         Micros `db:"update_time"`
	CreatedBy       string `db:"created_by"`
	LastUsed        Micros `db:"last_used_time"`
	Deleted         Micros `db:"delete_time"`
}

const accountColumns = `organization_id, id, display_name, name_key, description, enabled, parent_type, parent_id, parent_name,
	audiences, allowed_networks, token_lifetime, epoch, version, create_time, update_time, created_by, last_used_time, delete_time`

// List is a list of texts that is never searched inside, kept as JSON text.
type List []string

// Value makes the JSON text.
func (l List) Value() (driver.Value, error) {
	if l == nil {
		return "[]", nil
	}
	text, err := json.Marshal([]string(l))
	return string(text), err
}

// Scan Reads the JSON text.
func (l *List) Scan(src any) error {
	*l = nil // or what was read before would change with it
	switch text := src.(type) {
	case string:
		return json.Unmarshal([]byte(text), l)
	case []byte:
		return json.Unmarshal(text, l)
	}
	return errors.New("list is no text")
}

// ServiceAccount returns one machine that is not deleted.
func (r Reads) ServiceAccount(ctx context.Context, org, id string) (a ServiceAccount, err error) {
	err = r.one(ctx, &a, `SELECT `+accountColumns+` FROM service_accounts
		WHERE organization_id = ? AND id = ? AND delete_time = 0`, org, id)
	return a, err
}

// AddServiceAccount adds a machine. A parent that has a live account is ErrExists.
func (t *Tx) AddServiceAccount(ctx context.Context, a ServiceAccount) error {
	t.countAccount(a, 1)
	return t.insert(ctx, `
		INSERT INTO service_accounts (`+accountColumns+`)
		VALUES (:organization_id, :id, :display_name, :name_key, :description, :enabled, :parent_type, :parent_id, :parent_name,
			:audiences, :allowed_networks, :token_lifetime, :epoch, :version, :create_time, :update_time, :created_by,
			:last_used_time, :delete_time)`, a)
}

// SaveServiceAccount writes what can change of a machine, whose former row
// the caller read under the same lock.
func (t *Tx) SaveServiceAccount(ctx context.Context, former, a ServiceAccount) error {
	t.countAccount(former, -1)
	t.countAccount(a, 1)
	return t.insert(ctx, `
		UPDATE service_accounts SET display_name = :display_name, name_key = :name_key, description = :description,
			enabled = :enabled, parent_type = :parent_type, parent_id = :parent_id, parent_name = :parent_name,
			audiences = :audiences, allowed_networks = :allowed_networks, token_lifetime = :token_lifetime,
			epoch = :epoch, version = :version, update_time = :update_time, delete_time = :delete_time
		WHERE organization_id = :organization_id AND id = :id`, a)
}

func (t *Tx) countAccount(a ServiceAccount, by int64) {
	b := &t.clocks[a.Org].badges
	if a.Deleted != 0 {
		return
	}
	b.AccountsTotal += by
	if a.Enabled {
		b.AccountsActive += by
	}
}

// AccountFilter narrows a list of machines; what is zero matches all. Name is folded.
type AccountFilter struct{ Name, ParentType, ParentID string }

func (f AccountFilter) where(org string) *where {
	w := newWhere(`organization_id = ? AND delete_time = 0`, org)
	w.name(f.Name)
	w.and(f.ParentType != "", `parent_type = ?`, f.ParentType)
	w.and(f.ParentID != "", `parent_id = ? AND parent_id <> ''`, f.ParentID) // which the indexes ask for
	return w
}

// accountOrders are the columns that machines can be ordered by.
var accountOrders = map[string]string{"display_name": "name_key", "create_time": "create_time"}

// Cursor is the place of a machine in an order.
func (a ServiceAccount) Cursor(order string) Cursor {
	if order == "display_name" {
		return Cursor{a.NameKey, a.ID}
	}
	return Cursor{int64(a.Created), a.ID}
}
