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

// NeedsLink tells whether the user gets a link: to prove the address, or to choose a
// password where there is none yet.
func (u User) NeedsLink() bool { return !u.Confirmed || u.PasswordHash == "" }

const userColumns = `organization_id, id, email, email_key, first_name, last_name, display_name, name_key,
	confirmed, enabled, password_hash, password_initial, phone_masked, phone_verified, epoch, version,
	create_time, update_time, created_by, last_sign_in_time, delete_time`

// User returns one person who is not deleted.
func (r Reads) User(ctx context.Context, org, id string) (u User, err error) {
	err = r.one(ctx, &u, `SELECT `+userColumns+` FROM users WHERE organization_id = ? AND id = ? AND delete_time = 0`, org, id)
	return u, err
}

// Addresses returns the e-mail addresses of people by their ids.
func (r Reads) Addresses(ctx context.Context, org string, ids ...string) (map[string]string, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var us []User
	err := r.in(ctx, &us, `SELECT id, email FROM users WHERE organization_id = ? AND id IN (?)`, org, ids)
	of := make(map[string]string, len(us))
	for _, u := range us {
		of[u.ID] = u.Email
	}
	return of, err
}

// AddUser adds a person. An address that is taken in the organization is ErrExists.
func (t *Tx) AddUser(ctx context.Context, u User) error {
	t.countUser(u, 1)
	return later(ctx, t.writes, "users", insertUsers, []User{u})
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
