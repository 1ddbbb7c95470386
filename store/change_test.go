package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/store/storetest"
)

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// founded makes the platform organization in an empty database and as many
// others as asked for, and returns their ids, the platform's first.
func founded(t *testing.T, s *store.Store, others int) []string {
	t.Helper()
	orgs := []string{newID()}
	add := func(tx *store.Tx, id string, platform bool) error {
		if err := tx.AddOrganization(t.Context(), store.Organization{ID: id, DisplayName: "O", Platform: platform, Epoch: 1, Version: 1, Created: 1, Updated: 1}); err != nil {
			return err
		}
		tx.Record(store.Event{Org: id, Time: 1, Type: "organization.created", Target: id})
		return nil
	}
	noError(t, s.Found(t.Context(), func(tx *store.Tx) error { return add(tx, orgs[0], true) }))
	for range others {
		id := newID()
		noError(t, change(s, t.Context(), orgs[0], func(tx *store.Tx) error { return add(tx, id, false) }))
		orgs = append(orgs, id)
	}
	return orgs
}

// person is a row that can be written.
func person(org, email string) store.User {
	return store.User{
		Org: org, ID: newID(), Email: email, EmailKey: email, FirstName: "A", LastName: "B", DisplayName: "A B", NameKey: "a b",
		Confirmed: true, Enabled: true, Epoch: 1, Version: 1, Created: 1, Updated: 1,
	}
}

// numbers are those of an organization's events, oldest first.
func numbers(t *testing.T, s *store.Store, org string) (seqs []int64) {
	t.Helper()
	found, err := s.Events(t.Context(), org, store.EventFilter{}, 0, 0, 1_000_000)
	noError(t, err)
	events := found.Rows
	for i := len(events) - 1; i >= 0; i-- {
		seqs = append(seqs, events[i].Seq)
	}
	return seqs
}

// counted fails unless the numbers are 1, 2, 3 and so on, as many as wanted.
func counted(t *testing.T, s *store.Store, org string, want int) {
	t.Helper()
	seqs := numbers(t, s, org)
	for i, n := range seqs {
		if n != int64(i+1) {
			t.Fatalf("event %d has number %d", i+1, n)
		}
	}
	if len(seqs) != want {
		t.Errorf("%d events, want %d", len(seqs), want)
	}
}

// What a change keeps: all of it with an event, nothing of it otherwise.
func TestChange(t *testing.T) {
	boom := errors.New("boom")
	rows := []struct {
		rule string
		fn   func(tx *store.Tx, org string) error
		want error
		kept int
	}{
		{"an event keeps it", func(tx *store.Tx, org string) error {
			tx.Record(store.Event{Org: org, Time: 1, Type: "t"})
			return nil
		}, nil, 1},
		{"no event keeps nothing", func(*store.Tx, string) error { return nil }, nil, 0},
		{"an error keeps nothing", func(tx *store.Tx, org string) error {
			tx.Record(store.Event{Org: org, Time: 1, Type: "t"})
			return boom
		}, boom, 0},
		{"a row that is refused keeps nothing", func(tx *store.Tx, org string) error {
			tx.Record(store.Event{Org: org, Time: 1, Type: "t"})
			return tx.AddUser(context.Background(), person(org, "first@x.test"))
		}, store.ErrExists, 0},
	}
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		org := founded(t, s, 0)[0]
		noError(t, change(s, t.Context(), org, func(tx *store.Tx) error {
			tx.Record(store.Event{Org: org, Time: 1, Type: "t"})
			return tx.AddUser(t.Context(), person(org, "first@x.test"))
		}))
		people, events := 1, 2
		for i, row := range rows {
			t.Run(row.rule, func(t *testing.T) {
				err := change(s, t.Context(), org, func(tx *store.Tx) error {
					if err := tx.AddUser(t.Context(), person(org, fmt.Sprintf("u%d@x.test", i))); err != nil {
						return err
					}
					return row.fn(tx, org)
				})
				if !errors.Is(err, row.want) || (row.want == nil) != (err == nil) {
					t.Errorf("%v, want %v", err, row.want)
				}
				people, events = people+row.kept, events+row.kept
				counted(t, s, org, events)
				b, err := s.Badges(t.Context(), org)
				if err != nil || b.UsersActive != int64(people) {
					t.Errorf("%d people in the badges, want %d, %v", b.UsersActive, people, err)
				}
				users, err := s.Users(t.Context(), org, store.UserFilter{}, store.Page{Order: "email", Limit: 100})
				if err != nil || len(users) != people {
					t.Errorf("%d people, want %d, %v", len(users), people, err)
				}
			})
		}
		t.Run("an organization that is not there", func(t *testing.T) {
			err := change(s, t.Context(), newID(), func(*store.Tx) error { t.Error("it was locked"); return nil })
			if !errors.Is(err, store.ErrNotFound) {
				t.Error(err)
			}
		})
		t.Run("a panic leaves no lock", func(t *testing.T) {
			func() {
				defer func() { _ = recover() }()
				_ = change(s, t.Context(), org, func(*store.Tx) error { panic("boom") })
			}()
			noError(t, change(s, t.Context(), org, func(tx *store.Tx) error {
				tx.Record(store.Event{Org: org, Time: 1, Type: "t"})
				return nil
			}))
		})
	})
}

