package organization

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/bizmetry/identity/service/contact"
	"github.com/bizmetry/identity/service/id"
	"github.com/bizmetry/identity/service/keys"
	"github.com/bizmetry/identity/service/password"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/service/user"
	"github.com/bizmetry/identity/service/wire"
	"github.com/bizmetry/identity/store"
)

// Founder is the first person, and what else the first start needs.
type Founder struct {
	Email string
	// Password of the founder; empty: one is generated and returned.
	Password     string
	FirstName    string
	LastName     string
	Organization string
}

// Founding is what Bootstrap works with: the database, the master keys, and
// what hashes the password of the founder.
type Founding struct {
	Store     *store.Store
	Ring      *secret.KeyRing
	Passwords *secret.Passwords
	Now       func() time.Time
	Rand      io.Reader
}

// Empty tells whether the database was never bootstrapped.
func Empty(ctx context.Context, st *store.Store) (bool, error) {
	_, err := st.Platform(ctx)
	if wire.IsNotFound(err) {
		return true, nil
	}
	return false, err
}

// Bootstrap makes the platform organization, its first Super User and
// Platform Operator, and the first signing key, in an empty database. Of
// several at once one wins; done is false where it was done already.
func Bootstrap(ctx context.Context, with Founding, f Founder) (chosen string, done bool, err error) {
	if empty, err := Empty(ctx, with.Store); err != nil || !empty {
		return "", false, err
	}
	org, u, chosen, err := with.founded(ctx, f)
	if err != nil {
		return "", false, err
	}
	key, err := keys.NewSigningKey(with.Ring, with.Rand, with.Now(), with.Now())
	if err != nil {
		return "", false, err
	}
	err = with.Store.Found(ctx, func(t *store.Tx) error {
		if err := t.AddOrganization(ctx, org); err != nil {
			return err
		}
		t.Record(store.Event{Org: org.ID, Time: org.Created, Type: store.EventOrganizationCreated, Target: org.ID})
		if err := t.AddSigningKey(ctx, key); err != nil {
			return err
		}
		t.Record(store.Event{Org: org.ID, Time: org.Created, Type: store.EventSigningKeyCreated, Target: key.ID})
		return addFounder(ctx, t, u)
	})
	if errors.Is(err, store.ErrExists) {
		return "", false, nil // another replica was first
	}
	return chosen, err == nil, err
}

// founded makes the rows of the platform organization and its first person.
func (with Founding) founded(ctx context.Context, f Founder) (org store.Organization, u store.User, chosen string, err error) {
	now := store.At(with.Now())
	address, ok := contact.ParseEmail(f.Email)
	if !ok {
		return org, u, "", fmt.Errorf("%q is no e-mail address", f.Email)
	}
	org = store.Organization{
		ID: id.New(with.Now(), with.Rand), DisplayName: f.Organization, Platform: true, PasswordPolicy: secret.Standard, ChangeInitialPassword: true,
		Epoch: now, Version: 1, Created: now, Updated: now,
	}
	u = store.User{
		Org: org.ID, ID: id.New(with.Now(), with.Rand), Email: address.Text, EmailKey: address.Key, Confirmed: true, Enabled: true,
		Epoch: now, Version: 1, Created: now, Updated: now,
	}
	user.SetName(&u, f.FirstName, f.LastName)
	avoid := password.Avoided(org, u)
	if chosen = f.Password; chosen == "" {
		if chosen, err = secret.Generate(with.Rand, avoid...); err != nil {
			return org, u, "", err
		}
	}
	if unmet := secret.UnmetRules(org.PasswordPolicy, chosen, avoid...); len(unmet) > 0 {
		return org, u, "", fmt.Errorf("the password does not meet the rules %v", unmet)
	}
	u.PasswordHash, err = with.Passwords.Hash(ctx, chosen)
	return org, u, chosen, err
}

func addFounder(ctx context.Context, t *store.Tx, u store.User) error {
	if err := t.AddUser(ctx, u); err != nil {
		return err
	}
	if err := t.Enlist(ctx, store.Entry{Kind: store.ConfirmedEmail, Key: u.EmailKey, Org: u.Org, ID: u.ID}); err != nil {
		return err
	}
	for _, role := range []string{superUser, platformOperator} {
		if err := t.PutGrants(ctx, store.Grant{Org: u.Org, Principal: u.ID, Role: role, Created: u.Created}); err != nil {
			return err
		}
	}
	t.Record(store.Event{
		Org: u.Org, Time: u.Created, Type: store.EventUserCreated, Target: u.ID, Data: store.Data{"roles": superUser + "," + platformOperator},
	})
	return nil
}
