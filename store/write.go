package store

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"
)

// writes is what a transaction adds.
type writes struct {
	Reads
	outgoing *outgoing
}

// AfterCommit has something done once the transaction is committed for sure.
func (w writes) AfterCommit(then func()) { w.outgoing.then = append(w.outgoing.then, then) }

func (w writes) exec(ctx context.Context, query string, args ...any) (rows int64, err error) {
	if err := w.begins(ctx); err != nil {
		return 0, err
	}
	return w.run(ctx, query, args)
}

// run is exec for what may come before that which is still to be written.
func (r Reads) run(ctx context.Context, query string, args []any) (rows int64, err error) {
	stmt, err := r.stmt(ctx, query)
	if err != nil {
		return 0, translate(err)
	}
	var res sql.Result
	if stmt != nil {
		res, err = stmt.ExecContext(ctx, args...)
	} else {
		res, err = r.tx.ExecContext(ctx, r.tx.Rebind(query), args...)
	}
	if err != nil {
		return 0, translate(err)
	}
	return res.RowsAffected()
}

// execIn is exec for a statement with lists, which is not kept prepared.
func (w writes) execIn(ctx context.Context, query string, args ...any) (rows int64, err error) {
	query, args, err = sqlx.In(query, args...)
	if err != nil {
		return 0, err
	}
	if err := w.begins(ctx); err != nil {
		return 0, err
	}
	res, err := w.tx.ExecContext(ctx, w.tx.Rebind(query), args...)
	if err != nil {
		return 0, translate(err)
	}
	return res.RowsAffected()
}

// must is exec for a statement that means exactly one row.
func (w writes) must(ctx context.Context, query string, args ...any) error {
	n, err := w.exec(ctx, query, args...)
	if err == nil && n != 1 {
		err = ErrNotFound
	}
	return err
}

// insert runs a statement whose parameters are named after the columns of row.
func (w writes) insert(ctx context.Context, query string, row any) error {
	if err := w.begins(ctx); err != nil {
		return err
	}
	if stmt := w.prepared.getNamed(query); stmt != nil {
		_, err := w.tx.NamedStmtContext(ctx, stmt).ExecContext(ctx, row)
		return translate(err)
	}
	_, err := w.tx.NamedExecContext(ctx, query, row)
	return translate(err)
}

// rowsPrepared is up to how many rows an INSERT of several is kept prepared.
const rowsPrepared = 8

// insertAll is insert for several rows; a text of its own for each number of them.
func insertAll[R any](ctx context.Context, w writes, query string, rows []R) error {
	if len(rows) == 1 {
		return w.insert(ctx, query, rows[0])
	}
	if len(rows) <= rowsPrepared {
		query, args, err := sqlx.Named(query, rows)
		if err == nil {
			_, err = w.exec(ctx, query, args...)
		}
		return err
	}
	if err := w.begins(ctx); err != nil {
		return err
	}
	_, err := w.tx.NamedExecContext(ctx, query, rows)
	return translate(err)
}

// late is what a transaction has still to write. It goes out with the next
// statement at the latest, so nothing ever misses it; where the database can
// (PostgreSQL), all of it in one statement, because most of what a small change
// costs is going to the database and back.
type late struct {
	together bool
	parts    []part
}

type part struct {
	table, query string
	args         []any
}

// later is insertAll for rows that what follows need not find at once. That a
// key is taken may be told by a later statement, or by the commit. table is the
// one that the statement writes to.
func later[R any](ctx context.Context, w writes, table, query string, rows []R) error {
	if len(rows) > rowsPrepared || !w.late.together {
		return insertAll(ctx, w, query, rows)
	}
	var one any = rows
	if len(rows) == 1 {
		one = rows[0]
	}
	query, args, err := sqlx.Named(query, one)
	if err != nil {
		return err
	}
	return w.add(ctx, table, query, args)
}

// add has a statement sent later. The parts of one statement see the rows as
// they were before it, so no two of them may be about the same table.
func (w writes) add(ctx context.Context, table, query string, args []any) error {
	if slices.ContainsFunc(w.late.parts, func(other part) bool { return other.table == table }) {
		if err := w.send(ctx); err != nil {
			return err
		}
	}
	w.late.parts = append(w.late.parts, part{table, query, args})
	return nil
}

// ahead runs a statement that is about other tables than what is still to be
// written, and does not wait for that.
func (w writes) ahead(statement func() error) error {
	parts := w.late.parts
	w.late.parts = nil
	err := statement()
	w.late.parts = append(parts, w.late.parts...)
	return err
}

// send writes what is still to be written.
func (r Reads) send(ctx context.Context) error {
	_, err := r.sendWith(ctx)
	return err
}

// sendWith is send, and returns how many rows the last part was about.
func (r Reads) sendWith(ctx context.Context) (rows int64, err error) {
	parts := r.late.parts
	r.late.parts = nil
	if len(parts) == 0 {
		return 0, nil
	}
	r.count.Add(1)
	if len(parts) == 1 {
		return r.run(ctx, parts[0].query, parts[0].args)
	}
	var query strings.Builder
	var args []any
	for i, p := range parts {
		switch {
		case i == len(parts)-1:
			query.WriteString(" ")
		case i == 0:
			query.WriteString("WITH into_" + p.table + " AS (")
		default:
			query.WriteString(", into_" + p.table + " AS (")
		}
		query.WriteString(p.query)
		if i < len(parts)-1 {
			query.WriteString(")")
		}
		args = append(args, p.args...)
	}
	return r.run(ctx, query.String(), args)
}

// last is must, in one statement with what is still to be written.
func (w writes) last(ctx context.Context, table, query string, args ...any) error {
	if !w.late.together {
		return w.must(ctx, query, args...)
	}
	if err := w.add(ctx, table, query, args); err != nil {
		return err
	}
	n, err := w.sendWith(ctx)
	if err == nil && n != 1 {
		err = ErrNotFound
	}
	return err
}
