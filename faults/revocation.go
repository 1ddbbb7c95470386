package main

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/rig"
	"github.com/bizmetry/identity/service/keys"
)

// victim is somebody whose rights are about to end.
type victim struct {
	id, token string
	*person                // of people
	machine   *rig.Machine // of machines
}

// ending is a way to end somebody's rights.
type ending struct {
	name    string
	machine bool // of a machine; of a person otherwise
	secret  bool // the machine's secret is refused too
	once    bool // a second time it is not there
	end     func(ctx context.Context, s *server, v *victim, opts ...grpc.CallOption) error
}

var endings = []ending{
	{name: "person disabled", end: func(ctx context.Context, s *server, v *victim, opts ...grpc.CallOption) error {
		_, err := s.users.DisableUser(ctx, &identityv1.DisableUserRequest{Id: v.id}, opts...)
		return err
	}},
	{name: "machine disabled", machine: true, secret: true, end: func(ctx context.Context, s *server, v *victim, opts ...grpc.CallOption) error {
		_, err := s.apps.DisableServiceAccount(ctx, &identityv1.DisableServiceAccountRequest{Id: v.id}, opts...)
		return err
	}},
	{name: "role revoked", machine: true, end: func(ctx context.Context, s *server, v *victim, opts ...grpc.CallOption) error {
		_, err := s.roles.RevokeRoles(ctx, &identityv1.RevokeRolesRequest{Id: v.id, RoleIds: []string{rig.Agent}}, opts...)
		return err
	}},
	{name: "credential deleted", machine: true, secret: true, once: true, end: func(ctx context.Context, s *server, v *victim, opts ...grpc.CallOption) error {
		_, err := s.apps.DeleteCredential(ctx, &identityv1.DeleteCredentialRequest{ServiceAccountId: v.id, Id: v.machine.Credential}, opts...)
		return err
	}},
	{name: "token revoked", machine: true, end: func(ctx context.Context, s *server, v *victim, opts ...grpc.CallOption) error {
		_, err := s.apps.RevokeToken(ctx, &identityv1.RevokeTokenRequest{Token: v.token}, opts...)
		return err
	}},
	{name: "session ended", end: func(ctx context.Context, s *server, v *victim, opts ...grpc.CallOption) error {
		_, err := s.logins.SignOut(ctx, &identityv1.SignOutRequest{Id: v.session}, opts...)
		return err
	}},
}

// reports is a permission of the built-in role Agent, which victims have.
const reports = "agents.report"

// mayReport tells whether a server lets a token's owner do what its role
// allows. An answer that is neither yes nor no is an error.
func (s *server) mayReport(ctx context.Context, token, atLeast string) (bool, error) {
	ctx, cancel := context.WithTimeout(rig.Bearing(ctx, token), patience)
	defer cancel()
	resp, err := s.roles.CheckPermission(ctx, &identityv1.CheckPermissionRequest{Permission: reports, AtLeast: atLeast})
	switch status.Code(err) {
	case codes.OK:
		return resp.GetAllowed(), nil
	case codes.Unauthenticated, codes.PermissionDenied:
		return false, nil
	}
	return false, err
}

// tenancy is an organization with an administrator, a machine.
type tenancy struct {
	*trial
	org   string
	admin *rig.Machine
}

func (t *trial) newTenancy(ctx context.Context) (tenancy, error) {
	org, err := t.newOrganization(ctx)
	if err != nil {
		return tenancy{}, err
	}
	if _, err := t.newPeople(ctx, org, rig.SuperUser, 1); err != nil {
		return tenancy{}, err
	}
	admin, err := t.newMachine(ctx, org, rig.SuperUser)
	return tenancy{t, org, admin}, err
}

