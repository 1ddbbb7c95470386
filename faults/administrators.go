package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/rig"
)

// arenas are organizations in which administrators are raced at the same time.
const arenas = 8

// arena is an organization with two administrators at the beginning of a race.
type arena struct {
	*trial
	org    string
	rand   *rand.Rand
	admins []*person
}

// removal is a way to take an administrator away.
type removal struct {
	name string
	root bool // only the platform may
	do   func(ctx context.Context, s *server, org, id, unique string) error
}

var removals = []removal{
	{"disable", false, func(ctx context.Context, s *server, org, id, _ string) error {
		_, err := s.users.DisableUser(ctx, &identityv1.DisableUserRequest{OrganizationId: org, Id: id})
		return err
	}},
	{"delete", false, func(ctx context.Context, s *server, org, id, _ string) error {
		_, err := s.users.DeleteUser(ctx, &identityv1.DeleteUserRequest{OrganizationId: org, Id: id})
		return err
	}},
	{"revoke the role", false, func(ctx context.Context, s *server, org, id, _ string) error {
		_, err := s.roles.RevokeRoles(ctx, &identityv1.RevokeRolesRequest{OrganizationId: org, Id: id, RoleIds: []string{rig.SuperUser}})
		return err
	}},
	{"replace the role", false, func(ctx context.Context, s *server, org, id, _ string) error {
		return patch(ctx, s, org, &identityv1.User{Id: id, RoleIds: []string{rig.Developer}}, "role_ids")
	}},
	{"move the address", false, func(ctx context.Context, s *server, org, id, unique string) error { // takes the confirmation away
		email, present := unique+"@moved.example", rig.Password // asked for where it is one's own
		return patch(ctx, s, org, &identityv1.User{Id: id, Email: &email, CurrentPassword: &present}, "email")
	}},
	{"unconfirm", true, func(ctx context.Context, s *server, org, id, _ string) error {
		confirmed := false
		return patch(ctx, s, org, &identityv1.User{Id: id, Confirmed: &confirmed}, "confirmed")
	}},
}

func patch(ctx context.Context, s *server, org string, u *identityv1.User, path string) error {
	_, err := s.users.UpdateUser(ctx, &identityv1.UpdateUserRequest{OrganizationId: org, User: u, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{path}}})
	return err
}

// reasons that a loser may be told. NOT_FOUND is for whom a third one deleted.
var losses = map[string]bool{
	"LAST_ADMINISTRATOR": true, "TOKEN_INVALID": true, "PERMISSION_DENIED": true, "GRANT_EXCEEDS_OWN": true,
	"CREDENTIALS_INVALID": true, "RATE_LIMITED": true, // the seed's administrators have no password to give for a change of their own
}

// reasonOf is the reason that an error carries, or its code.
func reasonOf(err error) string {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return status.Code(err).String()
}

// administrators has both administrators of an organization removed at once
// through both servers, over and over: one always stays.
func administrators(ctx context.Context, t *trial) error {
	grounds, err := t.newArenas(ctx)
	if err != nil {
		return err
	}
	said, err := t.race(ctx, grounds, false)
	t.note("%d races: %v", t.size, said)
	return err
}

func (t *trial) newArenas(ctx context.Context) (all [arenas]*arena, err error) {
	for i := range all {
		all[i] = &arena{trial: t, rand: t.fork()}
		if all[i].org, err = t.newOrganization(ctx); err != nil {
			return all, err
		}
	}
	return all, nil
}

// race runs the races of a trial in all arenas.
func (t *trial) race(ctx context.Context, grounds [arenas]*arena, faults bool) (*tally, error) {
	said := &tally{}
	var left atomic.Int64
	left.Store(int64(t.size))
	var failed firstError
	var all sync.WaitGroup
	for _, a := range grounds {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				if failed.note(a.round(ctx, said, faults)) {
					return
				}
			}
			failed.note(a.patiently(ctx, faults, func(ctx context.Context) error { return t.checkNumbers(ctx, a.org) }))
		})
	}
	all.Wait()
	return said, failed.err
}

