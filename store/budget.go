package store

import (
	"cmp"
	"context"
	"slices"
	"strings"
)

// Charge takes N of what a key may have in a window. The window begins with
// the first charge and ends at End; one that is open keeps its own end.
type Charge struct {
	Key string
	N   int64
	End Micros
}

// Spent is how much of a key's window is used, with what was just taken, and
// until when.
type Spent struct {
	Key  string `db:"key"`
	Used int64  `db:"used"`
	End  Micros `db:"end_time"`
}

// chargesAtOnce is up to how many keys a statement is about.
const chargesAtOnce = 256

// Spend takes from several keys, each named once, whether that much is left or
// not: of any number of callers at once each sees another sum, so that a limit
// is reached by exactly one. It takes the keys in their order, so that two
// calls never wait for each other crosswise.
func (w writes) Spend(ctx context.Context, now Micros, charges ...Charge) (map[string]Spent, error) {
	charges = slices.SortedFunc(slices.Values(charges), func(a, b Charge) int { return cmp.Compare(a.Key, b.Key) })
	spent := make(map[string]Spent, len(charges))
	for len(charges) > 0 {
		n := min(len(charges), chargesAtOnce)
		for n > rowsPrepared && n&(n-1) != 0 {
			n &= n - 1 // down to a power of two: few texts, which are kept prepared
		}
		var args []any
		for _, c := range charges[:n] {
			args = append(args, c.Key, c.N, c.End)
		}
		var rows []Spent
		err := w.ahead(func() error {
			return w.all(ctx, &rows, `
				INSERT INTO budgets (key, used, end_time) VALUES (?, ?, ?)`+strings.Repeat(`, (?, ?, ?)`, n-1)+`
				ON CONFLICT (key) DO UPDATE SET
					used = CASE WHEN budgets.end_time <= ? THEN excluded.used ELSE budgets.used + excluded.used END,
					end_time = CASE WHEN budgets.end_time <= ? THEN excluded.end_time ELSE budgets.end_time END
				RETURNING key, used, end_time`, append(args, now, now)...)
		})
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			spent[row.Key] = row
		}
		charges = charges[n:]
	}
	return spent, nil
}
