package service

import "context"

// administers is the permission that makes an administrator.
const administers = "platform.administer"

// keepingAdministrator makes a change after which the organization still has
// an administrator, if it had one before; otherwise everything is rolled back.
func (ch *change) keepingAdministrator(ctx context.Context, fn func() error) error {
	before, err := ch.hasAdministrator(ctx)
	if err != nil {
		return err
	}
	if err := fn(); err != nil || !before {
		return err
	}
	after, err := ch.hasAdministrator(ctx)
	if err == nil && !after {
		err = errLastAdministrator
	}
	return err
}

func (ch *change) hasAdministrator(ctx context.Context) (bool, error) {
	return ch.HasAdministrator(ctx, ch.org.ID, ch.cat.RolesWith(administers), administers)
}

// mayConfirm tells whether the caller may set confirmed: administrators of
// the platform organization may, wherever they may act.
func (d *decision) mayConfirm() bool { return d.by.Platform && d.by.has(administers) }
