package store

import "context"

const (
	sweptAtOnce  = 1000 // rows a transaction, so that nobody waits long for one
	sweepsAtMost = 100  // of such transactions, for one kind of row
	day          = 24 * 3600 * 1_000_000
)

// swept are statements that delete some of what is old, given a time and how many.
// The sessions and what leads to them are a pair: a session goes once nothing does.
var swept = []struct {
	statement string
	after     Micros // how long rows are kept
}{
	{`DELETE FROM request_ids WHERE (organization_id, principal_id, request_id) IN
		(SELECT organization_id, principal_id, request_id FROM request_ids WHERE create_time < ? LIMIT ?)`, day},
	{`DELETE FROM revoked_tokens WHERE (organization_id, id) IN
		(SELECT organization_id, id FROM revoked_tokens WHERE expire_time < ? LIMIT ?)`, day},
	{`DELETE FROM phone_verifications WHERE (organization_id, id) IN
		(SELECT organization_id, id FROM phone_verifications WHERE create_time < ? LIMIT ?)`, day},
	{`DELETE FROM budgets WHERE key IN (SELECT key FROM budgets WHERE end_time < ? LIMIT ?)`, day},
	{`DELETE FROM throttles WHERE key IN (SELECT key FROM throttles WHERE update_time < ? LIMIT ?)`, day},
	{`DELETE FROM directory WHERE kind = 'session' AND key IN
		(SELECT d.key FROM sessions s JOIN directory d ON d.kind = 'session' AND d.key = CAST(s.id AS TEXT) WHERE s.expire_time < ? LIMIT ?)`, 7 * day},
	{`DELETE FROM sessions WHERE (organization_id, id) IN (SELECT s.organization_id, s.id FROM sessions s WHERE s.expire_time < ?
		AND NOT EXISTS (SELECT 1 FROM directory d WHERE d.kind = 'session' AND d.key = CAST(s.id AS TEXT)) LIMIT ?)`, 7 * day},
	{`DELETE FROM devices WHERE (organization_id, id) IN (SELECT organization_id, id FROM devices WHERE use_time < ? LIMIT ?)`, DeviceLife},
	{`UPDATE outbox SET sealed = NULL WHERE (organization_id, id) IN (SELECT organization_id, id FROM outbox
		WHERE dead_time > 0 AND expire_time > 0 AND expire_time < ? AND sealed IS NOT NULL LIMIT ?)`, 0},
	{`DELETE FROM outbox WHERE (organization_id, id) IN
		(SELECT organization_id, id FROM outbox WHERE create_time < ? AND (sent_time > 0 OR dead_time > 0) LIMIT ?)`, 30 * day},
	{`DELETE FROM links WHERE (organization_id, user_id) IN
		(SELECT organization_id, user_id FROM links WHERE expire_time < ? LIMIT ?)`, day},
	{`DELETE FROM activity WHERE (organization_id, id) IN (SELECT organization_id, id FROM activity WHERE time < ? LIMIT ?)`, 90 * day},
}

// Sweep deletes what nobody needs any more: outcomes of requests, throttles
// and phone verifications older than a day, sessions a week after their end,
// messages after thirty days, activity and devices after ninety. Dead messages
// lose what they held when it has become pointless. It goes in short steps, holds
// no lock for long, and leaves to the next time what is too much for one.
func (s *Store) Sweep(ctx context.Context, now Micros) error {
	for _, old := range swept {
		for n, steps := int64(sweptAtOnce), 0; n == sweptAtOnce && steps < sweepsAtMost; steps++ {
			err := s.Short(ctx, func(t *ShortTx) (err error) {
				n, err = t.exec(ctx, old.statement, now-old.after, sweptAtOnce)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
