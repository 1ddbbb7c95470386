package store

import (
	"context"
	"errors"
)

// Throttle counts the failed attempts against one guessable thing.
type Throttle struct {
	Key      string `db:"key"`
	Failures int64  `db:"failures"`
	Retry    Micros `db:"retry_time"`
}

// Throttle returns the state for a key; one never seen has no failures.
func (r Reads) Throttle(ctx context.Context, key string) (t Throttle, err error) {
	err = r.one(ctx, &t, `SELECT key, failures, retry_time FROM throttles WHERE key = ?`, key)
	if errors.Is(err, ErrNotFound) {
		return Throttle{Key: key}, nil
	}
	return t, err
}

// Blocked returns those of the keys that are blocked now, and until when.
func (r Reads) Blocked(ctx context.Context, keys []string, now Micros) (map[string]Micros, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	var ts []Throttle
	err := r.in(ctx, &ts, `SELECT key, failures, retry_time FROM throttles WHERE key IN (?) AND retry_time > ?`, keys, now)
	return untils(ts), err
}

// BlockedNow returns up to limit of the keys that are blocked now, and until when.
func (r Reads) BlockedNow(ctx context.Context, now Micros, limit int) (map[string]Micros, error) {
	var ts []Throttle
	err := r.all(ctx, &ts, `SELECT key, failures, retry_time FROM throttles WHERE retry_time > ? ORDER BY retry_time LIMIT ?`, now, limit)
	return untils(ts), err
}

func untils(ts []Throttle) map[string]Micros {
	until := make(map[string]Micros, len(ts))
	for _, t := range ts {
		until[t.Key] = t.Retry
	}
	return until
}

// CountAttempt counts an attempt before it is made, so that of any number of
// simultaneous attempts each is counted. ErrNotFound means that another one
// was counted meanwhile.
func (t *ShortTx) CountAttempt(ctx context.Context, seen Throttle, retry, now Micros) error {
	if seen.Failures == 0 {
		n, err := t.exec(ctx, `INSERT INTO throttles (key, failures, retry_time, update_time) VALUES (?, 1, ?, ?)
			ON CONFLICT (key) DO UPDATE SET failures = 1, retry_time = excluded.retry_time, update_time = excluded.update_time
			WHERE throttles.failures = 0`, seen.Key, retry, now)
		if err == nil && n != 1 {
			err = ErrNotFound
		}
		return err
	}
	return t.must(ctx, `UPDATE throttles SET failures = failures + 1, retry_time = ?, update_time = ? WHERE key = ? AND failures = ?`,
		retry, now, seen.Key, seen.Failures)
}

// ReturnAttempt takes one back that was counted and then not made.
func (t *ShortTx) ReturnAttempt(ctx context.Context, key string) error {
	_, err := t.exec(ctx, `UPDATE throttles SET failures = failures - 1, retry_time = 0 WHERE key = ? AND failures > 0`, key)
	return err
}

// ForgetAttempts starts counting anew: after a success, or where a wait is lifted.
func (w writes) ForgetAttempts(ctx context.Context, key string, now Micros) error {
	_, err := w.exec(ctx, `UPDATE throttles SET failures = 0, retry_time = 0, update_time = ? WHERE key = ?`, now, key)
	return err
}
