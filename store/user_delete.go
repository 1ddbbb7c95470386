package store

import "context"

// UserDeletedAfter returns one person, also one who was deleted after the
// given time.
func (r Reads) UserDeletedAfter(ctx context.Context, org, id string, after Micros) (u User, err error) {
	err = r.one(ctx, &u, `SELECT `+userColumns+` FROM users
		WHERE organization_id = ? AND id = ? AND (delete_time = 0 OR delete_time > ?)`, org, id, after)
	return u, err
}

// DeletedUsers returns up to limit people who were deleted up to the given
// time, the longest ago first.
func (r Reads) DeletedUsers(ctx context.Context, org string, until Micros, limit int) (us []User, err error) {
	err = r.all(ctx, &us, `SELECT `+userColumns+` FROM users
		WHERE organization_id = ? AND delete_time <> 0 AND delete_time <= ? ORDER BY delete_time, id LIMIT ?`, org, until, limit)
	return us, err
}

// OrganizationsOfDeleted returns the organizations that have such people.
func (r Reads) OrganizationsOfDeleted(ctx context.Context, until Micros) (orgs []string, err error) {
	err = r.all(ctx, &orgs, `SELECT DISTINCT organization_id FROM users WHERE delete_time <> 0 AND delete_time <= ?`, until)
	return orgs, err
}

// EraseUsers removes people of one organization, at most some hundred, with
// all that is kept of them; throttles are the keys that their wrong passwords have.
// A table that keeps something of a person has a line here; events keep the id
// alone, so that the address is taken out of those of deletions. First sign-ins under way are waited for; then the order is that of
// Sweep, so that neither waits for the other crosswise.
func (t *Tx) EraseUsers(ctx context.Context, throttles []string, users ...User) error {
	if len(users) == 0 {
		return nil
	}
	org, ids, emails := users[0].Org, make([]string, len(users)), make([]string, len(users))
	for i, u := range users {
		ids[i], emails[i] = u.ID, u.EmailKey
		t.countUser(u, -1)
	}
	for _, s := range []struct {
		statement string
		args      []any
	}{
		{`UPDATE users SET version = version + 1 WHERE organization_id = ? AND id IN (?)`, []any{org, ids}},
		{`DELETE FROM request_ids WHERE organization_id = ? AND principal_id IN (?)`, []any{org, ids}},
		{`DELETE FROM request_ids WHERE about IN (?)`, []any{ids}}, // lies with its caller, who may be of another organization
		{`DELETE FROM phone_verifications WHERE organization_id = ? AND user_id IN (?)`, []any{org, ids}},
		{`DELETE FROM throttles WHERE key IN (?)`, []any{throttles}},
		{`DELETE FROM directory WHERE kind = 'session' AND key IN
			(SELECT CAST(id AS TEXT) FROM sessions WHERE organization_id = ? AND user_id IN (?))`, []any{org, ids}},
		{`DELETE FROM directory WHERE kind = 'email' AND key IN (?) AND organization_id = ? AND id IN (?)`, []any{emails, org, ids}},
		{`DELETE FROM sessions WHERE organization_id = ? AND user_id IN (?)`, []any{org, ids}},
		{`DELETE FROM devices WHERE organization_id = ? AND user_id IN (?)`, []any{org, ids}},
		{`DELETE FROM outbox WHERE organization_id = ? AND principal_id IN (?)`, []any{org, ids}},
		{`DELETE FROM links WHERE organization_id = ? AND user_id IN (?)`, []any{org, ids}},
		{`UPDATE events SET data = '{}' WHERE organization_id = ? AND target_id IN (?) AND type = 'user.deleted'`, []any{org, ids}},
		{`DELETE FROM activity WHERE organization_id = ? AND principal_id IN (?)`, []any{org, ids}},
		{`DELETE FROM grants WHERE organization_id = ? AND principal_id IN (?)`, []any{org, ids}},
		{`DELETE FROM users WHERE organization_id = ? AND id IN (?)`, []any{org, ids}},
	} {
		if _, err := t.execIn(ctx, s.statement, s.args...); err != nil {
			return err
		}
	}
	return nil
}
