package limit

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/store"
)

// activityAtMost bounds what waits to be written.
const activityAtMost = 4096

// folded is what refused calls of a minute have in common.
type folded struct {
	org, principal, detail, kind, outcome string
	minute                                int64
}

// activity collects refused calls and writes them in batches: they outlive the
// call that failed and cost it nothing. Those of a minute are one row.
type activity struct {
	mu      sync.Mutex
	rows    map[folded]store.Activity
	dropped int64
}

func newActivity() *activity { return &activity{rows: map[folded]store.Activity{}} }

func (a *activity) add(row store.Activity) {
	key := folded{row.Org, row.Principal, row.Detail, row.Type, row.Outcome, row.Time.Time().Unix() / 60}
	a.mu.Lock()
	defer a.mu.Unlock()
	former, ok := a.rows[key]
	switch {
	case ok:
		former.Count, former.Last = former.Count+row.Count, max(former.Last, row.Last, row.Time)
		former.Time = min(former.Time, row.Time)
		row = former
	case len(a.rows) >= activityAtMost:
		a.dropped += row.Count
		return
	}
	a.rows[key] = row
}

// take returns what there is in the order of ids, in which two replicas that write
// the same rows do not wait for each other crosswise.
func (a *activity) take() (rows []store.Activity, dropped int64) {
	a.mu.Lock()
	all := a.rows
	dropped = a.dropped
	a.rows, a.dropped = map[folded]store.Activity{}, 0
	a.mu.Unlock()
	for key, row := range all {
		row.ID = key.id()
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b store.Activity) int { return cmp.Or(cmp.Compare(a.Org, b.Org), cmp.Compare(a.ID, b.ID)) })
	return rows, dropped
}

// id is the same on every replica, so that a minute has one row.
func (f folded) id() string {
	text, err := json.Marshal([]any{f.org, f.principal, f.detail, f.kind, f.outcome, f.minute})
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return uuid.NewSHA1(uuid.Nil, text).String()
}

// Activity is the row of something that happens in a call and is no change.
func (s *Limits) Activity(c *door.Call, org, kind, outcome, principal, detail string) store.Activity {
	if org == "" {
		org = store.BuiltIn
	}
	return store.Activity{
		Org: org, ID: s.NewID(), Time: store.At(s.Now()), Type: kind, Outcome: outcome, Principal: principal,
		Detail: detail, RequestID: c.RequestID, Source: c.Source, Count: 1,
	}
}

// NoteActivity notes something that was refused, to be written in the background.
// The row of a minute has the request id and the address of the first.
func (s *Limits) NoteActivity(c *door.Call, org, kind, outcome, principal, detail string) {
	s.activity.add(s.Activity(c, org, kind, outcome, principal, detail))
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
		if err := s.store.Short(ctx, func(t *store.ShortTx) error { return t.AddActivity(ctx, rows[:n]...) }); err != nil {
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
