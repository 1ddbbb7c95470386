package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/bizmetry/identity/service/organization"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/store"
)

type bootstrapCmd struct {
	databaseSettings
	Email        string `env:"IDENTITY_BOOTSTRAP_EMAIL" required:"" help:"E-mail address of the first administrator."`
	FirstName    string `default:"Platform" help:"First name."`
	LastName     string `default:"Administrator" help:"Last name."`
	Organization string `default:"Platform" help:"Name of the platform organization."`
}

func (c *bootstrapCmd) Run(ctx context.Context, o output) error {
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
	return bootstrap(ctx, o, st, ring, organization.Founder{
		Email: c.Email, FirstName: c.FirstName, LastName: c.LastName, Organization: c.Organization,
	})
}

// bootstrap founds an empty database and prints the login. A generated
// password is shown this once.
func bootstrap(ctx context.Context, o output, st *store.Store, ring *secret.KeyRing, f organization.Founder) error {
	f.Password = os.Getenv(bootstrapPasswordEnv)
	passwords, err := secret.NewPasswords(secret.PasswordsConfig{Rand: rand.Reader})
	if err != nil {
		return err
	}
	password, done, err := organization.Bootstrap(ctx, organization.Founding{
		Store: st, Ring: ring, Passwords: passwords, Now: time.Now, Rand: rand.Reader,
	}, f)
	if err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	switch {
	case !done:
		_, err = fmt.Fprintln(o.out, "bootstrapped already: nothing changed")
	case f.Password != "":
		_, err = fmt.Fprintf(o.out, "first administrator: %s (password from the environment)\n", f.Email)
	default:
		_, err = fmt.Fprintf(o.out, "first administrator: %s\npassword, shown this once: %s\n", f.Email, password)
	}
	return err
}
