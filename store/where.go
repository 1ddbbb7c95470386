package store

import "strings"

// where collects conditions. Every condition is a constant of this package;
// what comes from outside is only ever an argument.
type where struct {
	conditions []string
	args       []any
}

func newWhere(condition string, args ...any) *where {
	return &where{conditions: []string{condition}, args: args}
}

// and adds a condition where it is wanted.
func (w *where) and(wanted bool, condition string, args ...any) {
	if wanted {
		w.conditions = append(w.conditions, condition)
		w.args = append(w.args, args...)
	}
}

// not adds that other conditions do not all hold.
func (w *where) not(other *where) {
	w.conditions = append(w.conditions, "NOT ("+strings.Join(other.conditions, " AND ")+")")
	w.args = append(w.args, other.args...)
}

func (w *where) String() string { return " WHERE " + w.all() }

// all is all conditions as one.
func (w *where) all() string { return strings.Join(w.conditions, " AND ") }

// Page says which part of a list to read.
type Page struct {
	// Order is one of the orders of the list, with Desc the other way round.
	Order string
	Desc  bool
	// After is the row that the page begins behind; nil: the first page.
	After *Cursor
	// Skip passes rows over; Limit bounds the page.
	Skip, Limit int
}

// Cursor is the place of a row in an order.
type Cursor struct {
	Key any
	ID  string
}

// limited bounds a page by its Limit and Skip.
const limited = ` LIMIT ? OFFSET ?`

// keyset adds the condition for the page and returns the ORDER BY for it. No
// two rows of an organization share an address or a number, so those need no
// tie-break: the index that has them alone would leave sorting to do.
func (p Page) keyset(w *where, column string) string {
	direction, beyond := " ASC", " > "
	if p.Desc {
		direction, beyond = " DESC", " < "
	}
	if column == `email_key` || column == `seq` {
		if p.After != nil {
			w.and(true, column+beyond+`?`, p.After.Key)
		}
		return ` ORDER BY ` + column + direction
	}
	if p.After != nil {
		w.and(true, `(`+column+`, id)`+beyond+`(?, ?)`, p.After.Key, p.After.ID)
	}
	return ` ORDER BY ` + column + direction + `, id` + direction
}

// contains is a LIKE pattern for a part of a folded text.
func contains(text string) string { return "%" + escapeLike(text) + "%" }

// begins is a LIKE pattern for the beginning of a folded text.
func begins(text string) string { return escapeLike(text) + "%" }

var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

func escapeLike(text string) string { return likeEscaper.Replace(text) }

// filledUp repeats the last element up to a power of two.
func filledUp(list []string) []string {
	size := 1
	for size < len(list) {
		size *= 2
	}
	full := append(make([]string, 0, size), list...)
	for len(full) > 0 && len(full) < size {
		full = append(full, list[len(list)-1])
	}
	return full
}
