package store

import (
	"context"
	"slices"
	"time"
)

// UserState narrows a list by state.
type UserState int

// The states; AnyState matches all.
const (
	AnyState UserState = iota
	Active
	Pending
	Disabled
	Deleted
)

// UserFilter narrows a list of people; what is zero matches all. Name and
// Email are folded.
type UserFilter struct {
	Name, Email, EmailKey, RoleID string
	State                         UserState
	Now                           Micros // decides which grants of RoleID count
	DeletedAfter                  Micros // who of the deleted can be brought back
}

// Unfiltered tells whether everybody matches.
func (f UserFilter) Unfiltered() bool {
	return f.Name == "" && f.Email == "" && f.EmailKey == "" && f.RoleID == "" && f.State == AnyState
}

// Counted tells whether the badges know exactly how many match.
func (f UserFilter) Counted() bool {
	return f.State != Deleted && f == UserFilter{State: f.State, Now: f.Now, DeletedAfter: f.DeletedAfter}
}

// wordLength is where text is long enough to be searched anywhere; what is
// shorter matches the beginning of a word.
const wordLength = 3

// everybody is all people of an organization who are not deleted.
const everybody = `users.organization_id = ? AND delete_time = 0`

// gone is all users of an organization who are deleted.
const gone = `users.organization_id = ? AND delete_time <> 0`

// narrow adds the conditions of the filter but the role.
func (f UserFilter) narrow(w *where) {
	w.name(f.Name)
	if len([]rune(f.Email)) >= wordLength {
		w.and(true, `email_key LIKE ? ESCAPE '\'`, contains(f.Email))
	} else {
		w.and(f.Email != "", `email_key LIKE ? ESCAPE '\'`, begins(f.Email))
	}
	w.and(f.EmailKey != "", `email_key = ?`, f.EmailKey)
	w.and(f.State == Active, `enabled AND confirmed`)
	w.and(f.State == Pending, `enabled AND NOT confirmed`)
	w.and(f.State == Disabled, `NOT enabled`)
	w.and(f.State == Deleted, `delete_time > ?`, f.DeletedAfter)
}

// where is the filter for statements that find those who match by an index of
// what is asked for.
func (f UserFilter) where(org string) *where {
	w := newWhere(everybody, org)
	w.and(f.RoleID != "", `id IN (SELECT principal_id FROM grants
		WHERE organization_id = ? AND role_id = ? AND (expire_time = 0 OR expire_time > ?))`, org, f.RoleID, f.Now)
	f.narrow(w)
	return w
}

// found is where for statements that stop early: holders of a role come one
// after the other, not gathered first. Each comes once, because what assigns a
// role names no permission.
func (f UserFilter) found(org string) (from string, w *where) {
	if f.RoleID == "" {
		return `users`, f.where(org)
	}
	w = newWhere(everybody, org)
	w.and(true, `g.role_id = ? AND g.permission_key = '' AND (g.expire_time = 0 OR g.expire_time > ?)`, f.RoleID, f.Now)
	f.narrow(w)
	return `grants g JOIN users ON users.organization_id = g.organization_id AND users.id = g.principal_id`, w
}

// passing is the filter for rows called users, which pass one after the other.
func (f UserFilter) passing() *where {
	w := newWhere(`TRUE`)
	f.narrow(w)
	// Not EXISTS, of which PostgreSQL could make a join with all holders of the role.
	w.and(f.RoleID != "", `(SELECT COUNT(*) FROM grants g
		WHERE g.organization_id = users.organization_id AND g.principal_id = users.id
		AND g.role_id = ? AND (g.expire_time = 0 OR g.expire_time > ?)) > 0`, f.RoleID, f.Now)
	return w
}

// name adds the condition for a folded part of a name.
func (w *where) name(text string) {
	if len([]rune(text)) >= wordLength {
		w.and(true, `name_key LIKE ? ESCAPE '\'`, contains(text))
		return
	}
	w.and(text != "", `(name_key LIKE ? ESCAPE '\' OR name_key LIKE ? ESCAPE '\')`, begins(text), "% "+begins(text))
}

// userOrders are the columns that people can be ordered by.
var userOrders = map[string]string{"email": "email_key", "display_name": "name_key", "create_time": "create_time"}

