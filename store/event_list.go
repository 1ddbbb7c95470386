package store

import (
	"context"
	"errors"
	"math"
	"time"
)

// EventFilter narrows a list of events; what is zero matches all.
type EventFilter struct {
	Actor, Target, Type string
	From, To            Micros
}

// The conditions that an index finds events by, in the order of their numbers.
const (
	byNumber = iota
	byTarget
	byActor
	byType
)

// conditions of those, which are constants.
var eventConditions = map[int]string{byTarget: `target_id = ?`, byActor: `actor_id = ?`, byType: `type = ?`}

func (f EventFilter) values() map[int]string {
	return map[int]string{byTarget: f.Target, byActor: f.Actor, byType: f.Type}
}

// clockSlack is how far the clocks of replicas may be apart: so much earlier
// than an event before it may an event be.
const clockSlack = 5 * time.Minute

// eventWay is how a list of events is read: by the condition that finds fewest
// of them, within the numbers that the time allows.
func (r Reads) eventWay(ctx context.Context, org string, f EventFilter) (w way[Event], err error) {
	lead, err := r.leading(ctx, org, f)
	if err != nil {
		return w, err
	}
	above, below, err := r.span(ctx, org, f)
	if err != nil {
		return w, err
	}
	rows := newWhere(`TRUE`)
	for _, by := range []int{byTarget, byActor, byType} {
		rows.and(f.values()[by] != "" && by != lead, eventConditions[by], f.values()[by])
	}
	rows.and(f.From != 0, `time >= ?`, f.From)
	rows.and(f.To != 0, `time < ?`, f.To)
	return way[Event]{
		table: `events`, columns: eventColumns, column: `seq`, fields: eventFields, rows: rows,
		at: func(e Event) Cursor { return Cursor{Key: e.Seq} },
		path: func() *where {
			path := newWhere(`organization_id = ? AND seq > ? AND seq < ?`, org, above, below)
			path.and(lead != byNumber, eventConditions[lead], f.values()[lead])
			return path
		},
	}, nil
}

// leading is the condition that finds fewest events. Where each finds many it
// is the first one.
func (r Reads) leading(ctx context.Context, org string, f EventFilter) (int, error) {
	const (
		count = `SELECT COUNT(*) FROM (SELECT 1 FROM events WHERE organization_id = ? AND `
		many  = ` LIMIT 2000) AS few`
	)
	best, fewest, given := byNumber, math.MaxInt, 0
	for _, by := range []int{byTarget, byActor, byType} {
		if f.values()[by] != "" {
			given++
			best = by
		}
	}
	if given < 2 {
		return best, nil
	}
	for _, by := range []int{byTarget, byActor, byType} {
		if f.values()[by] == "" {
			continue
		}
		var n int
		if err := r.one(ctx, &n, count+eventConditions[by]+many, org, f.values()[by]); err != nil {
			return best, err
		}
		if n < fewest {
			best, fewest = by, n
		}
	}
	return best, nil
}

// span is the numbers between which all events of the time lie: an event that
// is so much too old, or too new, has only such before, or behind, it.
func (r Reads) span(ctx context.Context, org string, f EventFilter) (above, below int64, err error) {
	const slack = Micros(clockSlack / time.Microsecond)
	below = math.MaxInt64
	if f.From != 0 {
		err = r.one(ctx, &above, `SELECT seq FROM events WHERE organization_id = ? AND time < ? ORDER BY time DESC, seq DESC LIMIT 1`, org, f.From-slack)
		if errors.Is(err, ErrNotFound) {
			err = nil
		}
	}
	if f.To != 0 && err == nil {
		err = r.one(ctx, &below, `SELECT seq FROM events WHERE organization_id = ? AND time >= ? ORDER BY time, seq LIMIT 1`, org, f.To+slack)
		if errors.Is(err, ErrNotFound) {
			err = nil
		}
	}
	return above, below, err
}

// Events returns up to limit events before the given number (0: the newest), newest first.
func (r Reads) Events(ctx context.Context, org string, f EventFilter, before int64, skip, limit int) (Found[Event], error) {
	w, err := r.eventWay(ctx, org, f)
	if err != nil {
		return Found[Event]{}, err
	}
	p := Page{Desc: true, Skip: skip, Limit: limit}
	if before != 0 {
		p.After = &Cursor{Key: before}
	}
	return along(ctx, r, w, p)
}

// CountEvents counts the events that match, up to a cap.
func (r Reads) CountEvents(ctx context.Context, org string, f EventFilter, limit int) (Tally, error) {
	w, err := r.eventWay(ctx, org, f)
	if err != nil {
		return Tally{}, err
	}
	return tally(ctx, r, w, Page{Desc: true}, ``, `''`, limit)
}

func eventFields(e *Event) []any {
	return []any{
		&e.Org, &e.Seq, &e.Time, &e.Type, &e.Actor, &e.ActorOrg, &e.Credential,
		&e.Target, &e.Data, &e.RequestID, &e.Source, &e.Operation,
	}
}