// newVictims makes victims whom both servers know and let report.
func (t tenancy) newVictims(ctx context.Context, machines bool, n int) ([]*victim, error) {
	all := make([]*victim, n)
	people, err := t.newPeople(ctx, t.org, rig.Agent, map[bool]int{false: n}[machines])
	if err != nil {
		return nil, err
	}
	var failed firstError
	parallel(n, 8, func(i int) {
		v := &victim{}
		if machines {
			var err error
			v.machine, err = t.newMachine(ctx, t.org, rig.Agent)
			if failed.note(err) {
				return
			}
			v.id, v.token = v.machine.ID, v.machine.Token
		} else {
			v.person = people[i]
			if failed.note(v.signIn(ctx, t.servers[i%2])) {
				return
			}
			v.id, v.token = v.person.id, v.person.token
		}
		for _, s := range t.servers {
			allowed, err := s.mayReport(ctx, v.token, "")
			if !failed.note(err) && !allowed {
				failed.note(fmt.Errorf("%s does not know a new victim", s.name))
			}
		}
		all[i] = v
	})
	return all, failed.err
}

// firstError keeps the first error of many goroutines.
type firstError struct {
	once sync.Once
	err  error
}

// note tells whether there is an error.
func (f *firstError) note(err error) bool {
	if err != nil {
		f.once.Do(func() { f.err = err })
	}
	return err != nil
}

// revocation ends rights at one server, and watches both: the same one refuses
// with its answer, the other within a second, or at once where it is asked for
// what the answer names, and neither ever goes back.
func revocation(ctx context.Context, t *trial) error {
	y, err := t.newTenancy(ctx)
	if err != nil {
		return err
	}
	for _, e := range endings {
		if err := y.renew(ctx); err != nil {
			return err
		}
		few := max(2, t.size/10)
		victims, err := y.newVictims(ctx, e.machine, t.size+2*few)
		if err != nil {
			return err
		}
		var lag times
		parallel(t.size, 16, func(i int) { y.watchBoth(ctx, e, victims[i], t.servers[i%2], &lag) })
		parallel(few, 16, func(i int) { y.readOwn(ctx, e, victims[t.size+i], t.servers[i%2]) })
		parallel(few, 16, func(i int) { y.endTwice(ctx, e, victims[t.size+few+i], t.servers[i%2]) })
		y.stillRefused(ctx, e, victims)
		t.note("%s: %d refused at once on the same server; seen by the other after %v", e.name, len(victims), &lag)
	}
	return t.checkNumbers(ctx, y.org)
}

func (t tenancy) renew(ctx context.Context) (err error) {
	t.admin.Token, err = t.admin.NewToken(ctx, t.servers[0].apps)
	return err
}

// end ends a victim's rights at a server, which then refuses at once. It
// returns the revision of the change.
func (t tenancy) end(ctx context.Context, e ending, v *victim, s *server) (revision string) {
	var header metadata.MD
	if err := e.end(rig.Bearing(ctx, t.admin.Token), s, v, grpc.Header(&header)); err != nil {
		t.fail("%s at %s: %v", e.name, s.name, err)
	}
	t.refuses(ctx, e, v, s, "")
	return strings.Join(header.Get("identity-revision"), "")
}

func (t tenancy) refuses(ctx context.Context, e ending, v *victim, s *server, atLeast string) {
	if allowed, err := s.mayReport(ctx, v.token, atLeast); allowed || err != nil {
		t.fail("%s: %s says %v %v", e.name, s.name, allowed, err)
	}
}

// readOwn names what the answer named: then the other server refuses at once too.
func (t tenancy) readOwn(ctx context.Context, e ending, v *victim, s *server) {
	t.refuses(ctx, e, v, t.other(s), t.end(ctx, e, v, s))
}

// endTwice asks the other server to do the same, which then refuses at once too.
func (t tenancy) endTwice(ctx context.Context, e ending, v *victim, s *server) {
	t.end(ctx, e, v, s)
	if e.once {
		return
	}
	t.end(ctx, e, v, t.other(s))
}

