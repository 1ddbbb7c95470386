package store

import "context"

// Activity is a sign-in attempt, or refused calls of a minute.
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
	Count     int64  `db:"count"`     // how often it happened
	Last      Micros `db:"last_time"` // 0: once
}

// AddActivity adds rows, of which there must be at least one and no two with the
// same id. A row that is there already stands for these calls too, and counts them.
func (w writes) AddActivity(ctx context.Context, rows ...Activity) error {
	return insertAll(ctx, w, `
		INSERT INTO activity (organization_id, id, time, type, outcome, principal_id, detail, request_id, source, count, last_time)
		VALUES (:organization_id, :id, :time, :type, :outcome, :principal_id, :detail, :request_id, :source, :count, :last_time)
		ON CONFLICT (organization_id, id) DO UPDATE SET count = activity.count + excluded.count, last_time = excluded.last_time`, rows)
}

// SetOutcome corrects what came of a sign-in attempt.
func (w writes) SetOutcome(ctx context.Context, row Activity) error {
	_, err := w.exec(ctx, `UPDATE activity SET outcome = ? WHERE organization_id = ? AND id = ?`, row.Outcome, row.Org, row.ID)
	return err
}

// DropActivity removes an attempt that was never made.
func (w writes) DropActivity(ctx context.Context, row Activity) error {
	_, err := w.exec(ctx, `DELETE FROM activity WHERE organization_id = ? AND id = ?`, row.Org, row.ID)
	return err
}