// round is one race, from two administrators to what is left of them.
func (a *arena) round(ctx context.Context, said *tally, faults bool) error {
	if err := a.fill(ctx, faults); err != nil {
		return err
	}
	type call struct {
		by     string // token
		root   bool
		target *person
		r      removal
		s      *server
		after  time.Duration
	}
	cross := a.rand.IntN(4) > 0 // or each itself
	var calls []call
	for i, by := range a.admins {
		target := by
		if cross {
			target = a.admins[1-i]
		}
		calls = append(calls, call{by: by.token, target: target, r: a.removal(false)})
	}
	third := a.rand.IntN(4) == 0
	if third {
		for _, target := range a.admins {
			calls = append(calls, call{by: a.root.Token, root: true, target: target, r: a.removal(true)})
		}
	}
	first := a.rand.IntN(2)
	for i := range calls {
		calls[i].s, calls[i].after = a.servers[(first+i)%2], time.Duration(a.rand.Int64N(int64(time.Millisecond)))
	}
	var all sync.WaitGroup
	for _, c := range calls {
		unique := fmt.Sprintf("m%d", a.serial.Add(1))
		all.Go(func() {
			time.Sleep(c.after)
			one, cancel := context.WithTimeout(rig.Bearing(ctx, c.by), patience)
			defer cancel()
			err := c.r.do(one, c.s, a.org, c.target.id, unique)
			reason := reasonOf(err)
			said.add(reason)
			ok := err == nil || losses[reason] || (third && reason == "NOT_FOUND") || (faults && allowed[status.Code(err)])
			if !ok && ctx.Err() == nil {
				a.fail("%s at %s: the loser is told %v", c.r.name, c.s.name, err)
			}
		})
	}
	all.Wait()
	return a.survivors(ctx, faults)
}

func (a *arena) removal(root bool) removal {
	for {
		if r := removals[a.rand.IntN(len(removals))]; root || !r.root {
			return r
		}
	}
}

// fill makes administrators until there are two, signed in at one of the
// servers: the other has not seen them yet.
func (a *arena) fill(ctx context.Context, faults bool) error {
	for len(a.admins) < 2 {
		p := a.draftPerson()
		if err := a.patiently(ctx, faults, func(ctx context.Context) error { return a.write(ctx, a.org, rig.SuperUser, []*person{p}) }); err != nil {
			return err
		}
		a.admins = append(a.admins, p)
	}
	for _, p := range a.admins {
		if p.token != "" {
			continue
		}
		s := a.servers[a.rand.IntN(2)]
		if err := a.patiently(ctx, faults, func(ctx context.Context) error { return p.signIn(ctx, s) }); err != nil {
			return err
		}
	}
	return nil
}

// patiently tries once, or where faults happen until it works.
func (a *arena) patiently(ctx context.Context, faults bool, do func(context.Context) error) error {
	if !faults {
		return do(ctx)
	}
	_, err := until(ctx, do)
	return err
}

// survivors looks who is left, by the rows.
func (a *arena) survivors(ctx context.Context, faults bool) error {
	var left []*person
	err := a.patiently(ctx, faults, func(ctx context.Context) (err error) {
		left, err = a.standing(ctx)
		return err
	})
	if err != nil {
		return err
	}
	if len(left) == 0 {
		a.fail("the organization has no administrator left")
	}
	a.admins = left
	return nil
}

// standing reads which of the administrators still are.
func (a *arena) standing(ctx context.Context) (left []*person, err error) {
	rows, err := a.pairs(ctx, `
		SELECT u.id, '' FROM users u JOIN grants g ON g.organization_id = u.organization_id AND g.principal_id = u.id
		WHERE u.organization_id = $1 AND g.role_id = $2 AND g.expire_time = 0
		AND u.enabled AND u.confirmed AND u.delete_time = 0 AND u.password_hash <> ''`, a.org, rig.SuperUser)
	if err != nil {
		return nil, err
	}
	for _, p := range a.admins {
		if slices.ContainsFunc(rows, func(row [2]string) bool { return row[0] == p.id }) {
			left = append(left, p)
		}
	}
	return left, nil
}

// administratorsUnderFire is administrators while the database is killed and
// connections are cut.
func administratorsUnderFire(ctx context.Context, t *trial) error {
	grounds, err := t.newArenas(ctx)
	if err != nil {
		return err
	}
	burning, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	var killed, cuts atomic.Int64
	var failed firstError
	random := t.fork()
	all.Go(func() {
		for burning.Err() == nil {
			time.Sleep(time.Duration(50+random.IntN(250)) * time.Millisecond)
			if killed.Load() == 0 || random.IntN(10) == 0 {
				t.cluster.Kill()
				killed.Add(1)
				if failed.note(t.cluster.Restart(ctx)) {
					return
				}
				continue
			}
			cuts.Add(1)
			t.servers[random.IntN(2)].wire.arm(cut{places[random.IntN(len(places))], random.IntN(2) == 0})
		}
	})
	said, err := t.race(ctx, grounds, true)
	stop()
	all.Wait()
	for _, s := range t.servers {
		s.wire.disarm()
	}
	t.note("%d races while the database was killed %d times and %d connections were cut: %v", t.size, killed.Load(), cuts.Load(), said)
	if failed.note(err) {
		return failed.err
	}
	_, err = t.recovered(ctx)
	return err
}
