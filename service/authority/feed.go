package authority

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bizmetry/identity/service/fair"
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
	wanted, apart := s.memory.feed.elapsed(), fair.Detach(ctx)
	for {
		flight := s.memory.flights.DoChan("poll", func() (any, error) {
			ctx, cancel := context.WithTimeout(apart, freshFor)
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

// poll is follow, with an end.
func (s *Authority) poll(ctx context.Context) error { return inTime(ctx, s.follow) }

// inTime gives up on work when the context ends: the driver may wait longer for
// a connection that was cut without a word.
func inTime(ctx context.Context, work func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- work(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", store.ErrUnavailable, ctx.Err())
	}
}

// reach brings memory to an event of an organization, which has happened. It
// reads what is missing of that organization alone, once for all who ask at the
// same moment; where that is not enough, it polls.
func (s *Authority) reach(ctx context.Context, org string, seq int64) error {
	if s.memory.reached(org, seq) {
		return nil
	}
	apart := fair.Detach(ctx)
	flight := s.memory.flights.DoChan("reach\x00"+org+"\x00"+strconv.FormatInt(seq, 10), func() (any, error) {
		ctx, cancel := context.WithTimeout(apart, freshFor)
		defer cancel()
		return nil, s.readNamed(ctx, map[string]int64{org: seq})
	})
	select {
	case <-flight:
	case <-time.After(catchUpWait):
		return context.DeadlineExceeded
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.memory.reached(org, seq) {
		return nil
	}
	if err := s.catchUp(ctx); err != nil {
		return err
	}
	if !s.memory.reached(org, seq) {
		return store.ErrUnavailable
	}
	return nil
}

// Follow polls until the context ends, and reads what other replicas name in
// between.
func (s *Authority) Follow(ctx context.Context) {
	var helpers sync.WaitGroup
	defer helpers.Wait()
	helpers.Go(func() { s.listen(ctx) })
	helpers.Go(func() { s.notifyOthers(ctx) })
	helpers.Go(func() { s.readHeard(ctx) })
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.pollNow:
		}
		s.Tried(ctx, "follow the feed", func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, pollTime)
			defer cancel()
			return s.poll(ctx)
		})
	}
}
