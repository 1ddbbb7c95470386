package main

import (
	"context"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/rig"
	"github.com/bizmetry/identity/service/authority"
)

// victimsFrozen are revoked while a server stands still, in each round.
const victimsFrozen = 50

// triesFrozen outlast the transaction of a server that stands still: each waits for three seconds.
const triesFrozen = 8

// frozen stops a server, ends rights at the other, and lets the first go on:
// what it answers then, also to what was sent meanwhile, is not from before.
func frozen(ctx context.Context, t *trial) error {
	y, err := t.newTenancy(ctx)
	if err != nil {
		return err
	}
	answers := 0
	for i := range t.size {
		if err := y.renew(ctx); err != nil {
			return err
		}
		e := endings[t.rand.IntN(len(endings))]
		victims, err := y.newVictims(ctx, e.machine, victimsFrozen)
		if err != nil {
			return err
		}
		standstill := noticed + time.Duration(t.rand.Int64N(int64(2*time.Second)))
		switch i % 10 {
		case 1, 5, 8: // longer than memory is ever believed
			standstill += authority.DefaultBudget
		case 9:
			standstill = time.Minute
		}
		n, err := y.freeze(ctx, e, victims, t.servers[i%2], standstill)
		if err != nil {
			return err
		}
		answers += n
	}
	t.note("%d answers of servers that were stopped for more than a second after the revocation, none from before", answers)
	return nil
}

func (t tenancy) freeze(ctx context.Context, e ending, victims []*victim, s *server, standstill time.Duration) (answers int, err error) {
	s.proc.Signal(syscall.SIGSTOP)
	defer s.proc.Signal(syscall.SIGCONT)
	other := t.other(s)
	var failed firstError
	parallel(len(victims), 8, func(i int) {
		var err error
		for range triesFrozen { // who stands still may hold a row, until the database ends its transaction
			if err = e.end(rig.Bearing(ctx, t.admin.Token), other, victims[i]); status.Code(err) != codes.Unavailable {
				break
			}
		}
		failed.note(err)
	})
	if failed.err != nil {
		return 0, failed.err
	}
	revoked := time.Now()
	var all sync.WaitGroup
	ask := func(v *victim) {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(rig.Bearing(ctx, v.token), standstill+patience)
			defer cancel()
			resp, err := s.roles.CheckPermission(ctx, &identityv1.CheckPermissionRequest{Permission: reports})
			if err == nil && resp.GetAllowed() {
				t.fail("%s: %s, stopped for %v after it, says yes", e.name, s.name, time.Since(revoked).Round(time.Millisecond))
			}
		})
	}
	for _, v := range victims[:len(victims)/2] { // answered as soon as it goes on
		ask(v)
	}
	time.Sleep(time.Until(revoked.Add(standstill)))
	s.proc.Signal(syscall.SIGCONT)
	for _, v := range victims {
		ask(v)
	}
	all.Wait()
	return len(victims) * 3 / 2, nil
}