// Cursor is the place of a person in an order.
func (u User) Cursor(order string) Cursor {
	switch order {
	case "display_name":
		return Cursor{u.NameKey, u.ID}
	case "create_time":
		return Cursor{int64(u.Created), u.ID}
	}
	return Cursor{u.EmailKey, u.ID}
}

// listColumns are what lists show of people; the rest is left zero.
const listColumns = `id, email, email_key, first_name, last_name, display_name, name_key, confirmed, enabled, version,
	phone_masked, phone_verified, create_time, update_time, created_by, last_sign_in_time, delete_time`

func listFields(u *User) []any {
	return []any{
		&u.ID, &u.Email, &u.EmailKey, &u.FirstName, &u.LastName, &u.DisplayName, &u.NameKey, &u.Confirmed, &u.Enabled, &u.Version,
		&u.PhoneMasked, &u.PhoneVerified, &u.Created, &u.Updated, &u.CreatedBy, &u.LastSignIn, &u.Deleted,
	}
}

// A list with a filter is read in one of two ways. Who is rare is found by an
// index of what is asked for, counted and sorted. Who is frequent is met soon on
// a walk along an order, which is given up after some rows where it is for a
// page. What is frequent a sample tells; the plans of both ways do not depend
// on statistics.
const (
	sampled  = 500             // rows of a sample, the oldest and the newest
	frequent = sampled / 10    // of them, from where counting walks
	walked   = ` LIMIT 20000`  // rows of a walk, for a page
	searches = 5 * time.Second // is how long a statement with a filter may take
)

// Users returns a page of people as lists show them: without passwords and
// epochs. It suits lists that are read to their end, or whose filter many match.
func (r Reads) Users(ctx context.Context, org string, f UserFilter, p Page) ([]User, error) {
	if !f.Unfiltered() {
		if us, err := r.walk(ctx, org, f, p); err != nil || len(us) == p.Limit {
			return us, err
		}
	}
	return r.matching(ctx, org, f, p)
}

// matching is Users by an index of what is asked for.
func (r Reads) matching(ctx context.Context, org string, f UserFilter, p Page) ([]User, error) {
	ctx, cancel := context.WithTimeout(ctx, searches)
	defer cancel()
	w := f.where(org)
	order := p.keyset(w, userOrders[p.Order])
	us, err := list(ctx, r, p.Limit, listFields, `SELECT `+listColumns+` FROM users`+w.String()+order+limited, append(w.args, p.Limit, p.Skip)...)
	return of(org, us), err
}

// walk is Users along the order, and may find fewer than there are.
func (r Reads) walk(ctx context.Context, org string, f UserFilter, p Page) ([]User, error) {
	ctx, cancel := context.WithTimeout(ctx, searches)
	defer cancel()
	path, w := newWhere(everybody, org), f.passing()
	order := p.keyset(path, userOrders[p.Order])
	us, err := list(ctx, r, p.Limit, listFields, `SELECT `+listColumns+` FROM (SELECT organization_id, `+listColumns+` FROM users`+path.String()+order+walked+`) AS users`+
		w.String()+order+limited, append(append(path.args, w.args...), p.Limit, p.Skip)...)
	return of(org, us), err
}

func of(org string, us []User) []User {
	for i := range us {
		us[i].Org = org
	}
	return us
}

// searchUsers is ListUsers without a bound.
func (r Reads) searchUsers(ctx context.Context, org string, f UserFilter, p Page, limit int) (us []User, b Badges, err error) {
	if f.Counted() {
		return r.counted(ctx, org, f, p)
	}
	walks, err := r.frequent(ctx, org, f)
	if err != nil {
		return nil, b, err
	}
	if walks {
		b, err = r.stroll(ctx, org, f, limit)
	} else {
		us, b, err = r.find(ctx, org, f, p, limit)
	}
	if err == nil && (walks || b.total() >= int64(limit)) {
		us, err = r.Users(ctx, org, f, p)
	}
	return us, b, err
}

// counted is ListUsers where the badges know how many there are.
func (r Reads) counted(ctx context.Context, org string, f UserFilter, p Page) (us []User, b Badges, err error) {
	const sortable = 5_000 // people up to whom sorting beats walking
	b, err = r.Badges(ctx, org)
	b = b.only(f.State)
	switch {
	case err != nil:
	case f.Unfiltered() || b.total() > sortable:
		us, err = r.Users(ctx, org, f, p)
	case b.total() > 0:
		us, err = r.matching(ctx, org, f, p)
	}
	return us, b, err
}

