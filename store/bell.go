package store

import (
	"context"
	"time"

	"github.com/lib/pq"
)

// channel of the bell that says that some organization has new events.
const channel = "identity_events"

// bellSilence ends a connection on which not even the answers to pings come.
const bellSilence = 30 * time.Second

// Ring tells other processes that there are new events. It is never part of a
// transaction: there it would make all commits queue up.
func (s *Store) Ring(ctx context.Context) error {
	if s.dialect == "sqlite" {
		return nil // one process only
	}
	var nothing string
	return s.Reserved.one(ctx, &nothing, `SELECT CAST(pg_notify(?, '') AS TEXT)`, channel)
}

// Listen calls fn whenever the bell rings, and after a connection was lost and
// came back, when rings may have been missed, until the context ends. The URL
// must reach the database itself, not a pooler.
func (s *Store) Listen(ctx context.Context, fn func()) error {
	if s.dialect == "sqlite" {
		<-ctx.Done()
		return nil
	}
	listener := pq.NewDialListener(newWire(bellSilence), s.listenURL, 100*time.Millisecond, 10*time.Second, nil)
	defer listener.Close()
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })() // Listen waits for a connection, however long that takes
	if err := listener.Listen(channel); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return translate(err)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-listener.Notify:
			fn()
		case <-time.After(bellSilence / 3):
			_ = listener.Ping() // a dead connection is noticed and made anew
		}
	}
}
