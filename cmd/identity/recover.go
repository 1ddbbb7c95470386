package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/bizmetry/identity/service/organization"
	"github.com/bizmetry/identity/service/secret"
)

type recoverCmd struct {
	databaseSettings
	Email        string `required:"" help:"E-mail address of the user."`
	Organization string `placeholder:"ID" help:"Organization of a user whose address is not confirmed."`
	Grant        bool   `help:"Make the user a Super User too."`
}

// Run lets a user in again and prints the password this once.
func (c *recoverCmd) Run(ctx context.Context, o output) error {
	st, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	if pending, err := st.Pending(ctx); err != nil || pending > 0 {
		return errors.Join(err, errors.New("the schema is not current: run identity migrate first"))
	}
	ring, err := c.keyRing(ctx, st)
	if err != nil {
		return err
	}
	passwords, err := secret.NewPasswords(secret.PasswordsConfig{Rand: rand.Reader})
	if err != nil {
		return err
	}
	r, err := organization.Recover(ctx, organization.Founding{
		Store: st, Ring: ring, Passwords: passwords, Now: time.Now, Rand: rand.Reader,
	}, organization.Lost{Email: c.Email, Organization: c.Organization, Grant: c.Grant})
	if err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	_, err = fmt.Fprintf(o.out, "user %s of organization %s can sign in again\npassword, shown this once: %s\n", r.User, r.Organization, r.Password)
	return err
}
