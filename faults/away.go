package main

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/rig"
	"github.com/bizmetry/identity/service/authority"
)

// sure is how long verifying must go on at least: the budget, counted from a
// poll that may have been a moment before, and a breath.
const sure = authority.DefaultBudget - time.Second

// away takes the database away: tokens are verified and permissions checked
// from memory for the staleness budget, and then refused. Changes are at once.
func away(ctx context.Context, t *trial) error {
	y, err := t.newTenancy(ctx)
	if err != nil {
		return err
	}
	ways := []struct {
		name        string
		leave, back func() error
	}{
		{"killed", func() error { t.cluster.Kill(); return nil }, func() error { return t.cluster.Restart(ctx) }},
		{"unreachable", func() error { t.eachWire((*proxy).refuse, true); return nil }, func() error { t.eachWire((*proxy).refuse, false); return nil }},
		{"silent", func() error { t.eachWire((*proxy).silence, true); return nil }, func() error { t.eachWire((*proxy).silence, false); return nil }},
	}
	for i := range t.size {
		way := ways[i%len(ways)]
		if err := y.renew(ctx); err != nil {
			return err
		}
		victims, err := y.newVictims(ctx, true, 8)
		if err != nil {
			return err
		}
		time.Sleep(time.Second) // the news of the victims has gone round
		for i, v := range victims {
			if err := y.verifyOrCheck(ctx, t.servers[i%2], v, i/2%2 == 0); err != nil {
				return err
			}
		}
		if err := way.leave(); err != nil {
			return err
		}
		last := y.watchAway(ctx, way.name, victims)
		if err := way.back(); err != nil {
			return err
		}
		took, err := t.recovered(ctx)
		if err != nil {
			return err
		}
		t.within("changes after the database was back", took, databaseBack)
		for _, s := range t.servers {
			if allowed, err := s.mayReport(ctx, victims[0].token, ""); !allowed {
				t.fail("%s: afterwards %s says %v %v", way.name, s.name, allowed, err)
			}
		}
		t.note("database %s: the last answer from memory was asked for after %v; changes again %v after it was back",
			way.name, last.Round(time.Millisecond), took.Round(time.Millisecond))
	}
	return nil
}

func (t *trial) eachWire(do func(*proxy, bool), on bool) {
	for _, s := range t.servers {
		do(s.wire, on)
		do(s.listening, on)
	}
}

// watchAway asks both servers until well after the budget, and returns when
// the last question was asked that was answered from memory.
func (t tenancy) watchAway(ctx context.Context, way string, victims []*victim) (last time.Duration) {
	gone := time.Now()
	var mu sync.Mutex
	var all sync.WaitGroup
	for i, v := range victims {
		s := t.servers[i%2]
		all.Go(func() {
			for time.Since(gone) < authority.DefaultBudget+2*time.Second {
				asked := time.Since(gone)
				err := t.verifyOrCheck(ctx, s, v, i/2%2 == 0)
				code := status.Code(err)
				switch {
				case code != codes.OK && code != codes.Unavailable && code != codes.DeadlineExceeded:
					t.fail("database %s, after %v: %s says %v", way, asked, s.name, err)
				case code == codes.OK && asked > authority.DefaultBudget:
					t.fail("database %s: %s still answers from memory after %v", way, s.name, asked)
				case code != codes.OK && asked < sure:
					t.fail("database %s: %s does not answer from memory after %v: %v", way, s.name, asked, err)
				case code == codes.OK:
					mu.Lock()
					last = max(last, asked)
					mu.Unlock()
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	all.Go(func() { t.refusesChange(ctx, way) })
	all.Wait()
	return last
}

func (t tenancy) verifyOrCheck(ctx context.Context, s *server, v *victim, verify bool) error {
	ctx, cancel := context.WithTimeout(rig.Bearing(ctx, v.token), patience)
	defer cancel()
	if verify {
		resp, err := s.apps.IntrospectToken(ctx, &identityv1.IntrospectTokenRequest{Token: v.token})
		if err == nil && !resp.GetActive() {
			t.fail("%s says that a good token is not active", s.name)
		}
		return err
	}
	resp, err := s.roles.CheckPermission(ctx, &identityv1.CheckPermissionRequest{Permission: reports})
	if err == nil && !resp.GetAllowed() {
		t.fail("%s says that a right that is there is not", s.name)
	}
	return err
}

func (t tenancy) refusesChange(ctx context.Context, way string) {
	for _, s := range t.servers {
		ctx, cancel := context.WithTimeout(rig.Bearing(ctx, t.admin.Token), patience)
		name := "not made"
		_, err := s.apps.CreateServiceAccount(ctx, &identityv1.CreateServiceAccountRequest{
			ServiceAccount: &identityv1.ServiceAccount{DisplayName: &name, RoleIds: []string{rig.Agent}},
		})
		cancel()
		if code := status.Code(err); code != codes.Unavailable && code != codes.DeadlineExceeded {
			t.fail("database %s: a change at %s is told %v", way, s.name, err)
		}
	}
}
