package service

import (
	"context"
	"sync"

	"github.com/bizmetry/identity/store"
)

// activityAtMost bounds what waits to be written.
const activityAtMost = 4096

// activity collects sign-in attempts and refused calls and writes them in
// batches: they outlive the call that failed and cost it nothing.
type activity struct {
	mu      sync.Mutex
	rows    []store.Activity
	dropped int
}

func newActivity() *activity { return &activity{} }

func (a *activity) add(row store.Activity) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.rows) >= activityAtMost {
		a.dropped++
		return
	}
	a.rows = append(a.rows, row)
}

func (a *activity) take() (rows []store.Activity, dropped int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	rows, dropped = a.rows, a.dropped
	a.rows, a.dropped = nil, 0
	return rows, dropped
}

// noteActivity notes something that happened in a call and is no change.
func (s *Service) noteActivity(c *call, org, kind, outcome, principal, detail string) {
	if org == "" {
		org = store.BuiltIn
	}
	s.activity.add(store.Activity{
		Org: org, ID: s.newID(), Time: store.At(s.now()), Type: kind, Outcome: outcome, Principal: principal,
		Detail: detail, RequestID: c.requestID, Source: c.source,
	})
}

// noteRefused notes a call that was refused for want of a right.
func (s *Service) noteRefused(c *call) {
	s.noteActivity(c, c.caller.Org, "call", "refused", c.caller.ID, c.method.name)
}

func (s *Service) writeActivity(ctx context.Context) error {
	rows, dropped := s.activity.take()
	if dropped > 0 {
		s.log.Warn("activity dropped", "rows", dropped)
	}
	const atOnce = 500
	for len(rows) > 0 {
		n := min(len(rows), atOnce)
		if err := s.store.Short(ctx, func(t *store.ShortTx) error { return t.AddActivity(ctx, rows[:n]) }); err != nil {
			for _, row := range rows {
				s.activity.add(row)
			}
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// lastUsedAtMost bounds how many credentials wait for their time of last use.
const lastUsedAtMost = 100_000

type usedKey struct{ org, account, credential string }

// lastUsed collects when credentials were used; a token costs no statement for it.
type lastUsed struct {
	mu sync.Mutex
	at map[usedKey]store.Micros
}

func newLastUsed() *lastUsed { return &lastUsed{at: map[usedKey]store.Micros{}} }

func (l *lastUsed) note(key usedKey, at store.Micros) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.at) < lastUsedAtMost {
		l.at[key] = at
	}
}

// noteUsed notes that a credential was used now.
func (s *Service) noteUsed(org, account, credential string) {
	s.lastUsed.note(usedKey{org, account, credential}, store.At(s.now()))
}

func (s *Service) writeLastUsed(ctx context.Context) error {
	s.lastUsed.mu.Lock()
	used := s.lastUsed.at
	s.lastUsed.at = map[usedKey]store.Micros{}
	s.lastUsed.mu.Unlock()
	if len(used) == 0 {
		return nil
	}
	return s.store.Short(ctx, func(t *store.ShortTx) error {
		for key, at := range used {
			if err := t.Used(ctx, key.org, key.account, key.credential, at); err != nil {
				return err
			}
		}
		return nil
	})
}
