package store

import (
	"context"
	"sync"
)

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
