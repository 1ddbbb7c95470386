package store

import "context"

// Request is the outcome of a call that carried a request id.
type Request struct {
	Org       string `db:"organization_id"`
	Principal string `db:"principal_id"`
	ID        string `db:"request_id"`
	Method    string `db:"method"`
	Content   []byte `db:"content_mac"`
	Response  []byte `db:"response"`
	Created   Micros `db:"create_time"`
	// About is the person whom the response describes; "" for none.
	About string `db:"about"`
}

// Request returns the outcome of a call that is not older than since.
func (r Reads) Request(ctx context.Context, org, principal, id string, since Micros) (q Request, err error) {
	err = r.one(ctx, &q, `
		SELECT organization_id, principal_id, request_id, method, content_mac, response, create_time FROM request_ids
		WHERE organization_id = ? AND principal_id = ? AND request_id = ? AND create_time >= ?`, org, principal, id, since)
	return q, err
}

// PutRequest keeps the outcome of a call, in place of one that is older than
// since. One that is not is ErrExists.
func (w writes) PutRequest(ctx context.Context, q Request, since Micros) error {
	n, err := w.exec(ctx, `
		INSERT INTO request_ids (organization_id, principal_id, request_id, method, content_mac, response, create_time, about)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (organization_id, principal_id, request_id) DO UPDATE SET
			method = excluded.method, content_mac = excluded.content_mac, response = excluded.response,
			create_time = excluded.create_time, about = excluded.about
		WHERE request_ids.create_time < ?`, q.Org, q.Principal, q.ID, q.Method, q.Content, q.Response, q.Created, q.About, since)
	if err == nil && n != 1 {
		err = ErrExists
	}
	return err
}

// PutRequest keeps the outcome also where the change does nothing else: a
// repeat might find more to do.
func (t *Tx) PutRequest(ctx context.Context, q Request, since Micros) error {
	t.outcome = true
	return t.writes.PutRequest(ctx, q, since)
}
