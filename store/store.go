package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/jmoiron/sqlx"

	"github.com/bizmetry/identity/service/fair"
)

// Store is the database. Its methods read; Change and Short write.
type Store struct {
	Reads
	dialect string
	// Reserved reads on connections of its own, so that those who follow events and
	// ask whether the database is there never wait for calls.
	Reserved Reads
	write    *sqlx.DB
	read     *sqlx.DB
	reserved *sqlx.DB
	writers  *fair.Gate // of the pool that writes
	queue    queue
	writing  *statements // of the pool that writes
	// listenURL reaches the database itself, for notifications.
	listenURL string
	enqueued  chan struct{} // gets a sign after a commit that added messages
	carrier   atomic.Pointer[Carrier]
}

// Reads holds every query. It runs on a pool or inside a transaction, so that
// a rule can ask either.
type Reads struct {
	h        handle
	tx       *sqlx.Tx // nil on the pool
	late     *late    // nil on the pool
	prepared *statements
	gate     *fair.Gate    // of the pool; nil: nobody waits
	count    *atomic.Int64 // of statements
	bounds   *bounds       // of lists; nil: the usual ones
}

// handle is what *sqlx.DB and *sqlx.Tx share.
type handle interface {
	GetContext(ctx context.Context, dest any, query string, args ...any) error
	SelectContext(ctx context.Context, dest any, query string, args ...any) error
	QueryxContext(ctx context.Context, query string, args ...any) (*sqlx.Rows, error)
	Rebind(query string) string
}

// Statements counts the statements sent to the database so far.
func (s *Store) Statements() int64 { return s.count.Load() }

// Ping asks the database for a sign of life.
func (s *Store) Ping(ctx context.Context) error { return translate(s.reserved.PingContext(ctx)) }

// begins is called before every statement: what is still to be written comes first.
func (r Reads) begins(ctx context.Context) error {
	if r.late != nil && len(r.late.parts) > 0 {
		if err := r.send(ctx); err != nil {
			return err
		}
	}
	r.count.Add(1)
	return nil
}

func (r Reads) one(ctx context.Context, dest any, query string, args ...any) error {
	if err := r.begins(ctx); err != nil {
		return err
	}
	place, err := enter(ctx, r.gate)
	if err != nil {
		return err
	}
	defer place.Leave()
	return translate(r.withPlan(ctx, query,
		func(stmt *sqlx.Stmt) error { return stmt.GetContext(ctx, dest, args...) },
		func() error { return r.h.GetContext(ctx, dest, r.h.Rebind(query), args...) }))
}

// withPlan runs a query with its prepared statement, and plain where there is
// none or it was prepared for a schema that has changed since.
func (r Reads) withPlan(ctx context.Context, query string, prepared func(*sqlx.Stmt) error, plain func() error) error {
	stmt, err := r.stmt(ctx, query)
	if err != nil {
		return err
	}
	if stmt != nil {
		err := prepared(stmt)
		if !isStalePlan(err) || r.tx != nil {
			return err
		}
		r.prepared.forget(query)
	}
	return plain()
}

// stmt is the prepared statement of a text, on the transaction where there is
// one; nil where it is to be sent plain.
func (r Reads) stmt(ctx context.Context, query string) (*sqlx.Stmt, error) {
	stmt, err := r.prepared.get(ctx, query, r.tx != nil)
	if stmt != nil && r.tx != nil {
		stmt = r.tx.StmtxContext(ctx, stmt)
	}
	return stmt, err
}

func (r Reads) all(ctx context.Context, dest any, query string, args ...any) error {
	if err := r.begins(ctx); err != nil {
		return err
	}
	place, err := enter(ctx, r.gate)
	if err != nil {
		return err
	}
	defer place.Leave()
	return translate(r.withPlan(ctx, query,
		func(stmt *sqlx.Stmt) error { return stmt.SelectContext(ctx, dest, args...) },
		func() error { return r.h.SelectContext(ctx, dest, r.h.Rebind(query), args...) }))
}

// roomAtMost is for how many rows list makes room before there are so many.
const roomAtMost = 128

