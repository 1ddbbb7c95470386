package store

import "context"

// Spend takes one of the limit that a key has in a window, which begins with
// the first. Of any number of callers at once no more than the limit succeed;
// to the others it says when the window ends.
func (w writes) Spend(ctx context.Context, key string, limit int, now, end Micros) (ok bool, again Micros, err error) {
	n, err := w.exec(ctx, `
		INSERT INTO budgets (key, used, end_time) VALUES (?, 1, ?)
		ON CONFLICT (key) DO UPDATE SET
			used = CASE WHEN budgets.end_time <= ? THEN 1 ELSE budgets.used + 1 END,
			end_time = CASE WHEN budgets.end_time <= ? THEN excluded.end_time ELSE budgets.end_time END
		WHERE budgets.end_time <= ? OR budgets.used < ?`, key, end, now, now, now, limit)
	if err != nil || n == 1 {
		return err == nil, 0, err
	}
	err = w.one(ctx, &again, `SELECT end_time FROM budgets WHERE key = ?`, key)
	return false, again, err
}
