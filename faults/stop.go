package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bizmetry/identity/rig"
)

// inFlight is how many calls a server has when it is told to stop, and drain
// how long it may take for them.
const (
	inFlight = 200
	drain    = 10 * time.Second
)

// stop ends servers by SIGTERM while calls wait in them: all are answered.
func stop(ctx context.Context, t *trial) error {
	var took times
	for i := range t.size {
		l, err := t.newLoad(ctx)
		if err != nil {
			return err
		}
		d, err := l.stopServer(ctx, t.servers[i%2])
		if err != nil {
			return err
		}
		took.add(d)
		if err := l.finish(ctx); err != nil {
			return err
		}
		if n := len(l.book.entries); n != inFlight {
			t.fail("%d of %d calls in flight were answered OK", n, inFlight)
		}
	}
	t.note("%d calls in flight each time, none lost, the process gone with code 0: %v", inFlight, &took)
	return nil
}

// stopServer holds the lock of the organization until the calls wait for it.
func (l *load) stopServer(ctx context.Context, s *server) (time.Duration, error) {
	people, err := l.t.newPeople(ctx, l.org, rig.Developer, 1)
	if err != nil {
		return 0, err
	}
	w := &worker{load: l, person: people[0], rand: l.t.fork()}
	tx, err := l.t.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, `SELECT event_seq FROM organization_clock WHERE organization_id = $1 FOR UPDATE`, l.org); err != nil {
		return 0, err
	}
	var answered atomic.Int64
	for i := range inFlight {
		c := w.newAccount(fmt.Sprintf("%s.%s.%d", l.t.name, people[0].id[24:], i))
		l.all.Go(func() {
			id, err := l.attempt(ctx, l.t.number(s), c)
			answered.Add(1)
			if status.Code(err) == codes.Unavailable { // safe to try elsewhere, once
				id, err = l.attempt(ctx, l.t.number(l.t.other(s)), c)
			}
			if err != nil {
				l.t.fail("a call in flight is told %v", err)
				return
			}
			e := c.entry
			e.Target = id
			l.enter(e)
		})
	}
	time.Sleep(300 * time.Millisecond) // all have arrived and wait
	if n := answered.Load(); n != 0 {
		return 0, fmt.Errorf("%d calls did not wait", n)
	}
	s.down.Add(1)
	defer s.down.Add(1)
	begin := time.Now()
	s.proc.Signal(syscall.SIGTERM)
	time.Sleep(50 * time.Millisecond)
	if err := tx.Rollback(); err != nil {
		return 0, err
	}
	<-s.proc.Exited
	took := time.Since(begin)
	if code := s.proc.ExitCode(); code != 0 {
		l.t.fail("%s ended with code %d", s.name, code)
	}
	l.t.within("the end of "+s.name, took, drain)
	_, err = s.restart(ctx)
	return took, err
}
