package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// loadWorkers change things at the same time while faults happen.
const loadWorkers = 12

// Bounds of the contract.
const (
	serverBack   = 2 * time.Second // from the start of the process to the first answer
	databaseBack = 5 * time.Second // after the database accepts connections
	noticed      = time.Second     // a revocation, on the other replica
)

// storm is a load while something happens to it, and the check after it.
func (t *trial) storm(ctx context.Context, happen func(*load) error) error {
	l, err := t.newLoad(ctx)
	if err != nil {
		return err
	}
	if err := l.start(ctx, loadWorkers); err != nil {
		return err
	}
	happened := happen(l)
	if err := l.finish(ctx); err != nil {
		return err
	}
	again, lost := 0, 0
	for _, e := range l.book.entries {
		if e.Answers > 1 {
			again++
		}
		lost += e.Answers - 1
	}
	t.note("%d changes acknowledged and found once, %d of them after %d calls without an outcome", len(l.book.entries), again, lost)
	t.note("A said: %v; B said: %v", &l.said[0], &l.said[1])
	return happened
}

// settleDown lets the load run for a moment that the seed decides.
func (t *trial) settleDown(least, most time.Duration) {
	time.Sleep(least + time.Duration(t.rand.Int64N(int64(most-least))))
}

// killServers ends servers by kill -9 at any moment of changes. The other one
// does not notice.
func killServers(ctx context.Context, t *trial) error {
	var back times
	return t.storm(ctx, func(l *load) error {
		l.spared.Store(true)
		for range t.size {
			s := t.servers[t.rand.IntN(2)]
			t.settleDown(30*time.Millisecond, 300*time.Millisecond)
			took, err := s.kill(ctx)
			if err != nil {
				return err
			}
			back.add(took)
			t.within("the start of "+s.name, took, serverBack)
		}
		t.note("servers killed and back: %v", &back)
		return nil
	})
}

// killDatabase ends the database with all its processes at any moment.
func killDatabase(ctx context.Context, t *trial) error {
	return t.databaseStorm(ctx, func(*load) (bool, error) {
		t.cluster.Kill()
		return true, t.cluster.Restart(ctx)
	})
}

// restartDatabase restarts the database as an operator does, ends sessions of
// it, and cancels statements.
func restartDatabase(ctx context.Context, t *trial) error {
	return t.databaseStorm(ctx, func(l *load) (bool, error) {
		switch t.rand.IntN(3) {
		case 0:
			t.cluster.Shutdown()
			return true, t.cluster.Restart(ctx)
		case 1:
			return false, t.atBackends(ctx, l, true)
		}
		return false, t.atBackends(ctx, l, false)
	})
}

// atBackends ends one session of the servers at a time, or what it does.
func (t *trial) atBackends(ctx context.Context, l *load, terminate bool) error {
	for range 5 {
		before := l.errors()
		_, err := t.db.ExecContext(ctx, `
			SELECT CASE WHEN $1 THEN pg_terminate_backend(pid) ELSE pg_cancel_backend(pid) END FROM pg_stat_activity
			WHERE application_name = 'identity' ORDER BY state = 'active' DESC, random() LIMIT 1`, terminate)
		if err != nil {
			return err
		}
		t.settleDown(5*time.Millisecond, 50*time.Millisecond)
		if n := l.errors() - before; n > burst {
			t.fail("%d calls failed with one session, more than %d", n, burst)
		}
	}
	return nil
}

// burst is how many calls one lost session may cost: twice the pool.
const burst = 20

func (t *trial) databaseStorm(ctx context.Context, happen func(*load) (gone bool, err error)) error {
	var back times
	return t.storm(ctx, func(l *load) error {
		for range t.size {
			t.settleDown(50*time.Millisecond, 500*time.Millisecond)
			gone, err := happen(l)
			if err != nil {
				return err
			}
			took, err := t.recovered(ctx)
			if err != nil {
				return err
			}
			if gone {
				back.add(took)
			}
			t.within("changes after the database was back", took, databaseBack)
		}
		t.note("both servers change things again after the database accepts: %v", &back)
		return nil
	})
}

// network slows connections down, swallows their bytes, and refuses new ones.
func network(ctx context.Context, t *trial) error {
	return t.storm(ctx, func(*load) error {
		for range t.size {
			p := t.servers[t.rand.IntN(2)].wire
			t.settleDown(50*time.Millisecond, 300*time.Millisecond)
			switch t.rand.IntN(3) {
			case 0:
				p.delay.Store(int64(20 * time.Millisecond))
				t.settleDown(time.Second, 2*time.Second)
				p.delay.Store(0)
			case 1:
				p.silence(true)
				t.settleDown(time.Second, 4*time.Second)
				p.silence(false)
			default:
				p.refuse(true)
				t.settleDown(time.Second, 3*time.Second)
				p.refuse(false)
			}
			took, err := t.recovered(ctx)
			if err != nil {
				return err
			}
			// What was swallowed may have left a transaction open that holds
			// a lock: the database ends it by itself, after ten seconds.
			t.within("changes after the network was back", took, databaseBack+10*time.Second)
		}
		return nil
	})
}

// cuts ends connections before, inside and after COMMIT.
func cuts(ctx context.Context, t *trial) error {
	var plan [2][]cut
	for i := range t.size {
		plan[i%2] = append(plan[i%2], cut{places[t.rand.IntN(len(places))], t.rand.IntN(2) == 0})
	}
	t.note("schedule: A %v, B %v", plan[0], plan[1])
	before := [2]int{len(t.servers[0].wire.hits()), len(t.servers[1].wire.hits())}
	return t.storm(ctx, func(*load) error {
		var at tally
		for i, s := range t.servers {
			s.wire.arm(plan[i]...)
		}
		deadline := time.Now().Add(time.Minute + time.Duration(t.size)*200*time.Millisecond)
		for i, s := range t.servers {
			for len(s.wire.hits())-before[i] < len(plan[i]) {
				if time.Now().After(deadline) || t.failed() > 0 || ctx.Err() != nil {
					return fmt.Errorf("only %d of %d cuts were made", len(s.wire.hits())-before[i], len(plan[i]))
				}
				time.Sleep(10 * time.Millisecond)
			}
			for _, c := range slices.Clone(s.wire.hits())[before[i]:] {
				at.add(c.at)
			}
		}
		t.note("connections cut: %v", &at)
		return nil
	})
}
