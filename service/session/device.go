package session

import (
	"context"

	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/service/wire"
	"github.com/bizmetry/identity/store"
)

// devicesAtMost is how many devices of a user count: those used last.
const devicesAtMost = 10

// onDevice tells whether a user fully signed in on a device before. It runs the same
// statement whoever the user is.
func (s *Sessions) onDevice(ctx context.Context, d secret.Device, u store.User) (bool, error) {
	row, err := s.store.Device(ctx, d.Org, d.ID)
	if wire.IsNotFound(err) {
		return false, nil
	}
	return row.Org == u.Org && row.User == u.ID && row.Used+store.DeviceLife > store.At(s.Now()), err
}

// keeper is a transaction that keeps devices.
type keeper interface {
	PutDevice(ctx context.Context, d store.Device, epoch store.Micros, atMost int) error
}

// keepDevice keeps the device of a session that begins (id "": a new one), and
// returns its token.
func (s *Sessions) keepDevice(ctx context.Context, t keeper, session store.Session, id string) (string, error) {
	if id == "" {
		id = s.NewID()
	}
	err := t.PutDevice(ctx, store.Device{Org: session.Org, ID: id, User: session.User, Used: session.Created}, session.Epoch, devicesAtMost)
	return secret.DeviceToken(s.ring, secret.Device{Org: session.Org, User: session.User, ID: id}), err
}
