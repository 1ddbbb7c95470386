package main

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/bizmetry/identity/rig"
	"github.com/bizmetry/identity/store"
)

// seededUser is what the jobs need to know of a user.
type seededUser struct{ id, email string }

// seed fills the customer with confirmed users that have a role each, in the
// rows that CreateUser would have written, but for their events.
func (b *bench) seed(ctx context.Context) error {
	tx, err := b.postgres.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	b.users = make([]seededUser, b.options.users)
	rows := make([]store.User, b.options.users)
	now := store.At(time.Now())
	for i := range rows {
		rows[i] = person(b.org, i, now)
		b.users[i] = seededUser{rows[i].ID, rows[i].Email}
	}
	err = copyIn(ctx, tx, `COPY users (`+personColumns+`) FROM STDIN`, len(rows), func(i int) []any {
		return personValues(&rows[i])
	})
	if err != nil {
		return err
	}
	err = copyIn(ctx, tx, `COPY grants (organization_id, principal_id, role_id, create_time) FROM STDIN`, len(rows), func(i int) []any {
		return []any{b.org, rows[i].ID, rig.Developer, int64(now)}
	})
	if err != nil {
		return err
	}
	err = copyIn(ctx, tx, `COPY directory (kind, key, organization_id, id) FROM STDIN`, len(rows), func(i int) []any {
		return []any{store.ConfirmedEmail, rows[i].EmailKey, b.org, rows[i].ID}
	})
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE organization_clock SET users_active = users_active + $1 WHERE organization_id = $2`, len(rows), b.org); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	return b.postgres.exec(ctx, `VACUUM (ANALYZE)`, `CHECKPOINT`)
}

// copyIn sends rows by COPY, which the driver knows by its text.
func copyIn(ctx context.Context, tx *sql.Tx, text string, rows int, row func(int) []any) error {
	stmt, err := tx.PrepareContext(ctx, text)
	if err != nil {
		return err
	}
	defer stmt.Close()
	for i := range rows {
		if _, err := stmt.ExecContext(ctx, row(i)...); err != nil {
			return err
		}
	}
	_, err = stmt.ExecContext(ctx)
	return err
}

var (
	firstNames = [...]string{"Ann", "Bo", "Carla", "Dmitri", "Elif", "Farah", "Goran", "Hana", "Ines", "Jonas", "Kofi"}
	lastNames  = [...]string{"Abel", "Berg", "Costa", "Dahl", "Endo", "Fischer", "Gruber", "Huang", "Ivanova", "Jansen", "Keita", "Lind", "Moreau"}
)

// person is a user as CreateUser makes them. The names are ASCII, so lower
// case is their folded form.
func person(org string, n int, now store.Micros) store.User {
	first, last := firstNames[n%len(firstNames)], lastNames[n%len(lastNames)]
	email := fmt.Sprintf("%s.%s.%06d@customer.example", strings.ToLower(first), strings.ToLower(last), n)
	return store.User{
		Org: org, ID: uuid.Must(uuid.NewV7()).String(), Email: email, EmailKey: email,
		FirstName: first, LastName: last, DisplayName: first + " " + last, NameKey: strings.ToLower(first + " " + last),
		Confirmed: true, Enabled: true, Epoch: now, Version: 1, Created: now, Updated: now,
	}
}

// personColumns are the columns that the service reads and writes of a user.
const personColumns = `organization_id, id, email, email_key, first_name, last_name, display_name, name_key,
	confirmed, enabled, password_hash, password_initial, epoch, version,
	create_time, update_time, created_by, last_sign_in_time, delete_time`

func personValues(u *store.User) []any {
	return []any{
		u.Org, u.ID, u.Email, u.EmailKey, u.FirstName, u.LastName, u.DisplayName, u.NameKey,
		u.Confirmed, u.Enabled, u.PasswordHash, u.PasswordInitial, int64(u.Epoch), u.Version,
		int64(u.Created), int64(u.Updated), u.CreatedBy, int64(u.LastSignIn), int64(u.Deleted),
	}
}

func personTargets(u *store.User) []any {
	return []any{
		&u.Org, &u.ID, &u.Email, &u.EmailKey, &u.FirstName, &u.LastName, &u.DisplayName, &u.NameKey,
		&u.Confirmed, &u.Enabled, &u.PasswordHash, &u.PasswordInitial, &u.Epoch, &u.Version,
		&u.Created, &u.Updated, &u.CreatedBy, &u.LastSignIn, &u.Deleted,
	}
}
