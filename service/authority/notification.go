package authority

import (
	"context"
	"sync"
	"time"
)

const (
	// notifyPause collects the changes of a moment into one notification.
	notifyPause = 10 * time.Millisecond
	// notifyRest is between two notifications: a busy replica notifies seldom, one that changes little at once.
	notifyRest = 50 * time.Millisecond
	// pendingAtMost bounds the organizations that wait to be named or read; after more, any may have changed.
	pendingAtMost = 1000
)

// pending are organizations with the numbers of their last events, each once,
// which wait for one goroutine that deals with them.
type pending struct {
	mu   sync.Mutex
	last map[string]int64
	any  bool          // any organization may have changed
	some chan struct{} // gets a sign when there is something to take
}

func newPending() *pending { return &pending{last: map[string]int64{}, some: make(chan struct{}, 1)} }

// add adds organizations; nil: any may have changed.
func (p *pending) add(last map[string]int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.any = p.any || last == nil
	for org, seq := range last {
		if p.any {
			break
		}
		p.last[org] = max(p.last[org], seq)
		p.any = len(p.last) > pendingAtMost
	}
	if p.any {
		clear(p.last)
	}
	if p.any || len(p.last) > 0 {
		sign(p.some)
	}
}

// take returns what was added since the last time; nil: any organization may
// have changed. ok tells whether there was anything.
func (p *pending) take() (last map[string]int64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.any {
		p.any = false
		return nil, true
	}
	last, p.last = p.last, map[string]int64{}
	return last, len(last) > 0
}

func sign(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // one is waiting already
	}
}

// notifyOthers tells other replicas which organizations have changed, once for
// all changes of a moment.
func (s *Authority) notifyOthers(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.tell.some:
			time.Sleep(notifyPause)
			if last, ok := s.tell.take(); ok {
				s.Tried(ctx, "notify other replicas", func(ctx context.Context) error { return s.store.Notify(ctx, last) })
			}
			time.Sleep(notifyRest - notifyPause)
		}
	}
}

// listen hears what other replicas name, until the context ends; without
// notifications the feed is still polled.
func (s *Authority) listen(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.store.Listen(ctx, s.heard.add); err != nil {
			s.Log.Warn("notifications cannot be heard", "error", err.Error())
			time.Sleep(freshFor)
		}
	}
}

// readHeard reads the events of the organizations that other replicas name,
// and has everything polled where they name none.
func (s *Authority) readHeard(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.heard.some:
		}
		last, ok := s.heard.take()
		if ok && last == nil {
			sign(s.pollNow)
			continue
		}
		s.Tried(ctx, "read the events of notifications", func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, freshFor)
			defer cancel()
			return inTime(ctx, func(ctx context.Context) error { return s.readNamed(ctx, last) })
		})
	}
}

// readNamed applies the events of organizations up to the numbers, of those
// that are followed and not there yet. It never goes by a number alone: what
// cannot be read one by one is left to the poll, which asks for the clocks.
func (s *Authority) readNamed(ctx context.Context, last map[string]int64) error {
	var all []move
	s.memory.mu.Lock()
	for org, seq := range last {
		if f := s.memory.orgs[org]; f != nil {
			all = append(all, move{f: f, to: seq})
		}
	}
	s.memory.mu.Unlock()
	some := all[:0]
	for _, m := range all {
		m.from = m.f.applied()
		switch {
		case m.to <= m.from:
		case m.to-m.from >= eventsAtOnce:
			sign(s.pollNow)
		default:
			some = append(some, m)
		}
	}
	p := s.newPass()
	var failed error
	for part := range parts(some) {
		_, err := p.apply(ctx, part)
		switch {
		case err == nil:
		case cannotAsk(err):
			return err
		default: // the poll finds out which of them it is
			failed = err
		}
	}
	if p.keys != nil {
		return p.keys
	}
	return failed
}
