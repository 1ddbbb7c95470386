package store

import "context"

// Activity is a sign-in attempt or a refused call.
type Activity struct {
	Org       string `db:"organization_id"`
	ID        string `db:"id"`
	Time      Micros `db:"time"`
	Type      string `db:"type"`
	Outcome   string `db:"outcome"`
	Principal string `db:"principal_id"`
	Detail    string `db:"detail"`
	RequestID string `db:"request_id"`
	Source    string `db:"source"`
}

// AddActivity adds rows, of which there must be at least one. Rows that are
// there already, because the answer to their commit was lost, are passed over.
func (t *ShortTx) AddActivity(ctx context.Context, rows []Activity) error {
	return insertAll(ctx, t.writes, `
		INSERT INTO activity (organization_id, id, time, type, outcome, principal_id, detail, request_id, source)
		VALUES (:organization_id, :id, :time, :type, :outcome, :principal_id, :detail, :request_id, :source)
		ON CONFLICT DO NOTHING`, rows)
}

// Sweep deletes what nobody needs any more: outcomes of requests, throttles
// and phone verifications older than a day, sessions a week after their end,
// messages after thirty days, activity after ninety. Dead messages lose what
// they held when it has become pointless.
func (t *ShortTx) Sweep(ctx context.Context, now Micros) error {
	const day = 24 * 3600 * 1_000_000
	for _, s := range []struct {
		statement string
		before    Micros
	}{
		{`DELETE FROM request_ids WHERE create_time < ?`, now - day},
		{`DELETE FROM revoked_tokens WHERE expire_time < ?`, now - day},
		{`DELETE FROM phone_verifications WHERE create_time < ?`, now - day},
		{`DELETE FROM budgets WHERE end_time < ?`, now - day},
		{`DELETE FROM throttles WHERE update_time < ?`, now - day},
		{`DELETE FROM directory WHERE kind = 'session' AND key IN (SELECT CAST(id AS TEXT) FROM sessions WHERE expire_time < ?)`, now - 7*day},
		{`DELETE FROM sessions WHERE expire_time < ?`, now - 7*day},
		{`DELETE FROM devices WHERE use_time < ?`, now - DeviceLife},
		{`UPDATE outbox SET sealed = NULL WHERE dead_time > 0 AND expire_time > 0 AND expire_time < ?`, now},
		{`DELETE FROM outbox WHERE create_time < ? AND (sent_time > 0 OR dead_time > 0)`, now - 30*day},
		{`DELETE FROM links WHERE expire_time < ?`, now - day},
		{`DELETE FROM activity WHERE time < ?`, now - 90*day},
	} {
		if _, err := t.exec(ctx, s.statement, s.before); err != nil {
			return err
		}
	}
	return nil
}
