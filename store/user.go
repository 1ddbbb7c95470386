package store

import "context"

// User is a person. EmailKey and NameKey are the folded forms that are
// searched and compared; the caller makes them.
type User struct {
	Org             string `db:"organization_id"`
	ID              string `db:"id"`
	Email           string `db:"email"`
	EmailKey        string `db:"email_key"`
	FirstName       string `db:"first_name"`
	LastName        string `db:"last_name"`
	DisplayName     string `db:"display_name"`
	NameKey         string `db:"name_key"`
	Confirmed       bool   `db:"confirmed"`
	Enabled         bool   `db:"enabled"`
	PasswordHash    string `db:"password_hash"`
	PasswordInitial bool   `db:"password_initial"`
	PhoneMasked     string `db:"phone_masked"` // "": no number; SetPhone writes it with the sealed one
	PhoneVerified   bool   `db:"phone_verified"`
	Epoch           Micros `db:"epoch"`
	Version         int64  `db:"version"`
	Created         Micros `db:"create_time"`
	Updated         Micros `db:"update_time"`
	CreatedBy       string `db:"created_by"`
	LastSignIn      Micros `db:"last_sign_in_time"`
	Deleted         Micros `db:"delete_time"`
}

const userColumns = `organization_id, id, email, email_key, first_name, last_name, display_name, name_key,
	confirmed, enabled, password_hash, password_initial, phone_masked, phone_verified, epoch, version,
	create_time, update_time, created_by, last_sign_in_time, delete_time`

// User returns one person who is not deleted.
func (r Reads) User(ctx context.Context, org, id string) (u User, err error) {
	err = r.one(ctx, &u, `SELECT `+userColumns+` FROM users WHERE organization_id = ? AND id = ? AND delete_time = 0`, org, id)
	return u, err
}

// AddUser adds a person. An address that is taken in the organization is ErrExists.
func (t *Tx) AddUser(ctx context.Context, u User) error {
	t.countUser(u, 1)
	return t.insert(ctx, insertUsers, u)
}

const insertUsers = `
	INSERT INTO users (` + userColumns + `)
	VALUES (:organization_id, :id, :email, :email_key, :first_name, :last_name, :display_name, :name_key,
		:confirmed, :enabled, :password_hash, :password_initial, :phone_masked, :phone_verified, :epoch, :version,
		:create_time, :update_time, :created_by, :last_sign_in_time, :delete_time)`

// SaveUser writes what an administrator can change of a person, but for the
// phone (SetPhone). The caller read the former row under the same lock.
func (t *Tx) SaveUser(ctx context.Context, former, u User) error {
	t.countUser(former, -1)
	t.countUser(u, 1)
	return t.insert(ctx, `
		UPDATE users SET email = :email, email_key = :email_key, first_name = :first_name, last_name = :last_name,
			display_name = :display_name, name_key = :name_key, confirmed = :confirmed, enabled = :enabled,
			password_hash = :password_hash, password_initial = :password_initial,
			epoch = :epoch, version = :version, update_time = :update_time, delete_time = :delete_time
		WHERE organization_id = :organization_id AND id = :id`, u)
}

// countUser keeps the badges: by is 1 for a row that comes and -1 for one that goes.
func (t *Tx) countUser(u User, by int64) {
	b := &t.clocks[u.Org].badges
	switch {
	case u.Deleted != 0:
	case !u.Enabled:
		b.UsersDisabled += by
	case !u.Confirmed:
		b.UsersPending += by
	default:
		b.UsersActive += by
	}
}

// SignedIn notes a sign-in.
func (w writes) SignedIn(ctx context.Context, org, user string, at Micros) error {
	return w.must(ctx, `UPDATE users SET last_sign_in_time = ? WHERE organization_id = ? AND id = ?`, at, org, user)
}

// UpgradeHash replaces a password hash by one of the same password, unless it changed meanwhile.
func (t *ShortTx) UpgradeHash(ctx context.Context, org, user, former, hash string) error {
	_, err := t.exec(ctx, `UPDATE users SET password_hash = ? WHERE organization_id = ? AND id = ? AND password_hash = ?`,
		hash, org, user, former)
	return err
}

// UserState narrows a list by state.
type UserState int

// The states; AnyState matches all.
const (
	AnyState UserState = iota
	Active
	Pending
	Disabled
)

// UserFilter narrows a list of people; what is zero matches all. Name and
// Email are folded.
type UserFilter struct {
	Name, Email, EmailKey, RoleID string
	State                         UserState
	Now                           Micros // decides which grants of RoleID count
}

// Unfiltered tells whether everybody matches.
func (f UserFilter) Unfiltered() bool {
	return f.Name == "" && f.Email == "" && f.EmailKey == "" && f.RoleID == "" && f.State == AnyState
}

// wordLength is where text is long enough to be searched anywhere; what is
// shorter matches the beginning of a word.
const wordLength = 3

func (f UserFilter) where(org string) *where {
	w := newWhere(`organization_id = ? AND delete_time = 0`, org)
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
	w.and(f.RoleID != "", `EXISTS (SELECT 1 FROM grants g
		WHERE g.organization_id = users.organization_id AND g.principal_id = users.id
		AND g.role_id = ? AND (g.expire_time = 0 OR g.expire_time > ?))`, f.RoleID, f.Now)
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

// listColumns are what lists show of people; the rest is left zero.
const listColumns = `id, email, email_key, first_name, last_name, display_name, name_key, confirmed, enabled, version,
	phone_masked, phone_verified, create_time, update_time, created_by, last_sign_in_time`

// Users returns a page of people as lists show them: without passwords and epochs.
func (r Reads) Users(ctx context.Context, org string, f UserFilter, p Page) ([]User, error) {
	w := f.where(org)
	order := p.keyset(w, userOrders[p.Order])
	var us []User
	err := r.all(ctx, &us, `SELECT `+listColumns+` FROM users`+w.String()+order, append(w.args, p.Limit, p.Skip)...)
	for i := range us {
		us[i].Org = org
	}
	return us, err
}

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

// CountUsers counts the people who match by state, up to a cap in all.
func (r Reads) CountUsers(ctx context.Context, org string, f UserFilter, limit int) (b Badges, err error) {
	w := f.where(org)
	err = r.one(ctx, &b, `
		SELECT COUNT(*) FILTER (WHERE enabled AND confirmed) AS users_active,
		       COUNT(*) FILTER (WHERE enabled AND NOT confirmed) AS users_pending,
		       COUNT(*) FILTER (WHERE NOT enabled) AS users_disabled
		FROM (SELECT enabled, confirmed FROM users`+w.String()+` LIMIT ?) AS matched`, append(w.args, limit)...)
	return b, err
}
