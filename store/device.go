package store

import "context"

// Device is one on which a user fully signed in.
type Device struct {
	Org  string `db:"organization_id"`
	ID   string `db:"id"`
	User string `db:"user_id"`
	Used Micros `db:"use_time"` // at the last sign-in with it
}

// DeviceLife is how long a device counts without a sign-in.
const DeviceLife Micros = 90 * 24 * 3600 * 1_000_000

// Device returns one device.
func (r Reads) Device(ctx context.Context, org, id string) (d Device, err error) {
	err = r.one(ctx, &d, `SELECT organization_id, id, user_id, use_time FROM devices WHERE organization_id = ? AND id = ?`, org, id)
	return d, err
}

// PutDevice keeps a device that was just used, and of all of its user's those
// used last, up to atMost. The row of the user was written before in the same
// transaction: where their epoch has moved by then, none is left.
func (w writes) PutDevice(ctx context.Context, d Device, epoch Micros, atMost int) error {
	err := w.insert(ctx, `INSERT INTO devices (organization_id, id, user_id, use_time) VALUES (:organization_id, :id, :user_id, :use_time)
		ON CONFLICT (organization_id, id) DO UPDATE SET use_time = excluded.use_time`, d)
	if err != nil {
		return err
	}
	_, err = w.exec(ctx, `DELETE FROM devices WHERE organization_id = ? AND user_id = ? AND (
			id NOT IN (SELECT id FROM devices WHERE organization_id = ? AND user_id = ? ORDER BY use_time DESC, id DESC LIMIT ?)
			OR NOT EXISTS (SELECT 1 FROM users WHERE organization_id = ? AND id = ? AND epoch = ?))`,
		d.Org, d.User, d.Org, d.User, atMost, d.Org, d.User, epoch)
	return err
}

// DeleteDevices ends all devices of a user. The row of the user was written
// before in the same transaction, so that no sign-in under way adds one.
func (t *Tx) DeleteDevices(ctx context.Context, org, user string) error {
	_, err := t.exec(ctx, `DELETE FROM devices WHERE organization_id = ? AND user_id = ?`, org, user)
	return err
}
