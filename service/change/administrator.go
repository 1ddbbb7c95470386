package change

import (
	"context"

	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/perm"
)

// KeepAdministrator runs fn. It returns ErrLastAdministrator, which rolls the
// change back, if the organization had an administrator before and has none after.
func (tx *Tx) KeepAdministrator(ctx context.Context, fn func() error) error {
	before, err := tx.Administered(ctx)
	if err != nil {
		return err
	}
	if err := fn(); err != nil || !before {
		return err
	}
	after, err := tx.Administered(ctx)
	if err == nil && !after {
		err = answer.ErrLastAdministrator
	}
	return err
}

// Administered tells whether the organization has an administrator, as the
// change has left it so far.
func (tx *Tx) Administered(ctx context.Context) (bool, error) {
	return tx.HasAdministrator(ctx, tx.Org.ID, tx.Catalogue.RolesWith(perm.Administer), perm.Administer)
}

// MayConfirm tells whether the caller may set confirmed: administrators of
// the platform organization may, wherever they may act.
func (d *Decision) MayConfirm() bool { return d.By.Platform && d.By.Has(perm.Administer) }