// Eight writers, each changing two organizations in turn, leave no gap and
// lose nothing; every fourth change is undone.
func TestChange_Numbers(t *testing.T) {
	const writers, each = 8, 25
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		orgs := founded(t, s, 2)[1:]
		undone := errors.New("undone")
		var wg sync.WaitGroup
		for n := range writers {
			wg.Go(func() {
				for i := range each {
					org := orgs[(n+i)%2]
					err := change(s, t.Context(), org, func(tx *store.Tx) error {
						before := tx.Seq(org)
						for range 1 + i%3 {
							tx.Record(store.Event{Org: org, Time: 1, Type: "t", Target: fmt.Sprint(n)})
						}
						if tx.Seq(org) != before+int64(1+i%3) {
							t.Errorf("%d after %d", tx.Seq(org), before)
						}
						if i%4 == 3 {
							return undone
						}
						return nil
					})
					if (err != nil) != (i%4 == 3) || err != nil && !errors.Is(err, undone) {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		want := [2]int{1, 1}
		for n := range writers {
			for i := range each {
				if i%4 != 3 {
					want[(n+i)%2] += 1 + i%3
				}
			}
		}
		for i, org := range orgs {
			counted(t, s, org, want[i])
		}
	})
}

// Changes that take two locks crosswise wait for each other; none is lost.
func TestChange_Crosswise(t *testing.T) {
	const pairs = 40
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		orgs := founded(t, s, 2)[1:]
		var wg sync.WaitGroup
		for i := range 2 * pairs {
			wg.Go(func() {
				first, second := orgs[i%2], orgs[1-i%2]
				err := change(s, t.Context(), first, func(tx *store.Tx) error {
					tx.Record(store.Event{Org: first, Time: 1, Type: "t"})
					tx.Record(store.Event{Org: second, ActorOrg: first, Time: 1, Type: "t"})
					return nil
				}, second, first)
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, org := range orgs {
			counted(t, s, org, 1+2*pairs)
		}
	})
}

// So many may wait and no more; who gives up gives their place back.
func TestChange_Queue(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		orgs := founded(t, s, 2)[1:]
		event := func(org string) func(*store.Tx) error {
			return func(tx *store.Tx) error { tx.Record(store.Event{Org: org, Time: 1, Type: "t"}); return nil }
		}
		held, release := make(chan struct{}), make(chan struct{})
		first := make(chan error, 1)
		go func() {
			first <- change(s, t.Context(), orgs[0], func(tx *store.Tx) error { close(held); <-release; return event(orgs[0])(tx) })
		}()
		<-held
		ctx, giveUp := context.WithCancel(t.Context())
		defer giveUp()
		others := make(chan error, store.QueueLimit)
		for range store.QueueLimit - 1 {
			go func() {
				err := store.ErrBusy
				for range 10_000 { // the probe below may have the place for a moment
					if err = change(s, ctx, orgs[0], event(orgs[0])); !errors.Is(err, store.ErrBusy) {
						break
					}
					time.Sleep(time.Millisecond)
				}
				others <- err
			}()
		}
		var err error
		for range 1000 { // until all of them are in line
			probe, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			err = change(s, probe, orgs[0], event(orgs[0]))
			cancel()
			if errors.Is(err, store.ErrBusy) {
				break
			}
			time.Sleep(3 * time.Millisecond) // leaves the place to the last of them
		}
		if !errors.Is(err, store.ErrBusy) {
			t.Errorf("one more than may wait: %v", err)
		}
		giveUp()
		for range store.QueueLimit - 1 {
			if err := <-others; !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("who gave up: %v", err)
			}
		}
		close(release)
		noError(t, <-first)
		counted(t, s, orgs[0], 2)
		for range 5 {
			noError(t, change(s, t.Context(), orgs[0], event(orgs[0])))
		}
		counted(t, s, orgs[0], 7)
	})
}

// A queue of one organization stops no other, on the database with more than
// one writer.
func TestChange_OtherOrganizations(t *testing.T) {
	s := storetest.Open(t, storetest.Postgres(t))
	orgs := founded(t, s, 2)[1:]
	held, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	event := func(org string) func(*store.Tx) error {
		return func(tx *store.Tx) error { tx.Record(store.Event{Org: org, Time: 1, Type: "t"}); return nil }
	}
	wg.Go(func() {
		if err := change(s, t.Context(), orgs[0], func(tx *store.Tx) error { close(held); <-release; return event(orgs[0])(tx) }); err != nil {
			t.Error(err)
		}
	})
	<-held
	for range 100 {
		wg.Go(func() { _ = change(s, t.Context(), orgs[0], event(orgs[0])) })
	}
	for range 20 {
		noError(t, change(s, t.Context(), orgs[1], event(orgs[1])))
	}
	counted(t, s, orgs[1], 21)
	close(release)
	wg.Wait()
}

// A read sees what was committed, and never half of a change.
func TestChange_Reads(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		org := founded(t, s, 1)[1]
		u := person(org, "a@x.test")
		err := change(s, t.Context(), org, func(tx *store.Tx) error {
			if err := tx.AddUser(t.Context(), u); err != nil {
				return err
			}
			tx.Record(store.Event{Org: org, Time: 1, Type: "t"})
			if _, err := s.User(t.Context(), org, u.ID); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("seen from outside before the commit: %v", err)
			}
			inside, err := tx.User(t.Context(), org, u.ID)
			if diff := cmp.Diff(u, inside); err != nil || diff != "" {
				t.Errorf("%v %s", err, diff)
			}
			return nil
		})
		noError(t, err)
		if got, err := s.User(t.Context(), org, u.ID); err != nil || got != u {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// change is Change for tests that do not look at the events.
func change(s *store.Store, ctx context.Context, org string, fn func(*store.Tx) error, others ...string) error {
	_, err := s.Change(ctx, org, fn, others...)
	return err
}
