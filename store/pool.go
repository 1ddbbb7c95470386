package store

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/jmoiron/sqlx"

	"github.com/bizmetry/identity/service/fair"
)

// reservedConns are connections beside those of calls: for following events, and
// for whoever asks whether the database is there. Notifications come over one more.
const reservedConns = 2

// How many may wait for a connection, in all and of one caller.
const (
	waitForConnection       = 2048
	waitForConnectionCaller = 256
)

// connections shares a pool between organizations, then callers. None of them may
// use all of it, so whoever comes finds a connection free or soon free.
func connections(n int) *fair.Gate {
	return fair.NewGate(fair.Config{
		Capacity: int64(n), OfGroup: int64(max(1, n*6/10)), OfMember: int64(max(1, n/2)),
		Waiting: waitForConnection, WaitingOfMember: waitForConnectionCaller,
	})
}

// Gates are what calls wait at for connections, by name.
func (s *Store) Gates() map[string]*fair.Gate {
	if s.writers == s.gate {
		return map[string]*fair.Gate{"database connections": s.gate}
	}
	return map[string]*fair.Gate{"database connections": s.gate, "database writer": s.writers}
}

// enter waits for a connection in turn. The pool has one for whoever is let in.
func enter(ctx context.Context, gate *fair.Gate) (fair.Place, error) {
	if gate == nil {
		return fair.Place{}, nil
	}
	place, err := gate.Enter(ctx, fair.PayerOf(ctx), 1)
	if errors.Is(err, fair.ErrFull) {
		err = ErrOverloaded
	}
	return place, err
}

// pools are the connections of a store. One pool may both read and write.
type pools struct{ write, read, reserved *sqlx.DB }

func newStore(dialect string, of pools, cfg Config) *Store {
	s := &Store{
		dialect: dialect, write: of.write, read: of.read, reserved: of.reserved,
		queue: queue{lines: map[string]*line{}}, enqueued: make(chan struct{}, 1),
	}
	s.Reads = Reads{h: of.read, prepared: newStatements(nil), gate: connections(cfg.MaxConns), count: new(atomic.Int64)}
	s.Reserved = Reads{h: of.reserved, prepared: newStatements(nil), count: s.count}
	s.writing, s.writers = newStatements(nil), connections(1)
	if !cfg.Unprepared {
		s.prepared, s.Reserved.prepared = newStatements(of.read), newStatements(of.reserved)
	}
	if of.write == of.read { // SQLite's one connection that writes has nothing to prepare on beside its transaction
		s.writing, s.writers = s.prepared, s.gate
	}
	return s
}

// Close closes all connections.
func (s *Store) Close() error {
	_ = s.reserved.Close() // only reads; fails where a connection was cut
	err := s.read.Close()
	if s.read == s.write {
		return err
	}
	return errors.Join(err, s.write.Close())
}

// inFlight is how many changes of one organization may hold a connection. A
// second one would begin a moment earlier, but wait for the lock in the
// database, which costs that as much as half of a change.
const inFlight = 1

// maxWaiting bounds how many more may wait, so that one busy organization
// neither drains the pool nor fills the memory.
const maxWaiting = 256

// queue lets the changes of an organization wait before they take a connection.
type queue struct {
	mu    sync.Mutex
	lines map[string]*line
}

type line struct {
	slots chan struct{}
	users int
}

// enter waits for a place and returns the function that gives it back.
func (q *queue) enter(ctx context.Context, org string) (leave func(), err error) {
	q.mu.Lock()
	l := q.lines[org]
	if l == nil {
		l = &line{slots: make(chan struct{}, inFlight)}
		q.lines[org] = l
	}
	if l.users >= inFlight+maxWaiting {
		q.mu.Unlock()
		return nil, ErrBusy
	}
	l.users++
	q.mu.Unlock()

	select {
	case l.slots <- struct{}{}:
		return func() { <-l.slots; q.forget(org, l) }, nil
	case <-ctx.Done():
		q.forget(org, l)
		return nil, ctx.Err()
	}
}

func (q *queue) forget(org string, l *line) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(q.lines, org)
	}
}