// watchBoth asks the other server until it refuses.
func (t tenancy) watchBoth(ctx context.Context, e ending, v *victim, s *server, lag *times) {
	t.end(ctx, e, v, s)
	acknowledged, other := time.Now(), t.other(s)
	if v.machine != nil && e.secret {
		t.refusesSecret(ctx, e.name, v, s)
	}
	for {
		asked := time.Now()
		allowed, err := other.mayReport(ctx, v.token, "")
		if err != nil {
			t.fail("%s: %s says %v", e.name, other.name, err)
			return
		}
		if !allowed {
			lag.add(time.Since(acknowledged))
			return
		}
		if asked.Sub(acknowledged) > noticed+t.slack { // yes to a question asked too late
			t.fail("%s at %s: %s says yes %v later", e.name, s.name, other.name, asked.Sub(acknowledged))
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// refusesSecret asks for a token with what was ended. Each victim comes from an
// address of its own: failures of one address are limited.
func (t tenancy) refusesSecret(ctx context.Context, what string, v *victim, s *server) {
	n := t.serial.Add(1)
	ctx = metadata.AppendToOutgoingContext(ctx, "x-forwarded-for", fmt.Sprintf("10.%d.%d.%d", n>>16&255, n>>8&255, n&255))
	if _, err := v.machine.NewToken(ctx, s.apps); status.Code(err) != codes.Unauthenticated {
		t.fail("%s at %s: asked for a token it says %v", what, s.name, err)
	}
}

// stillRefused asks again later, both servers for all.
func (t tenancy) stillRefused(ctx context.Context, e ending, victims []*victim) {
	time.Sleep(noticed)
	parallel(len(victims), 16, func(i int) {
		for _, s := range t.servers {
			if allowed, err := s.mayReport(ctx, victims[i].token, ""); allowed || err != nil {
				t.fail("%s: later %s says %v %v", e.name, s.name, allowed, err)
			}
		}
	})
}

// unheard is revocation while no replica hears the others' notifications:
// they poll.
func unheard(ctx context.Context, t *trial) error {
	for _, s := range t.servers {
		s.listening.refuse(true)
		defer s.listening.refuse(false)
	}
	y, err := t.newTenancy(ctx)
	if err != nil {
		return err
	}
	victims, err := y.newVictims(ctx, true, t.size)
	if err != nil {
		return err
	}
	var lag times
	for i, v := range victims { // one after the other: each is a poll's own
		y.watchBoth(ctx, endings[t.rand.IntN(3)+2], v, t.servers[i%2], &lag)
	}
	t.note("without notifications seen by the other server after %v", &lag)
	return nil
}

// keyEnds ends signing keys, as identity keys revoke does, and watches both servers.
func keyEnds(ctx context.Context, t *trial) error {
	y, err := t.newTenancy(ctx)
	if err != nil {
		return err
	}
	victims, err := y.newVictims(ctx, true, 1)
	if err != nil {
		return err
	}
	v := victims[0]
	operator := keys.Keys{Store: t.store, Ring: t.ring, Now: time.Now, Rand: rand.Reader}
	var lag times
	for range t.size {
		rows, err := t.store.SigningKeys(ctx)
		if err != nil {
			return err
		}
		for _, row := range rows[:len(rows)-1] { // of a schedule; there is none here
			return fmt.Errorf("key %s beside the one that signs", row.ID)
		}
		if err := operator.Revoke(ctx, rows[0].ID); err != nil {
			return err
		}
		t.watchKey(ctx, v, time.Now(), &lag)
		if err := t.newToken(ctx, v, t.rand); err != nil {
			return err
		}
	}
	t.note("keys revoked: both servers refuse their tokens after %v", &lag)
	return t.checkNumbers(ctx, t.platform)
}

func (t *trial) watchKey(ctx context.Context, v *victim, acknowledged time.Time, lag *times) {
	for _, s := range t.servers {
		for {
			asked := time.Now()
			allowed, err := s.mayReport(ctx, v.token, "")
			if err != nil {
				t.fail("%s says %v", s.name, err)
			}
			if err != nil || !allowed {
				break
			}
			if asked.Sub(acknowledged) > noticed+t.slack {
				t.fail("%s accepts a token %v after its key was revoked", s.name, asked.Sub(acknowledged))
				break
			}
			time.Sleep(2 * time.Millisecond)
		}
	}
	lag.add(time.Since(acknowledged))
}

// newToken gives the victim a token of the new key, good at both servers.
func (t *trial) newToken(ctx context.Context, v *victim, random *mathrand.Rand) error {
	s := t.servers[random.IntN(2)]
	_, err := until(ctx, func(ctx context.Context) (err error) {
		if v.token, err = v.machine.NewToken(ctx, s.apps); err != nil {
			return err
		}
		for _, s := range t.servers {
			allowed, err := s.mayReport(ctx, v.token, "")
			if err == nil && !allowed {
				err = fmt.Errorf("%s does not know the new key yet", s.name)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return err
}
