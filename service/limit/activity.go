package limit

import (
	"context"
	"sync"

	"github.com/bizmetry/identity/service/door"
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

// NoteActivity notes something that happened in a call and is no change.
func (s *Limits) NoteActivity(c *door.Call, org, kind, outcome, principal, detail string) {
	if org == "" {
		org = store.BuiltIn
	}
	s.activity.add(store.Activity{
		Org: org, ID: s.NewID(), Time: store.At(s.Now()), Type: kind, Outcome: outcome, Principal: principal,
		Detail: detail, RequestID: c.RequestID, Source: c.Source,
	})
}

// NoteRefused notes a call whose caller was refused for want of a right.
func (s *Limits) NoteRefused(c *door.Call) {
	s.NoteActivity(c, c.Caller.Org, "call", "refused", c.Caller.ID, c.Method.Name)
}

// WriteActivity writes what was noted since it was called last.
func (s *Limits) WriteActivity(ctx context.Context) error {
	rows, dropped := s.activity.take()
	if dropped > 0 {
		s.Log.Warn("activity dropped", "rows", dropped)
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

// NoteUsed notes that a credential was used now.
func (s *Limits) NoteUsed(org, account, credential string) {
	s.lastUsed.note(usedKey{org, account, credential}, store.At(s.Now()))
}

// WriteLastUsed writes when credentials were used since it was called last.
func (s *Limits) WriteLastUsed(ctx context.Context) error {
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
