package service_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service"
	"github.com/bizmetry/identity/service/notify"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store"
)

// flip changes a bit of what is sealed in a row.
func (w *world) flip(table, column, id string) {
	w.T.Helper()
	var sealed []byte
	noError(w.T, w.db.QueryRowContext(w.T.Context(), fmt.Sprintf(`SELECT %s FROM %s WHERE id = '%s'`, column, table, id)).Scan(&sealed))
	sealed[len(sealed)/2] ^= 1
	text := fmt.Sprintf(`'\x%x'`, sealed)
	if store.Embedded(w.url) {
		text = fmt.Sprintf(`x'%x'`, sealed)
	}
	w.sql(fmt.Sprintf(`UPDATE %s SET %s = %s WHERE id = '%s'`, table, column, text, id))
}

// CR-04: a service does not start on a signing key that was touched, and says
// which one it is. (Every bit of what is sealed: secret.TestOpen_CR04_Refuses.)
func TestSigningKey_CR04_FlippedBit(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		key := must[[]store.SigningKey](t)(w.Store.SigningKeys(t.Context()))[0]
		start := func() error {
			_, err := service.New(t.Context(), service.Config{
				Store: w.Store, Ring: w.Ring, Issuer: servicetest.Issuer, Passwords: w.Passwords, Now: w.Clock.Now,
			})
			return err
		}
		noError(t, start())
		w.flip("signing_keys", "sealed", key.ID)
		if err := start(); !errors.Is(err, secret.ErrSealed) || !strings.Contains(err.Error(), key.ID) {
			t.Errorf("with a key that was touched: %v", err)
		}
	})
}

// CR-04: a message that was touched is not sent, and holds up no other.
func TestOutbox_CR04_FlippedBit(t *testing.T) {
	eachURL(t, func(t *testing.T, url string) {
		w := newWorld(t, url, func(c *service.Config) { c.Mail = nil }) // nothing is sent yet
		for _, email := range []string{"touched@people.test", "whole@people.test"} {
			must[*identityv1.User](t)(w.Users.CreateUser(w.As(w.Root), &identityv1.CreateUserRequest{User: w.pending(email)}))
		}
		messages := must[[]store.Message](t)(w.Store.Undelivered(t.Context(), 10))
		touched := messages[0]
		if len(messages) != 2 || !strings.HasPrefix(touched.Recipient, "t") {
			touched = messages[1]
		}
		w.flip("outbox", "sealed", touched.ID)
		var sent atomic.Value
		sender := senderFunc(func(_ context.Context, m notify.Message) error {
			if !sent.CompareAndSwap(nil, m.To) {
				t.Errorf("another one went to %s", m.To)
			}
			return nil
		})
		servicetest.New(t, url, func(c *service.Config) {
			c.Ring, c.Now, c.Passwords, c.Mail = w.Ring, w.Clock.Now, w.Passwords, sender
		})
		servicetest.Eventually(t, "one is sent, and the other was tried", func() bool {
			l := must[[]store.Message](t)(w.Store.Undelivered(t.Context(), 10))
			return len(l) == 1 && l[0].Attempts == 1 && l[0].Leased == 0
		})
		left := must[[]store.Message](t)(w.Store.Undelivered(t.Context(), 10))[0]
		if left.ID != touched.ID || left.LastError != "message "+left.ID+": "+secret.ErrSealed.Error() || sent.Load() != "whole@people.test" {
			t.Errorf("%s says %q; sent to %v", left.Recipient, left.LastError, sent.Load())
		}
	})
}