// list is all for what is read by the page: it spares looking the fields up by
// their names, row by row, and moving what was read as more comes. room is how
// many rows are expected; fields are where the columns go.
func list[T any](ctx context.Context, r Reads, room int, fields func(*T) []any, query string, args ...any) ([]T, error) {
	if err := r.begins(ctx); err != nil {
		return nil, err
	}
	place, err := enter(ctx, r.gate)
	if err != nil {
		return nil, err
	}
	defer place.Leave()
	rows, err := r.query(ctx, query, args...)
	if err != nil {
		return nil, translate(err)
	}
	defer rows.Close()
	var all []T
	var row T
	into := fields(&row)
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, translate(err)
		}
		if all == nil {
			all = make([]T, 0, min(room, roomAtMost))
		}
		all = append(all, row)
	}
	return all, translate(rows.Err())
}

func (r Reads) query(ctx context.Context, query string, args ...any) (rows *sqlx.Rows, err error) {
	err = r.withPlan(ctx, query,
		func(stmt *sqlx.Stmt) (err error) { rows, err = stmt.QueryxContext(ctx, args...); return err },    //nolint:rowserrcheck // the caller does
		func() (err error) { rows, err = r.h.QueryxContext(ctx, r.h.Rebind(query), args...); return err }) //nolint:rowserrcheck // the caller does
	return rows, err
}

// in is all for a query with one or more lists: "IN (?)". No list may be
// empty. Lists are filled up to a power of two with their last element, so that
// there are few texts, which are kept prepared.
func (r Reads) in(ctx context.Context, dest any, query string, args ...any) error {
	query, args, err := inLists(query, args)
	if err != nil {
		return err
	}
	return r.all(ctx, dest, query, args...)
}

func inLists(query string, args []any) (string, []any, error) {
	for i, arg := range args {
		if list, ok := arg.([]string); ok {
			args[i] = filledUp(list)
		}
	}
	return sqlx.In(query, args...)
}

// each hands over the rows of a query, with lists or not, as they come: it is
// for more of them than should be held at once. fn must not ask the database.
func each[R any](ctx context.Context, r Reads, query string, args []any, fn func(R)) error {
	query, args, err := sqlx.In(query, args...)
	if err != nil {
		return err
	}
	if err := r.begins(ctx); err != nil {
		return err
	}
	place, err := enter(ctx, r.gate)
	if err != nil {
		return err
	}
	defer place.Leave()
	rows, err := r.h.QueryxContext(ctx, r.h.Rebind(query), args...)
	if err != nil {
		return translate(err)
	}
	defer func() { _ = rows.Close() }() // its error is that of rows.Err
	for rows.Next() {
		var row R
		if err := rows.StructScan(&row); err != nil {
			return translate(err)
		}
		fn(row)
	}
	return translate(rows.Err())
}

// someOf is a list for IN, which may not be empty: then of what no row has.
func someOf(list []string) []string {
	if len(list) == 0 {
		return []string{BuiltIn}
	}
	return list
}

// inTx runs fn in an explicit transaction. A failed commit is ErrUnavailable:
// whether the change happened is then unknown.
func (s *Store) inTx(ctx context.Context, fn func(writes) error) error {
	place, err := enter(ctx, s.writers)
	if err != nil {
		return err
	}
	defer place.Leave()
	tx, err := s.write.BeginTxx(ctx, nil)
	if err != nil {
		return translate(err)
	}
	defer s.writing.prepareMissed(context.WithoutCancel(ctx)) // when the connection is free again
	defer func() { _ = tx.Rollback() }()                      // after a commit it does nothing
	out := &outgoing{carrier: s.carrier.Load()}
	var committed bool
	defer func() { out.end(committed) }()
	w := writes{Reads{h: tx, tx: tx, late: &late{together: s.dialect == "postgres"}, prepared: s.writing, count: s.count}, out}
	if err := fn(w); err != nil {
		return err
	}
	if err := w.send(ctx); err != nil {
		return err
	}
	err = tx.Commit()
	if committed = err == nil; out.waiting { // also where the outcome is unknown
		select {
		case s.enqueued <- struct{}{}:
		default: // it will be looked at anyway
		}
	}
	if err == nil || errors.Is(err, ErrUnavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return translate(err)
	}
	return fmt.Errorf("%w: commit: %w", ErrUnavailable, err)
}

// ShortTx is a short transaction for what is not under an organization's
// lock: sessions, attempts, last use, sweeps.
type ShortTx struct{ writes }

