package authority

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/store"
)

// How the feed keeps time.
const (
	pollEvery = 300 * time.Millisecond
	pollTime  = 3 * time.Second // at most
	// freshFor is how old memory may be without asking the database.
	freshFor = time.Second
	// catchUpWait is how long a call waits for the database to say that memory is current.
	catchUpWait = 250 * time.Millisecond
	// eventsAtOnce bounds what is applied one by one; after more, everything of the organization is dropped.
	eventsAtOnce = 1000
	// bellPause collects the changes of a moment into one ring.
	bellPause = 10 * time.Millisecond
	// bellRest is between two rings: a busy replica rings seldom, one that changes little at once.
	bellRest = 50 * time.Millisecond
	// DefaultBudget and MaxBudget are how long memory is believed when the database cannot be asked.
	DefaultBudget = 5 * time.Second
	MaxBudget     = time.Minute
)

// feed knows how old the memory is. It measures with the monotonic clock, which
// goes on while a process is frozen: after waking up nothing from before counts.
type feed struct {
	elapsed  func() time.Duration
	budget   time.Duration
	caughtUp atomic.Int64 // when the last successful poll began, by elapsed
	failed   atomic.Int64 // when asking last failed or took too long, by elapsed
}

// age is how old the memory may be.
func (f *feed) age() time.Duration { return f.elapsed() - time.Duration(f.caughtUp.Load()) }

// current makes sure that memory is at most a second old. Where the database
// cannot be asked it is believed for the staleness budget; after that it is
// store.ErrUnavailable.
func (s *Authority) current(ctx context.Context) error {
	f := &s.memory.feed
	age := f.age()
	if age <= freshFor {
		return nil
	}
	if f.elapsed()-time.Duration(f.failed.Load()) > catchUpWait || f.failed.Load() == 0 || age > f.budget {
		if err := s.catchUp(ctx); err == nil {
			return nil
		}
		f.failed.Store(int64(f.elapsed()))
	}
	if f.age() <= f.budget {
		return nil
	}
	return store.ErrUnavailable
}

// catchUp polls now, once for all who ask at the same moment. A poll that was
// under way already when a call came does not count for it.
func (s *Authority) catchUp(ctx context.Context) error {
	wanted := s.memory.feed.elapsed()
	for {
		flight := s.memory.flights.DoChan("poll", func() (any, error) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), freshFor)
			defer cancel()
			return nil, s.poll(ctx)
		})
		select {
		case r := <-flight:
			if r.Err != nil {
				return r.Err
			}
			if time.Duration(s.memory.feed.caughtUp.Load()) >= wanted {
				return nil
			}
		case <-time.After(catchUpWait):
			return context.DeadlineExceeded
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// poll is follow, given up on when the context ends: the driver may wait longer
// for a connection that was cut without a word.
func (s *Authority) poll(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- s.follow(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", store.ErrUnavailable, ctx.Err())
	}
}

// follow reads which organizations have new events, and applies them.
func (s *Authority) follow(ctx context.Context) error {
	m := s.memory
	begin := m.feed.elapsed()
	m.mu.Lock()
	following := maps.Clone(m.orgs)
	m.mu.Unlock()
	applied := make(map[string]int64, len(following))
	for id, f := range following {
		applied[id] = f.applied()
	}
	clocks, err := m.store.Reserved.Clocks(ctx, slices.Collect(maps.Keys(following)))
	if err != nil {
		return err
	}
	for id, f := range following {
		if err := s.advance(ctx, f, applied[id], clocks[id]); err != nil {
			return err
		}
	}
	for {
		former := m.feed.caughtUp.Load()
		if former >= int64(begin) || m.feed.caughtUp.CompareAndSwap(former, int64(begin)) {
			return nil
		}
	}
}

// advance applies the events of an organization up to a number, read after
// those up to from had been applied.
func (s *Authority) advance(ctx context.Context, f *followed, from, to int64) error {
	if to == from {
		return nil
	}
	if to < from { // another copy of the data: nothing that was read counts
		s.memory.forget(f.id)
		f.mu.Lock()
		f.seq = to
		f.mu.Unlock()
		return s.onKeys(ctx)
	}
	events, err := s.store.Reserved.EventsAfter(ctx, f.id, from, eventsAtOnce)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(events, store.Event.ChangesKeys) || len(events) == eventsAtOnce {
		if err := s.onKeys(ctx); err != nil {
			return err
		}
	}
	if len(events) == eventsAtOnce {
		s.memory.forget(f.id)
		f.mu.Lock()
		f.seq = max(f.seq, to)
		f.mu.Unlock()
		return nil
	}
	s.memory.apply(events)
	return nil
}

// Commit runs a change, and drops what it changed from memory before anybody
// is answered.
func (s *Authority) Commit(ctx context.Context, org string, fn func(*store.Tx) error, others ...string) error {
	var seen int64
	events, err := s.store.Change(ctx, org, func(t *store.Tx) error {
		seen = t.Seq(org)
		return fn(t)
	}, others...)
	if store.Taken(err) == "users__email_key" {
		return answer.ErrEmailTaken // told when the row was written, which may be at the end
	}
	if err != nil {
		return err
	}
	s.memory.apply(events)
	s.keepUp(ctx, org, seen)
	if len(events) > 0 {
		s.announce(ctx, events)
		select {
		case s.rope <- struct{}{}:
		default: // the bell is about to ring anyway
		}
	}
	return nil
}

// keepUp brings memory to the event that a change began after. What the change
// found done already was done by another replica, or by a call whose outcome
// was unknown: the answer that it is done must not come before memory knows.
func (s *Authority) keepUp(ctx context.Context, org string, seen int64) {
	if !s.memory.reached(org, seen) && s.catchUp(ctx) != nil {
		s.memory.forget(org)
	}
}

// ringBell rings the bell for other replicas, once for all changes of a moment.
func (s *Authority) ringBell(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.rope:
			time.Sleep(bellPause)
			s.Tried(ctx, "ring the bell", s.store.Ring)
			time.Sleep(bellRest - bellPause)
		}
	}
}

// Follow polls until the context ends, at once when the bell rings.
func (s *Authority) Follow(ctx context.Context) {
	bell := make(chan struct{}, 1)
	var helpers sync.WaitGroup
	defer helpers.Wait()
	helpers.Go(func() {
		s.listenForBell(ctx, func() {
			select {
			case bell <- struct{}{}:
			default: // one is waiting already
			}
		})
	})
	helpers.Go(func() { s.ringBell(ctx) })
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-bell:
		}
		s.Tried(ctx, "follow the feed", func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, pollTime)
			defer cancel()
			return s.poll(ctx)
		})
	}
}

// listenForBell listens until the context ends; without the bell the feed is
// still polled.
func (s *Authority) listenForBell(ctx context.Context, fn func()) {
	for ctx.Err() == nil {
		if err := s.store.Listen(ctx, fn); err != nil {
			s.Log.Warn("the bell cannot be heard", "error", err.Error())
			time.Sleep(freshFor)
		}
	}
}
