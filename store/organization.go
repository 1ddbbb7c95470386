package store

import "context"

// BuiltIn is the organization of the built-in roles.
const BuiltIn = "00000000-0000-0000-0000-000000000000"

// Organization is a customer.
type Organization struct {
	ID                    string `db:"id"`
	DisplayName           string `db:"display_name"`
	Platform              bool   `db:"platform"`
	Suspended             bool   `db:"suspended"`
	PasswordPolicy        string `db:"password_policy"`
	ChangeInitialPassword bool   `db:"change_initial_password"`
	Epoch                 Micros `db:"epoch"`
	Version               int64  `db:"version"`
	Created               Micros `db:"create_time"`
	Updated               Micros `db:"update_time"`
	CreatedBy             string `db:"created_by"`
}

const organizationColumns = `id, display_name, platform, suspended, password_policy, change_initial_password,
	epoch, version, create_time, update_time, created_by`

// Organization returns one organization.
func (r Reads) Organization(ctx context.Context, id string) (o Organization, err error) {
	err = r.one(ctx, &o, `SELECT `+organizationColumns+` FROM organizations WHERE id = ?`, id)
	return o, err
}

// Platform returns the platform organization; ErrNotFound means an empty database.
func (r Reads) Platform(ctx context.Context) (o Organization, err error) {
	err = r.one(ctx, &o, `SELECT `+organizationColumns+` FROM organizations WHERE platform`)
	return o, err
}

// AddOrganization adds an organization with its clock row, which is then
// under the lock of this change too.
func (t *Tx) AddOrganization(ctx context.Context, o Organization) error {
	err := t.insert(ctx, `
		INSERT INTO organizations (`+organizationColumns+`)
		VALUES (:id, :display_name, :platform, :suspended, :password_policy, :change_initial_password,
			:epoch, :version, :create_time, :update_time, :created_by)`, o)
	if err != nil {
		return err
	}
	if _, err := t.exec(ctx, `INSERT INTO organization_clock (organization_id) VALUES (?)`, o.ID); err != nil {
		return err
	}
	t.clocks[o.ID] = &clock{}
	return nil
}

// SaveOrganization writes what can be changed of an organization.
func (t *Tx) SaveOrganization(ctx context.Context, o Organization) error {
	return t.insert(ctx, `
		UPDATE organizations SET display_name = :display_name, password_policy = :password_policy,
			change_initial_password = :change_initial_password, version = :version, update_time = :update_time
		WHERE id = :id`, o)
}

// Badges counts the people and machines of an organization that are not deleted.
type Badges struct {
	UsersActive    int64 `db:"users_active"`
	UsersPending   int64 `db:"users_pending"`
	UsersDisabled  int64 `db:"users_disabled"`
	AccountsActive int64 `db:"accounts_active"`
	AccountsTotal  int64 `db:"accounts_total"`
}

// Badges returns the exact counts, which every change keeps.
func (r Reads) Badges(ctx context.Context, org string) (b Badges, err error) {
	err = r.one(ctx, &b, `
		SELECT users_active, users_pending, users_disabled, accounts_active, accounts_total
		FROM organization_clock WHERE organization_id = ?`, org)
	return b, err
}
