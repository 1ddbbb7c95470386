package organization

import (
	"context"
	"errors"
	"fmt"

	"github.com/bizmetry/identity/service/contact"
	"github.com/bizmetry/identity/service/id"
	"github.com/bizmetry/identity/service/limit"
	"github.com/bizmetry/identity/service/password"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/service/wire"
	"github.com/bizmetry/identity/store"
)

// Lost is a user who cannot sign in any more, and whom nobody else can help.
type Lost struct {
	Email string
	// Organization finds a user whose address is not confirmed; empty: it is.
	Organization string
	// Grant makes the user a Super User too.
	Grant bool
}

// Recovered is who was let in again, and the password that they replace at their
// next sign-in.
type Recovered struct{ Organization, User, Password string }

// Recover lets a user in again: enabled, confirmed, with a new password and
// without a wait. What they were signed in with ends. It is done on the database,
// by whoever has the keys, so no rule about callers applies; the event has no actor.
func Recover(ctx context.Context, with Founding, l Lost) (r Recovered, err error) {
	if r.Organization, r.User, err = with.find(ctx, l); err != nil {
		return r, err
	}
	u, err := with.Store.User(ctx, r.Organization, r.User)
	if err != nil {
		return r, fmt.Errorf("the user %s: %w", r.User, err)
	}
	org, err := with.Store.Organization(ctx, r.Organization)
	if err != nil {
		return r, err
	}
	if org.Suspended {
		return r, fmt.Errorf("the organization %s is suspended", org.ID)
	}
	if r.Password, err = secret.Generate(with.Rand, password.Avoided(org, u)...); err != nil {
		return r, err
	}
	hash, err := with.Passwords.Hash(ctx, r.Password)
	if err != nil {
		return r, err
	}
	_, err = with.Store.Change(ctx, r.Organization, func(t *store.Tx) error { return with.restore(ctx, t, r, hash, l.Grant) })
	if store.Taken(err) != "" {
		err = errors.New("the address is confirmed by another user")
	}
	return r, err
}

// find returns the organization and the id of a user.
func (with Founding) find(ctx context.Context, l Lost) (org, user string, err error) {
	address, ok := contact.ParseEmail(l.Email)
	if !ok {
		return "", "", fmt.Errorf("%q is no e-mail address", l.Email)
	}
	if l.Organization == "" {
		entry, err := with.Store.Find(ctx, store.ConfirmedEmail, address.Key)
		if wire.IsNotFound(err) {
			err = fmt.Errorf("no user has confirmed %s: name the organization to find one who has not", address.Text)
		}
		return entry.Org, entry.ID, err
	}
	if !id.Valid(l.Organization) {
		return "", "", fmt.Errorf("%q is no id of an organization", l.Organization)
	}
	holders, err := with.Store.AddressHolders(ctx, l.Organization, []string{address.Key})
	if err != nil {
		return "", "", err
	}
	if len(holders) == 0 || holders[0].ID == "" { // or one who is deleted
		return "", "", fmt.Errorf("no user of the organization %s has %s", l.Organization, address.Text)
	}
	return l.Organization, holders[0].ID, nil
}

// restore is the change, under the lock of the organization.
func (with Founding) restore(ctx context.Context, t *store.Tx, r Recovered, hash string, grant bool) error {
	former, err := t.User(ctx, r.Organization, r.User)
	if err != nil {
		return err
	}
	now := store.At(with.Now())
	u := former
	u.PasswordHash, u.PasswordInitial, u.Enabled, u.Confirmed = hash, true, true, true
	u.Epoch, u.Version, u.Updated = max(now, former.Epoch+1), former.Version+1, now
	if !former.Confirmed {
		if err := t.Enlist(ctx, store.Entry{Kind: store.ConfirmedEmail, Key: u.EmailKey, Org: u.Org, ID: u.ID}); err != nil {
			return err
		}
	}
	if err := t.SaveUser(ctx, former, u); err != nil {
		return err
	}
	if err := t.EndSessions(ctx, u.Org, u.ID, "recovered", now); err != nil {
		return err
	}
	if err := t.DeleteDevices(ctx, u.Org, u.ID); err != nil {
		return err
	}
	if err := t.ForgetAttempts(ctx, limit.UserKey(with.Ring, u.Org, u.ID), now); err != nil {
		return err
	}
	data := store.Data{}
	if grant {
		if err := t.PutGrants(ctx, store.Grant{Org: u.Org, Principal: u.ID, Role: superUser, Created: now}); err != nil {
			return err
		}
		data["roles"] = superUser
	}
	t.Record(store.Event{Org: u.Org, Time: now, Type: store.EventUserRecovered, Target: u.ID, Data: data})
	return nil
}
