package authority

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"

	"github.com/bizmetry/identity/store"
)

const (
	// eventsAtOnce bounds what is applied one by one; after more, everything of the organization is dropped.
	eventsAtOnce = 1000
	// clocksAtOnce is how many organizations are asked for their last events at once.
	clocksAtOnce = 1024
	// failuresAtMost is how many organizations may fail alone in one poll; when more do, the database does.
	failuresAtMost = 100
)

// errGap is an event that should be there.
var errGap = errors.New("an event is missing")

// move is an organization that has events after those that are applied.
type move struct {
	f *followed
	// from is the last event that was applied before to was asked for.
	from, to int64
}

// pass is one time of reading what is new.
type pass struct {
	*Authority

	failures int   // organizations that failed alone
	keys     error // why the signing keys could not be loaded; they are everybody's, so the pass fails
}

func (s *Authority) newPass() *pass { return &pass{Authority: s} }

// follow reads which organizations have new events, and applies them. It is
// the feed; notifications only make it quicker.
func (s *Authority) follow(ctx context.Context) error {
	m := s.memory
	begin := m.feed.elapsed()
	s.platform.used.Store(int64(begin)) // it tells of new keys, so it must not be let go
	m.mu.Lock()
	following := slices.Collect(maps.Values(m.orgs))
	m.mu.Unlock()
	p := s.newPass()
	for part := range slices.Chunk(following, clocksAtOnce) {
		moves, err := p.moves(ctx, part)
		if err != nil {
			return err
		}
		if err := p.advance(ctx, moves); err != nil {
			return err
		}
	}
	if p.keys != nil {
		return p.keys
	}
	for {
		former := m.feed.caughtUp.Load()
		if former >= int64(begin) || m.feed.caughtUp.CompareAndSwap(former, int64(begin)) {
			return nil
		}
	}
}

// moves asks which organizations have moved. One whose clock cannot be read is
// followed no longer: the next call follows it anew.
func (p *pass) moves(ctx context.Context, following []*followed) ([]move, error) {
	var moves []move
	err := apart(following, func(part []*followed) error {
		ids, applied := make([]string, len(part)), make([]int64, len(part))
		for i, f := range part {
			ids[i], applied[i] = f.id, f.applied() // before the clocks are asked for
		}
		clocks, err := p.store.Reserved.Clocks(ctx, ids)
		if err != nil {
			return err
		}
		for i, f := range part {
			if to := clocks[f.id]; to != applied[i] {
				moves = append(moves, move{f, applied[i], to})
			}
		}
		return nil
	}, func(f *followed, err error) error {
		if f == p.platform || !p.mayFail(f, err) {
			return err
		}
		p.memory.leave(f)
		return nil
	})
	return moves, err
}

// advance applies the events of organizations that have moved.
func (p *pass) advance(ctx context.Context, moves []move) error {
	var whole, some []move
	for _, m := range moves {
		if m.to < m.from || m.to-m.from >= eventsAtOnce {
			whole = append(whole, m)
		} else {
			some = append(some, m)
		}
	}
	p.skip(ctx, whole...)
	for part := range parts(some) {
		err := apart(part, func(part []move) error {
			gaps, err := p.apply(ctx, part)
			if err != nil {
				return err
			}
			for _, m := range gaps {
				if !p.mayFail(m.f, errGap) {
					return errGap
				}
				p.skip(ctx, m)
			}
			return nil
		}, func(m move, err error) error {
			if !p.mayFail(m.f, err) {
				return err
			}
			p.skip(ctx, m)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// skip drops everything of organizations, and goes on after the events that
// they had when their clocks were asked for. Where there are fewer than before,
// it is another copy of the data: nothing that was read counts, nor do the keys.
func (p *pass) skip(ctx context.Context, moves ...move) {
	keys := false
	for _, m := range moves {
		p.memory.forget(m.f.id)
		keys = keys || m.f == p.platform || m.to < m.from
	}
	if keys && !p.loadKeys(ctx) {
		return // they are skipped again
	}
	for _, m := range moves {
		m.f.mu.Lock()
		if m.to < m.from {
			m.f.seq = m.to
		} else {
			m.f.seq = max(m.f.seq, m.to)
		}
		m.f.mu.Unlock()
	}
}

// apply reads the events of organizations in one statement and drops what they
// say has changed. It returns those of which events are missing.
func (p *pass) apply(ctx context.Context, part []move) (gaps []move, err error) {
	spans := make([]store.Span, len(part))
	for i, m := range part {
		spans[i] = store.Span{Org: m.f.id, From: m.from, To: m.to}
	}
	events, err := p.store.Reserved.EventsOf(ctx, spans)
	if err != nil {
		return nil, err
	}
	late := slices.ContainsFunc(events, store.Event.ChangesKeys) && !p.loadKeys(ctx)
	if late { // the platform organization is read again
		events = slices.DeleteFunc(events, func(e store.Event) bool { return e.Org == p.platform.id })
	}
	p.memory.apply(events)
	for _, m := range part {
		if m.f.applied() < m.to && p.memory.follows(m.f) && (!late || m.f != p.platform) {
			gaps = append(gaps, m)
		}
	}
	return gaps, nil
}

// loadKeys loads the signing keys, and notes why it could not.
func (p *pass) loadKeys(ctx context.Context) bool {
	err := p.onKeys(ctx)
	p.keys = errors.Join(p.keys, err)
	return err == nil
}

// mayFail tells whether an organization may fail alone.
func (p *pass) mayFail(f *followed, err error) bool {
	p.failures++
	if p.failures > failuresAtMost {
		return false
	}
	p.Log.Warn("an organization cannot be followed: all of it is forgotten", "organization", f.id, "error", err.Error())
	return true
}

// parts cuts moves into such as one statement reads.
func parts(moves []move) iter.Seq[[]move] {
	return func(yield func([]move) bool) {
		for len(moves) > 0 {
			n, events := 0, int64(0)
			for n < min(len(moves), store.SpansAtOnce) && (n == 0 || events < eventsAtOnce) {
				events += moves[n].to - moves[n].from
				n++
			}
			if !yield(moves[:n]) {
				return
			}
			moves = moves[n:]
		}
	}
}

// apart asks for all, which must not be none. Where that fails it asks for each
// half, so that only those fail that are to blame; where the database cannot be
// asked, all do.
func apart[T any](all []T, ask func([]T) error, alone func(T, error) error) error {
	err := ask(all)
	switch {
	case err == nil || cannotAsk(err):
		return err
	case len(all) == 1:
		return alone(all[0], err)
	}
	half := len(all) / 2
	if err := apart(all[:half], ask, alone); err != nil {
		return err
	}
	return apart(all[half:], ask, alone)
}

// cannotAsk tells whether an error is about the database rather than about what was asked for.
func cannotAsk(err error) bool {
	for _, of := range []error{store.ErrUnavailable, store.ErrBusy, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, of) {
			return true
		}
	}
	return false
}

// follows tells whether the events of an organization are still followed.
func (m *memory) follows(f *followed) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.orgs[f.id] == f
}

// leave follows an organization no longer. What is kept of it refers to it, and
// is not believed any more.
func (m *memory) leave(f *followed) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.orgs[f.id] == f {
		delete(m.orgs, f.id)
	}
}
