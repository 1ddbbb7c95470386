package store

import (
	"context"
	"fmt"
)

// Bulk is a change of everybody who matches a filter: they are enabled, or
// disabled. Filter.Now decides which grants count.
type Bulk struct {
	Org    string
	Filter UserFilter
	Enable bool
	// But is left as they are; so is whoever has one of the roles or permissions assigned.
	But                string
	Roles, Permissions []string
}

// who is the condition for those who are not yet as the change makes them.
func (b Bulk) who() string {
	if b.Enable {
		return `NOT enabled`
	}
	return `enabled`
}

// beyond is the condition for those who are left as they are because of what
// they hold.
func (b Bulk) beyond() (condition string, args []any) {
	if len(b.Roles)+len(b.Permissions) == 0 {
		return `1 = 0`, nil
	}
	return `EXISTS (SELECT 1 FROM grants b
		WHERE b.organization_id = users.organization_id AND b.principal_id = users.id
		AND (b.expire_time = 0 OR b.expire_time > ?) AND (b.role_id IN (?) OR b.permission_key IN (?)))`,
		[]any{b.Filter.Now, someOf(b.Roles), someOf(b.Permissions)}
}

// where is the condition for those who change.
func (b Bulk) where() *where {
	w := b.Filter.where(b.Org)
	w.and(true, b.who())
	w.and(b.But != "", `id <> ?`, b.But)
	if condition, args := b.beyond(); len(args) > 0 {
		w.and(true, `NOT `+condition, args...)
	}
	return w
}

// Match is a person who matches the filter of a bulk change.
type Match struct {
	ID    string `db:"id"`
	Email string `db:"email"`
	// Open is false for who is already as the change would make them.
	Open bool `db:"open"`
	// Beyond is true for who has one of the roles or permissions.
	Beyond bool `db:"beyond"`
}

// EachMatch hands over everybody who matches the filter, by id, as they come.
func (r Reads) EachMatch(ctx context.Context, b Bulk, fn func(Match)) error {
	condition, args := b.beyond()
	w := b.Filter.where(b.Org)
	return each(ctx, r, `SELECT id, email, `+b.who()+` AS open, `+condition+` AS beyond FROM users`+w.String()+` ORDER BY id`,
		append(args, w.args...), fn)
}

// ChangeAll makes a bulk change, with an event each like the one given. It
// takes the same few statements for any number of people.
func (t *Tx) ChangeAll(ctx context.Context, b Bulk, e Event) (changed int64, err error) {
	w := b.where()
	var of Badges // before the change
	err = t.oneIn(ctx, &of, `
		SELECT COUNT(*) FILTER (WHERE confirmed) AS users_active, COUNT(*) FILTER (WHERE NOT confirmed) AS users_pending
		FROM users`+w.String(), w.args...)
	if err != nil || of.UsersActive+of.UsersPending == 0 {
		return 0, err
	}
	seq := t.Seq(b.Org)
	if changed, err = t.execIn(ctx, `
		INSERT INTO events (`+eventColumns+`)
		SELECT organization_id, CAST(? AS BIGINT) + ROW_NUMBER() OVER (ORDER BY id), ?, ?, ?, ?, ?,
			CAST(id AS TEXT), ?, ?, ?, ?
		FROM users`+w.String(),
		append([]any{seq, e.Time, e.Type, e.Actor, e.ActorOrg, e.Credential, e.Data, e.RequestID, e.Source, e.Operation}, w.args...)...); err != nil {
		return 0, err
	}
	if !b.Enable {
		if _, err = t.execIn(ctx, `
			UPDATE sessions SET end_time = ?, end_reason = ? WHERE organization_id = ? AND end_time = 0 AND expire_time > ?
			AND user_id IN (SELECT id FROM users`+w.String()+`)`,
			append([]any{e.Time, "disabled", b.Org, e.Time}, w.args...)...); err != nil {
			return 0, err
		}
	}
	// The epoch moves each way: what was issued before is over, links too.
	n, err := t.execIn(ctx, `
		UPDATE users SET enabled = ?, version = version + 1, update_time = ?, epoch = CASE WHEN epoch >= ? THEN epoch + 1 ELSE ? END`+w.String(),
		append([]any{b.Enable, e.Time, e.Time, e.Time}, w.args...)...)
	if err == nil && (n != changed || n != of.UsersActive+of.UsersPending) {
		err = fmt.Errorf("a bulk change found %d, then %d, then %d people", of.UsersActive+of.UsersPending, changed, n)
	}
	if err != nil {
		return 0, err
	}
	t.wrote(e, changed)
	t.countAll(b, of)
	return changed, nil
}

// countAll keeps the badges.
func (t *Tx) countAll(b Bulk, of Badges) {
	by := int64(-1)
	if b.Enable {
		by = 1
	}
	badges := &t.clocks[b.Org].badges
	badges.UsersActive += by * of.UsersActive
	badges.UsersPending += by * of.UsersPending
	badges.UsersDisabled -= by * (of.UsersActive + of.UsersPending)
}
