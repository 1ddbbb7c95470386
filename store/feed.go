package store

import (
	"context"
	"strings"
)

// clocksAtOnce is how many clocks one statement asks for, a power of two.
const clocksAtOnce = 1024

// Clocks returns the number of the last event of each of the organizations.
// Those that are not there have none.
func (r Reads) Clocks(ctx context.Context, orgs []string) (map[string]int64, error) {
	type row struct {
		org string
		seq int64
	}
	clocks := make(map[string]int64, len(orgs))
	for len(orgs) > 0 {
		n := min(len(orgs), clocksAtOnce)
		query, args, err := inLists(`SELECT organization_id, event_seq FROM organization_clock WHERE organization_id IN (?)`, []any{orgs[:n]})
		if err != nil {
			return nil, err
		}
		rows, err := list(ctx, r, n, func(c *row) []any { return []any{&c.org, &c.seq} }, query, args...)
		if err != nil {
			return nil, err
		}
		for _, c := range rows {
			clocks[c.org] = c.seq
		}
		orgs = orgs[n:]
	}
	return clocks, nil
}

// Span names the events of an organization that have numbers after From, up to To.
type Span struct {
	Org      string
	From, To int64
}

// SpansAtOnce is how many spans EventsOf takes, a power of two.
const SpansAtOnce = 64

// EventsOf returns the events of all spans, of which there must be one and may
// be SpansAtOnce, those of each organization in order. Only Org, Seq, Type and
// Target are set: what a replica needs to follow. A branch for each span has
// PostgreSQL find the rows of each by their key; numbers have no gaps, so a
// span bounds what is read like a LIMIT.
func (r Reads) EventsOf(ctx context.Context, spans []Span) ([]Event, error) {
	const (
		branch = `SELECT organization_id, seq, type, target_id FROM events WHERE organization_id = ? AND seq > ? AND seq <= ?`
		order  = ` ORDER BY organization_id, seq`
	)
	size, expected := 1, int64(0)
	for size < len(spans) {
		size *= 2
	}
	args := make([]any, 0, 3*size)
	for i := range size {
		s := spans[min(i, len(spans)-1)]
		if i >= len(spans) { // fills up, and has no events
			s.From = s.To
		}
		args = append(args, s.Org, s.From, s.To)
		expected += max(s.To-s.From, 0)
	}
	return list(ctx, r, int(expected), func(e *Event) []any { return []any{&e.Org, &e.Seq, &e.Type, &e.Target} },
		branch+strings.Repeat(` UNION ALL `+branch, size-1)+order, args...)
}
