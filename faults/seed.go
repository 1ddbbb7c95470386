package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/rig"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/store"
)

// person is somebody who is signed in. The rows are written past the service,
// as SignIn and CreateUser would have: hashing passwords is not the question.
type person struct {
	id, email, session, token string
	epoch                     store.Micros
	device                    string // that it signed in on
	hash                      string // of a password; "": of one that nothing fits
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// newOrganization makes an organization with nobody in it.
func (l *lab) newOrganization(ctx context.Context) (string, error) {
	now := store.At(time.Now())
	o := store.Organization{
		ID: newID(), DisplayName: fmt.Sprintf("Organization %d", l.serial.Add(1)), PasswordPolicy: "standard",
		Epoch: now, Version: 1, Created: now, Updated: now,
	}
	_, err := l.store.Change(ctx, l.platform, func(t *store.Tx) error {
		if err := t.AddOrganization(ctx, o); err != nil {
			return err
		}
		t.Record(store.Event{Org: o.ID, Time: now, Type: store.EventOrganizationCreated, Target: o.ID})
		return nil
	})
	return o.ID, err
}

// newPeople makes people of an organization, confirmed, with a role, each with a session.
func (l *lab) newPeople(ctx context.Context, org, role string, n int) ([]*person, error) {
	people := make([]*person, n)
	for i := range people {
		people[i] = l.draftPerson()
	}
	return people, l.write(ctx, org, role, people)
}

func (l *lab) draftPerson() *person {
	return &person{id: newID(), session: newID(), email: fmt.Sprintf("p%d@seeded.example", l.serial.Add(1))}
}

// write writes people; those who are there already stay, so that it can be
// tried again when the outcome is unknown.
func (l *lab) write(ctx context.Context, org, role string, people []*person) error {
	o, err := l.store.Organization(ctx, org)
	if err != nil {
		return err
	}
	now := store.At(time.Now())
	_, err = l.store.Change(ctx, org, func(t *store.Tx) error {
		for _, p := range people {
			if err := p.write(ctx, t, org, role, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, store.ErrExists) {
		return err
	}
	err = l.store.Short(ctx, func(t *store.ShortTx) error {
		for _, p := range people {
			err := t.AddSession(ctx, store.Session{
				Org: org, ID: p.session, User: p.id, Generation: 1, Epoch: p.epoch, OrgEpoch: o.Epoch,
				Created: now, Refreshed: now, Expires: store.At(time.Now().Add(time.Hour)),
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, store.ErrExists) {
		err = nil
	}
	return err
}

func (p *person) write(ctx context.Context, t *store.Tx, org, role string, now store.Micros) error {
	if p.epoch == 0 {
		p.epoch = now
	}
	u := store.User{
		Org: org, ID: p.id, Email: p.email, EmailKey: p.email, FirstName: "A", LastName: "Person", DisplayName: "A Person", NameKey: "a person",
		Confirmed: true, Enabled: true, PasswordHash: cmp.Or(p.hash, "one that nothing fits"), Epoch: p.epoch, Version: 1, Created: now, Updated: now,
	}
	if err := t.AddUser(ctx, u); err != nil {
		return err
	}
	if err := t.Enlist(ctx, store.Entry{Kind: store.ConfirmedEmail, Key: u.EmailKey, Org: org, ID: u.ID}); err != nil {
		return err
	}
	t.Record(store.Event{Org: org, Time: now, Type: store.EventUserCreated, Target: u.ID})
	return t.PutGrants(ctx, store.Grant{Org: org, Principal: u.ID, Role: role, Created: now})
}

// signIn gets a person's first access token from a server.
func (p *person) signIn(ctx context.Context, s *server) error {
	in, err := s.logins.Refresh(ctx, &identityv1.RefreshRequest{RefreshToken: secret.RefreshToken(s.lab.ring, p.session, 1)})
	p.token = in.GetTokens().GetAccessToken()
	return err
}

// newMachine makes a service account of an organization.
func (l *lab) newMachine(ctx context.Context, org string, roles ...string) (*rig.Machine, error) {
	name := fmt.Sprintf("Machine %d", l.serial.Add(1))
	return rig.NewMachine(rig.Bearing(ctx, l.root.Token), l.servers[0].conns[0], org, name, roles...)
}
