package store

import "context"

// Session is a signed-in person.
type Session struct {
	Org        string `db:"organization_id"`
	ID         string `db:"id"`
	User       string `db:"user_id"`
	Generation int64  `db:"generation"`
	Epoch      Micros `db:"epoch"`
	OrgEpoch   Micros `db:"org_epoch"`
	Created    Micros `db:"create_time"`
	Refreshed  Micros `db:"refresh_time"`
	Expires    Micros `db:"expire_time"`
	Ended      Micros `db:"end_time"`
	EndReason  string `db:"end_reason"`
	Source     string `db:"source"`
	UserAgent  string `db:"user_agent"`
}

const sessionColumns = `organization_id, id, user_id, generation, epoch, org_epoch, create_time, refresh_time, expire_time, end_time,
	end_reason, source, user_agent`

// Session returns one session, ended ones too.
func (r Reads) Session(ctx context.Context, org, id string) (s Session, err error) {
	err = r.one(ctx, &s, `SELECT `+sessionColumns+` FROM sessions WHERE organization_id = ? AND id = ?`, org, id)
	return s, err
}

// SessionsBeyond returns up to a hundred live sessions of a person: those that
// are beside one of them, and older than the others that are kept. One that was
// not refreshed since idle is not live.
func (r Reads) SessionsBeyond(ctx context.Context, beside Session, kept int, now, idle Micros) (ss []Session, err error) {
	err = r.all(ctx, &ss, `SELECT `+sessionColumns+` FROM sessions
		WHERE organization_id = ? AND user_id = ? AND id <> ? AND end_time = 0 AND expire_time > ? AND refresh_time > ?
		ORDER BY create_time DESC, id DESC LIMIT 100 OFFSET ?`, beside.Org, beside.User, beside.ID, now, idle, kept)
	return ss, err
}

// AddSession starts a session.
func (w writes) AddSession(ctx context.Context, s Session) error {
	err := w.insert(ctx, `
		INSERT INTO sessions (`+sessionColumns+`)
		VALUES (:organization_id, :id, :user_id, :generation, :epoch, :org_epoch, :create_time, :refresh_time, :expire_time, :end_time,
			:end_reason, :source, :user_agent)`, s)
	if err != nil {
		return err
	}
	return w.Enlist(ctx, Entry{Kind: SessionID, Key: s.ID, Org: s.Org, ID: s.ID})
}

// Rotate moves a live session to its next generation. Of any number of
// simultaneous callers one succeeds; the others get ErrNotFound.
func (t *ShortTx) Rotate(ctx context.Context, org, id string, generation int64, at Micros) error {
	return t.must(ctx, `
		UPDATE sessions SET generation = generation + 1, refresh_time = ?
		WHERE organization_id = ? AND id = ? AND generation = ? AND end_time = 0`, at, org, id, generation)
}

// EndSession ends a session; one that ended already is ErrNotFound.
func (t *Tx) EndSession(ctx context.Context, org, id, reason string, at Micros) error {
	return t.must(ctx, `UPDATE sessions SET end_time = ?, end_reason = ? WHERE organization_id = ? AND id = ? AND end_time = 0`,
		at, reason, org, id)
}

// EndSessions ends all sessions of a person.
func (t *Tx) EndSessions(ctx context.Context, org, user, reason string, at Micros) error {
	_, err := t.exec(ctx, `UPDATE sessions SET end_time = ?, end_reason = ? WHERE organization_id = ? AND user_id = ? AND end_time = 0`,
		at, reason, org, user)
	return err
}
