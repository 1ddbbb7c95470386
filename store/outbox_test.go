package store_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/store/storetest"
)

func enqueue(t *testing.T, s *store.Store, org string, messages ...store.Message) {
	t.Helper()
	for i := range messages {
		messages[i].Org = org
		if messages[i].ID == "" {
			messages[i].ID = newID()
		}
		if messages[i].Sealed == nil {
			messages[i].Sealed = []byte("sealed")
		}
	}
	if err := s.Short(t.Context(), func(tx *store.ShortTx) error { return tx.Enqueue(t.Context(), messages...) }); err != nil {
		t.Fatal(err)
	}
}

func claim(t *testing.T, s *store.Store, channel string, now, until store.Micros, limit int) (ms []store.Message) {
	t.Helper()
	due, err := s.Due(t.Context(), channel, now, limit)
	if err == nil && len(due) > 0 {
		err = s.Short(t.Context(), func(tx *store.ShortTx) (err error) {
			ms, err = tx.Claim(t.Context(), due, now, until)
			return err
		})
	}
	if err != nil {
		t.Error(err)
	}
	return ms
}

// Of ten workers none gets what another has, and together they get all.
func TestClaim_OneWorkerAMessage(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		org := founded(t, s, 0)[0]
		messages := make([]store.Message, 600) // more than one INSERT takes
		for i := range messages {
			messages[i] = store.Message{Kind: "mail.test", Created: 1, Due: store.Micros(i % 7)}
		}
		enqueue(t, s, org, messages...)
		var mu sync.Mutex
		var wait sync.WaitGroup
		times := map[string]int{}
		for range 10 {
			wait.Go(func() {
				for {
					if due, err := s.Due(t.Context(), "mail", 10, 1); err != nil || len(due) == 0 {
						return
					}
					for _, m := range claim(t, s, "mail", 10, 1000, 8) {
						mu.Lock()
						times[m.ID]++
						mu.Unlock()
					}
				}
			})
		}
		wait.Wait()
		if len(times) != len(messages) {
			t.Errorf("%d of %d messages", len(times), len(messages))
		}
		for id, n := range times {
			if n != 1 {
				t.Errorf("%s was claimed %d times", id, n)
			}
		}
	})
}

// What a message goes through.
func TestOutbox(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		org := founded(t, s, 0)[0]
		short := func(fn func(tx *store.ShortTx) error) {
			t.Helper()
			if err := s.Short(t.Context(), fn); err != nil {
				t.Fatal(err)
			}
		}
		one := func(now store.Micros) store.Message {
			t.Helper()
			ms := claim(t, s, "mail", now, now+100, 10)
			if len(ms) != 1 {
				t.Fatalf("%d messages at %d", len(ms), now)
			}
			return ms[0]
		}
		none := func(now store.Micros) {
			t.Helper()
			if ms := claim(t, s, "mail", now, now+100, 10); len(ms) != 0 {
				t.Fatalf("%d messages at %d", len(ms), now)
			}
		}
		select {
		case <-s.Enqueued():
			t.Error("a sign before anything was enqueued")
		default:
		}
		enqueue(t, s, org, store.Message{Kind: "mail.test", Created: 1, Due: 10, Expires: 5000, Recipient: "a…@x.test"})
		<-s.Enqueued()
		none(9)
		if ms := claim(t, s, "sms", 10, 20, 10); len(ms) != 0 {
			t.Error("a mail goes by SMS")
		}
		m := one(10)
		none(109) // leased
		again := one(110)
		if again.ID != m.ID || again.Attempts != 2 || string(again.Sealed) != "sealed" {
			t.Errorf("after the lease: %+v", again)
		}
		// Who lost the lease changes nothing any more.
		short(func(tx *store.ShortTx) error { return tx.Postpone(t.Context(), m, 0, 1, "late") })
		short(func(tx *store.ShortTx) error { return tx.Bury(t.Context(), m, 120, "late", true) })
		none(120)
		short(func(tx *store.ShortTx) error { return tx.Postpone(t.Context(), again, 300, 2, "later") })
		none(299)
		m = one(300)
		short(func(tx *store.ShortTx) error { return tx.Bury(t.Context(), m, 310, "rejected", false) })
		none(10_000)
		b, err := s.Backlog(t.Context(), "mail")
		if err != nil || b != (store.Backlog{Dead: 1}) {
			t.Errorf("%+v, %v", b, err)
		}
		list, err := s.Undelivered(t.Context(), 10)
		if err != nil || len(list) != 1 || list[0].LastError != "rejected" || list[0].Recipient != "a…@x.test" {
			t.Errorf("%+v, %v", list, err)
		}
		revive := func(id string, now store.Micros) (n int64) {
			short(func(tx *store.ShortTx) (err error) { n, err = tx.Revive(t.Context(), id, now); return err })
			return n
		}
		if n := revive(newID(), 400); n != 0 {
			t.Errorf("%d revived by another id", n)
		}
		if n := revive(m.ID, 5000); n != 0 {
			t.Errorf("%d revived after its end", n)
		}
		if n := revive("", 400); n != 1 {
			t.Errorf("%d revived", n)
		}
		m = one(400)
		if m.Attempts != 1 {
			t.Errorf("%d attempts", m.Attempts)
		}
		short(func(tx *store.ShortTx) error { return tx.Sent(t.Context(), []store.Message{m}, 410) })
		none(10_000)
		if b, err := s.Backlog(t.Context(), "mail"); err != nil || b != (store.Backlog{}) {
			t.Errorf("%+v, %v", b, err)
		}
	})
}

// A message of a transaction that is rolled back was never there.
func TestEnqueue_RolledBack(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		org := founded(t, s, 0)[0]
		want := errors.New("no")
		err := s.Short(t.Context(), func(tx *store.ShortTx) error {
			if err := tx.Enqueue(t.Context(), store.Message{Org: org, ID: newID(), Kind: "mail.test"}); err != nil {
				return err
			}
			return want
		})
		due, failed := s.Due(t.Context(), "mail", 10, 1)
		if !errors.Is(err, want) || failed != nil || len(due) > 0 {
			t.Errorf("%v, %v, %v", err, due, failed)
		}
	})
}

// The sweep erases what dead messages held when it is pointless, and drops what is old.
func TestSweep_Outbox(t *testing.T) {
	const day = 24 * 3600 * 1_000_000
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		org := founded(t, s, 0)[0]
		enqueue(t, s, org,
			store.Message{Kind: "mail.dead", Created: 1, Dead: 2, Expires: 3 * day},
			store.Message{Kind: "mail.waiting", Created: 1, Expires: 3 * day},
			store.Message{Kind: "mail.sent", Created: 1, Sent: 2})
		sweep := func(now store.Micros) (kinds []string) {
			t.Helper()
			err := s.Sweep(t.Context(), now)
			if err != nil {
				t.Fatal(err)
			}
			list, err := s.Undelivered(t.Context(), 10)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range list {
				kinds = append(kinds, fmt.Sprint(m.Kind, " ", len(m.Sealed)))
			}
			return kinds
		}
		if got := fmt.Sprint(sweep(2 * day)); got != "[mail.dead 6 mail.waiting 6]" {
			t.Error(got)
		}
		if got := fmt.Sprint(sweep(4 * day)); got != "[mail.dead 0 mail.waiting 6]" {
			t.Error(got)
		}
		if got := fmt.Sprint(sweep(40 * day)); got != "[mail.waiting 6]" {
			t.Error(got)
		}
	})
}