// frequent tells whether counting is to walk. What is asked for by a key alone
// is found by it, however many there are.
func (r Reads) frequent(ctx context.Context, org string, f UserFilter) (bool, error) {
	if f.EmailKey != "" || f.Name == "" && f.Email == "" {
		return false, nil
	}
	const people = `SELECT COUNT(*) FROM (SELECT organization_id, id, email_key, name_key, enabled, confirmed FROM users WHERE ` + everybody
	rows := f.passing()
	args := append([]any{org, sampled}, rows.args...)
	var samples []int
	err := r.all(ctx, &samples, people+` ORDER BY create_time, id LIMIT ?) AS users`+rows.String()+`
		UNION ALL `+people+` ORDER BY create_time DESC, id DESC LIMIT ?) AS users`+rows.String(), append(args, args...)...)
	return err == nil && slices.Min(samples) >= frequent, err
}

// stroll counts people by state, up to a cap in all, on a walk.
func (r Reads) stroll(ctx context.Context, org string, f UserFilter, limit int) (b Badges, err error) {
	// No index has such a condition, which is also taken for one that many meet.
	rows := f.passing()
	err = r.one(ctx, &b, countByState+` FROM (SELECT enabled, confirmed FROM users WHERE `+everybody+` AND COALESCE(`+rows.all()+`, FALSE)
		ORDER BY create_time, id LIMIT ?) AS matched`, append(append([]any{org}, rows.args...), limit)...)
	return b, err
}

// listed is a person of a page beside the counts.
type listed struct {
	User
	Badges
}

// find returns a page of those who match, and counts them by state, up to a
// cap in all; the page is theirs only below that.
func (r Reads) find(ctx context.Context, org string, f UserFilter, p Page, limit int) ([]User, Badges, error) {
	from, w := f.found(org)
	behind := newWhere(`TRUE`)
	order := p.keyset(behind, `place`)
	matched := `WITH matched AS MATERIALIZED (SELECT users.id, enabled, confirmed, users.` + userOrders[p.Order] + ` AS place FROM ` + from + w.String() + ` LIMIT ?)`
	args := append(w.args, limit)
	rows, err := list(ctx, r, p.Limit, func(l *listed) []any {
		return append(listFields(&l.User), &l.UsersActive, &l.UsersPending, &l.UsersDisabled)
	}, matched+`,
		counts AS MATERIALIZED (`+countByState+` FROM matched),
		page AS MATERIALIZED (SELECT id, place FROM matched`+behind.String()+order+limited+`)
		SELECT `+listColumns+`, users_active, users_pending, users_disabled
		FROM page JOIN users USING (id) CROSS JOIN counts WHERE organization_id = ?`+order,
		slices.Concat(args, behind.args, []any{p.Limit, p.Skip, org})...)
	if err != nil {
		return nil, Badges{}, err
	}
	if len(rows) == 0 { // behind the last one, or nobody at all
		var b Badges
		if p.After != nil || p.Skip > 0 {
			err = r.one(ctx, &b, matched+countByState+` FROM matched`, args...)
		}
		return nil, b, err
	}
	us := make([]User, len(rows))
	for i := range rows {
		us[i] = rows[i].User
	}
	return of(org, us), rows[0].Badges, nil
}

// total is how many people were counted.
func (b Badges) total() int64 { return b.UsersActive + b.UsersPending + b.UsersDisabled }

// only is what is left of the counts of people in one state.
func (b Badges) only(s UserState) Badges {
	switch s {
	case Active:
		return Badges{UsersActive: b.UsersActive}
	case Pending:
		return Badges{UsersPending: b.UsersPending}
	case Disabled:
		return Badges{UsersDisabled: b.UsersDisabled}
	}
	return b
}

// countByState counts rows that have enabled and confirmed.
const countByState = `SELECT COUNT(*) FILTER (WHERE enabled AND confirmed) AS users_active,
		COUNT(*) FILTER (WHERE enabled AND NOT confirmed) AS users_pending,
		COUNT(*) FILTER (WHERE NOT enabled) AS users_disabled`
