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
	b.narrow(w)
	return w
}

// narrow adds to those who match who of them changes.
func (b Bulk) narrow(w *where) {
	w.and(true, b.who())
	w.and(b.But != "", `users.id <> ?`, b.But)
	if condition, args := b.beyond(); len(args) > 0 {
		w.and(true, `NOT `+condition, args...)
	}
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
	from, w := b.Filter.found(b.Org)
	return each(ctx, r, `SELECT users.id, email, `+b.who()+` AS open, `+condition+` AS beyond FROM `+from+w.String()+` ORDER BY users.id`,
		append(args, w.args...), fn)
}

// ChangeAll makes a bulk change, with an event each like the one given. It
// takes the same few statements for any number of people.
func (t *Tx) ChangeAll(ctx context.Context, b Bulk, e Event) (changed int64, err error) {
	seq := t.Seq(b.Org)
	from, w := b.Filter.found(b.Org)
	b.narrow(w)
	changed, err = t.execIn(ctx, `
		INSERT INTO events (`+eventColumns+`)
		SELECT users.organization_id, CAST(? AS BIGINT) + ROW_NUMBER() OVER (ORDER BY users.id), ?, ?, ?, ?, ?,
			CAST(users.id AS TEXT), ?, ?, ?, ?
		FROM `+from+w.String(),
		append([]any{seq, e.Time, e.Type, e.Actor, e.ActorOrg, e.Credential, e.Data, e.RequestID, e.Source, e.Operation}, w.args...)...)
	if err != nil || changed == 0 {
		return 0, err
	}
	w = b.where()
	if !b.Enable {
		if _, err = t.execIn(ctx, `
			UPDATE sessions SET end_time = ?, end_reason = ? WHERE organization_id = ? AND end_time = 0 AND expire_time > ?
			AND user_id IN (SELECT id FROM users`+w.String()+`)`,
			append([]any{e.Time, "disabled", b.Org, e.Time}, w.args...)...); err != nil {
			return 0, err
		}
	}
	var of Badges // those who changed, by what they were or become
	// The epoch moves each way: what was issued before is over, links too.
	err = each(ctx, t.Reads, `
		UPDATE users SET enabled = ?, version = version + 1, update_time = ?, epoch = CASE WHEN epoch >= ? THEN epoch + 1 ELSE ? END`+
		w.String()+` RETURNING confirmed`, append([]any{b.Enable, e.Time, e.Time, e.Time}, w.args...), func(u User) {
		if u.Confirmed {
			of.UsersActive++
		} else {
			of.UsersPending++
		}
	})
	if err == nil && of.total() != changed {
		err = fmt.Errorf("a bulk change wrote %d events and changed %d people", changed, of.total())
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