// Short runs fn in a short transaction.
func (s *Store) Short(ctx context.Context, fn func(*ShortTx) error) error {
	return s.inTx(ctx, func(w writes) error { return fn(&ShortTx{w}) })
}

// Tx is a change of identity or authority. It holds the lock of one
// organization, or of two.
type Tx struct {
	writes
	clocks map[string]*clock
	// outcome is set where something is to be kept, even if nothing changed.
	outcome bool
}

// clock is what a change adds to an organization's clock row.
type clock struct {
	seq    int64   // of the last event before the change
	events []Event // to be written
	// written are those that SQL has written already, a range each; writtenRows counts them.
	written     []Event
	writtenRows int64
	badges      Badges
}

// Keep has what was written kept even where no event is recorded.
func (t *Tx) Keep() { t.outcome = true }

// errNothing rolls back a change that recorded no event.
var errNothing = errors.New("nothing changed")

// Change runs fn under the lock of the organization, and of others where given
// (taken in the order of their ids). What fn changes is kept only if it
// recorded an event, or an outcome that is to be remembered: no event, no
// change. It returns the events, those of each organization in order.
func (s *Store) Change(ctx context.Context, org string, fn func(*Tx) error, others ...string) ([]Event, error) {
	leave, err := s.queue.enter(ctx, org)
	if err != nil {
		return nil, err
	}
	defer leave()
	orgs := slices.Compact(slices.Sorted(slices.Values(append(others, org))))
	return s.change(ctx, fn, orgs)
}

func (s *Store) change(ctx context.Context, fn func(*Tx) error, orgs []string) ([]Event, error) {
	var t *Tx
	err := s.inTx(ctx, func(w writes) error {
		t = &Tx{writes: w, clocks: map[string]*clock{}}
		for _, org := range orgs {
			if err := t.lock(ctx, org); err != nil {
				return err
			}
		}
		if err := fn(t); err != nil {
			return err
		}
		return t.flush(ctx)
	})
	if errors.Is(err, errNothing) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var events []Event
	for _, c := range t.clocks {
		events = append(events, c.events...)
		events = append(events, c.written...)
	}
	slices.SortFunc(events, func(a, b Event) int { return cmp.Or(cmp.Compare(a.Org, b.Org), cmp.Compare(a.Seq, b.Seq)) })
	return events, nil
}

// Found runs fn on an empty database, where there is no organization to lock
// yet. Of several at once one wins; the others get ErrExists.
func (s *Store) Found(ctx context.Context, fn func(*Tx) error) error {
	_, err := s.change(ctx, fn, nil)
	return err
}

// lock takes the clock row: an UPDATE is the row lock that both databases have.
func (t *Tx) lock(ctx context.Context, org string) error {
	c := &clock{}
	err := t.one(ctx, &c.seq, `UPDATE organization_clock SET event_seq = event_seq WHERE organization_id = ? RETURNING event_seq`, org)
	if err != nil {
		return err
	}
	t.clocks[org] = c
	return nil
}

// flush writes the events and moves the clocks.
func (t *Tx) flush(ctx context.Context) error {
	recorded := t.outcome
	for org, c := range t.clocks {
		if c.recorded() == 0 {
			continue
		}
		recorded = true
		if err := t.addEvents(ctx, c.events); err != nil {
			return err
		}
		roles := slices.ContainsFunc(c.events, Event.ChangesRoles)
		now := slices.Concat(c.events, c.written)[0].Time
		err := t.last(ctx, "organization_clock", `
			UPDATE organization_clock
			SET event_seq = event_seq + ?,
			    roles_epoch = CASE WHEN NOT ? THEN roles_epoch WHEN roles_epoch < ? THEN ? ELSE roles_epoch + 1 END,
			    users_active = users_active + ?, users_pending = users_pending + ?, users_disabled = users_disabled + ?,
			    accounts_active = accounts_active + ?, accounts_total = accounts_total + ?
			WHERE organization_id = ?`,
			c.recorded(), roles, now, now, c.badges.UsersActive, c.badges.UsersPending, c.badges.UsersDisabled,
			c.badges.AccountsActive, c.badges.AccountsTotal, org)
		if err != nil {
			return err
		}
	}
	if !recorded {
		return errNothing
	}
	return nil
}
