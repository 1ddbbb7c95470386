package store

import (
	"context"
	"time"
)

// Found is a part of a list.
type Found[T any] struct {
	Rows []T
	// Stop is where reading stopped before the page was full and the list ended;
	// the next page begins behind it. nil: the page is full, or this is the end.
	Stop *Cursor
}

// Tally is how many rows of a list match.
type Tally struct {
	Badges
	Matched int64
	// Capped tells that counting stopped: there may be more.
	Capped bool
}

// bounds are how much one reading of a list, or one count, may cost.
type bounds struct {
	chunk int           // rows a statement, at most those of chunked
	rows  int           // visited in all
	time  time.Duration // looked at between statements
}

var usualBounds = bounds{chunk: 5_000, rows: 100_000, time: 500 * time.Millisecond}

func (r Reads) bound() bounds {
	if r.bounds != nil {
		return *r.bounds
	}
	return usualBounds
}

// A chunk is a stretch of rows along an index, each with its number, how many
// up to it match, and whether it does. The LIMIT that is no parameter has
// PostgreSQL read along the index, whatever its statistics say.
const (
	numbered = `SELECT chunk.*, ROW_NUMBER() OVER w AS number, COUNT(*) FILTER (WHERE hit) OVER w AS hits FROM (SELECT `
	chunked  = ` LIMIT 5000) AS chunk WINDOW w AS (ROWS UNBOUNDED PRECEDING) LIMIT ?`
)

// way is how a list is read in an order.
type way[T any] struct {
	// table, columns and column, by which it is ordered, are constants.
	table, columns, column string
	fields                 func(*T) []any
	at                     func(T) Cursor
	path                   func() *where // what an index finds in this order
	rows                   *where        // what else is asked of the rows
}

// chunk is the text that reads the next chunk, and its arguments up to the size.
func (w way[T]) chunk(p Page) (text, order string, args []any) {
	path := w.path()
	order = p.keyset(path, w.column)
	return numbered + w.columns + `, ` + w.rows.all() + ` AS hit FROM ` + w.table + path.String() + order + chunked, order,
		append(append([]any{}, w.rows.args...), path.args...)
}

// trip is a reading under way.
type trip[T any] struct {
	way[T]
	page    Page // what is left to read
	found   []T
	visited int
	ended   bool // the page is full, or there are no more rows
}

// met is a row of a chunk.
type met[T any] struct {
	row          T
	number, hits int
	hit          bool
}

// on reads until the page is full, the list ends, so many rows were visited
// in all, or the time is over. It reads one chunk at least.
func (t *trip[T]) on(ctx context.Context, r Reads, atMost int) error {
	b := r.bound()
	until := time.Now().Add(b.time)
	next := min(b.chunk, 2*(t.page.Limit+t.page.Skip)) // mostly enough; chunks grow where little matches
	for !t.ended && t.visited < min(atMost, b.rows) {
		size := min(next, b.rows-t.visited)
		next = min(b.chunk, 8*next)
		if err := t.step(ctx, r, size); err != nil {
			return err
		}
		if t.visited += size; time.Now().After(until) {
			break
		}
	}
	return nil
}

// step reads a chunk: the rows of it that match, and the last one, behind
// which the next chunk begins.
func (t *trip[T]) step(ctx context.Context, r Reads, size int) error {
	text, order, args := t.chunk(t.page)
	rows, err := list(ctx, r, t.page.Limit, func(m *met[T]) []any {
		return append(t.fields(&m.row), &m.number, &m.hits, &m.hit)
	}, `SELECT `+t.columns+`, number, hits, hit FROM (`+text+`) AS chunk WHERE (hit AND hits > ?) OR number = ?`+order+` LIMIT ?`,
		append(args, size, t.page.Skip, size, t.page.Limit)...)
	if err != nil {
		return err
	}
	for _, m := range rows {
		if m.hit && m.hits > t.page.Skip {
			t.found = append(t.found, m.row)
			t.page.Limit--
		}
	}
	if t.page.Limit == 0 || len(rows) == 0 || rows[len(rows)-1].number < size {
		t.ended = true
		return nil
	}
	last := rows[len(rows)-1]
	at := t.at(last.row)
	t.page.After, t.page.Skip = &at, max(t.page.Skip-last.hits, 0)
	return nil
}

// all is what the trip has read.
func (t *trip[T]) all() Found[T] {
	if t.ended {
		return Found[T]{Rows: t.found}
	}
	return Found[T]{t.found, t.page.After}
}

// along reads a page of a list.
func along[T any](ctx context.Context, r Reads, w way[T], p Page) (Found[T], error) {
	t := trip[T]{way: w, page: p}
	err := t.on(ctx, r, r.bound().rows)
	return t.all(), err
}

// counted is what a chunk adds to a count; Key and ID are of the last row of a
// full chunk.
type counted struct {
	Badges
	Matched int64   `db:"matched"`
	Key     *int64  `db:"key"`
	ID      *string `db:"id"`
}

// tally counts what matches up to a limit, in an order whose keys are numbers.
// kinds are the counts beside how many match, a constant; id is that of the
// column that decides between equal keys, a constant too.
func tally[T any](ctx context.Context, r Reads, w way[T], p Page, kinds, id string, limit int) (sum Tally, err error) {
	b := r.bound()
	until := time.Now().Add(b.time)
	for visited := 0; visited < b.rows; {
		size := min(b.chunk, b.rows-visited)
		text, _, args := w.chunk(p)
		var c counted
		err := r.one(ctx, &c, `WITH chunk AS MATERIALIZED (`+text+`)
			SELECT COUNT(*) AS matched, `+kinds+`(SELECT `+w.column+` FROM chunk WHERE number = ?) AS key, (SELECT `+id+` FROM chunk WHERE number = ?) AS id
			FROM chunk WHERE hit AND hits <= ?`, append(args, size, size, size, int64(limit)-sum.Matched)...)
		if err != nil {
			return sum, err
		}
		sum.add(c)
		if c.Key == nil || sum.Matched >= int64(limit) {
			sum.Capped = sum.Matched >= int64(limit)
			return sum, nil
		}
		p.After = &Cursor{Key: *c.Key, ID: *c.ID}
		if visited += size; time.Now().After(until) {
			break
		}
	}
	sum.Capped = true
	return sum, nil
}

func (t *Tally) add(c counted) {
	t.Matched += c.Matched
	t.UsersActive += c.UsersActive
	t.UsersPending += c.UsersPending
	t.UsersDisabled += c.UsersDisabled
	t.AccountsActive += c.AccountsActive
	t.AccountsTotal += c.AccountsTotal
}

// inTime runs a statement that cannot stop by itself. Where its time is over
// it is given up, and the caller reads along an order instead.
func (r Reads) inTime(ctx context.Context, fn func(context.Context) error) (done bool, err error) {
	short, cancel := context.WithTimeout(ctx, r.bound().time)
	defer cancel()
	err = fn(short)
	if err != nil && short.Err() != nil && ctx.Err() == nil {
		return false, nil
	}
	return err == nil, err
}
