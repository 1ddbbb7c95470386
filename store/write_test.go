package store_test

import (
	"errors"
	"testing"

	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/store/storetest"
)

// What is written later is there for whatever reads next, in its order, and a
// key that is taken is told by the end at the latest.
func TestLater(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		org := founded(t, s, 0)[0]
		u := person(org, "late@x.test")
		grant := store.Grant{Org: org, Principal: u.ID, Permit: "platform.users.read", Created: 1}
		again := grant
		again.Expires = 99
		_, err := s.Change(t.Context(), org, func(tx *store.Tx) error {
			if err := errors.Join(tx.AddUser(t.Context(), u), tx.PutGrants(t.Context(), grant)); err != nil {
				return err
			}
			if err := tx.PutGrants(t.Context(), again); err != nil { // the same row: after the first
				return err
			}
			if found, err := tx.User(t.Context(), org, u.ID); err != nil || found.EmailKey != u.EmailKey {
				t.Errorf("a read after a write: %v, %v", found.EmailKey, err)
			}
			if err := tx.SignedIn(t.Context(), org, u.ID, 7); err != nil {
				t.Errorf("a write to a row after it was written: %v", err)
			}
			tx.Record(store.Event{Org: org, Time: 1, Type: "user.created", Target: u.ID})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if found, err := s.Grants(t.Context(), org, u.ID); err != nil || len(found) != 1 || found[0].Expires != 99 {
			t.Errorf("%v, %v", found, err)
		}
		twin := person(org, "late@x.test")
		_, err = s.Change(t.Context(), org, func(tx *store.Tx) error {
			tx.Record(store.Event{Org: org, Time: 1, Type: "user.created", Target: twin.ID})
			return tx.AddUser(t.Context(), twin)
		})
		if store.Taken(err) != "users__email_key" || !errors.Is(err, store.ErrExists) {
			t.Errorf("a taken address: %v", err)
		}
		if b, err := s.Badges(t.Context(), org); err != nil || b.UsersActive+b.UsersPending+b.UsersDisabled != 1 {
			t.Errorf("%+v, %v", b, err)
		}
	})
}

// A carrier gets the messages of its channels that are committed, leased, as
// far as it has places; others claim the rest. What was rolled back takes none.
func TestCarrier(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		org := founded(t, s, 0)[0]
		c := s.Carry(2, 100, "mail")
		want := errors.New("no")
		for range 5 { // more often than there are places
			err := s.Short(t.Context(), func(tx *store.ShortTx) error {
				if err := tx.Enqueue(t.Context(), store.Message{Org: org, ID: newID(), Kind: "mail.test", Created: 1, Due: 1}); err != nil {
					return err
				}
				return want
			})
			if !errors.Is(err, want) || len(c.Messages()) != 0 {
				t.Fatalf("%v, and %d messages", err, len(c.Messages()))
			}
		}
		message := store.Message{Kind: "mail.test", Created: 10, Due: 10}
		enqueue(t, s, org, store.Message{Kind: "sms.test", Created: 10, Due: 10}, store.Message{Kind: "mail.test", Created: 10, Due: 11}, message, message, message)
		if len(c.Messages()) != 2 {
			t.Fatalf("%d messages are carried", len(c.Messages()))
		}
		carried := map[string]bool{}
		for range 2 {
			m := <-c.Messages()
			carried[m.ID] = true
			if m.Leased != 110 || m.Attempts != 1 || string(m.Sealed) != "sealed" {
				t.Errorf("%+v", m)
			}
		}
		claimed := claim(t, s, "mail", 20, 200, 8)
		if len(claimed) != 2 || carried[claimed[0].ID] || carried[claimed[1].ID] {
			t.Errorf("%v were claimed beside %v", claimed, carried)
		}
		if over := claim(t, s, "mail", 111, 200, 8); len(over) != 2 {
			t.Errorf("%d are claimed when the lease of the carrier is over", len(over))
		}
		enqueue(t, s, org, message)
		if len(c.Messages()) != 0 {
			t.Error("a message without a place is carried")
		}
		c.Done()
		enqueue(t, s, org, message)
		s.CarryNoMore()
		enqueue(t, s, org, message)
		if len(c.Messages()) != 1 {
			t.Errorf("%d messages for one place", len(c.Messages()))
		}
	})
}
