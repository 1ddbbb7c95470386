package authority

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/bizmetry/identity/service/kit"
	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// replicas are two replicas on one database, which follow all organizations but
// poll only when told to.
type replicas struct {
	t           *testing.T
	db          *sql.DB
	driver      string
	platform    string
	orgs        []string
	here, there *replica
}

type replica struct {
	*Authority

	log      strings.Builder
	loads    atomic.Int64 // of signing keys
	keysFail atomic.Bool
}

var errKeys = errors.New("the keys cannot be loaded")

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eachReplicas runs the body on each database, with as many organizations as asked for.
func eachReplicas(t *testing.T, n int, body func(t *testing.T, r *replicas)) {
	t.Helper()
	for driver, url := range map[string]string{"sqlite": storetest.SQLite(t), "postgres": storetest.Postgres(t)} {
		t.Run(driver, func(t *testing.T) {
			r := &replicas{t: t, driver: driver}
			st := storetest.Open(t, url)
			var err error
			r.db, err = sql.Open(driver, strings.TrimPrefix(url, "sqlite:"))
			noError(t, err)
			t.Cleanup(func() { _ = r.db.Close() })
			noError(t, st.Found(t.Context(), func(tx *store.Tx) error {
				for i := range n + 1 {
					id := uuid.Must(uuid.NewV7()).String()
					r.orgs = append(r.orgs, id)
					o := store.Organization{ID: id, DisplayName: "O", Platform: i == 0, Epoch: 1, Version: 1, Created: 1, Updated: 1}
					if err := tx.AddOrganization(t.Context(), o); err != nil {
						return err
					}
					tx.Record(store.Event{Org: id, Time: 1, Type: store.EventOrganizationCreated, Target: id})
				}
				return nil
			}))
			r.platform, r.orgs = r.orgs[0], r.orgs[1:]
			r.here, r.there = r.newReplica(st), r.newReplica(storetest.Open(t, url))
			body(t, r)
		})
	}
}

func (r *replicas) newReplica(st *store.Store) *replica {
	start := time.Now()
	a := &replica{}
	k := kit.Kit{Now: time.Now, Elapsed: func() time.Duration { return time.Since(start) }, Log: slog.New(slog.NewTextHandler(&a.log, nil))}
	a.Authority = New(Config{Kit: k, Store: st, StalenessBudget: DefaultBudget})
	noError(r.t, a.Begin(r.t.Context(), func(context.Context) error {
		a.loads.Add(1)
		if a.keysFail.Load() {
			return errKeys
		}
		return nil
	}))
	for _, org := range r.orgs {
		_, err := a.memory.follow(r.t.Context(), org)
		noError(r.t, err)
	}
	return a
}

// change changes an organization at a replica, with as many events.
func (r *replicas) change(a *replica, org string, n int, kind string) map[string]int64 {
	r.t.Helper()
	last := map[string]int64{}
	events, err := a.store.Change(r.t.Context(), org, func(tx *store.Tx) error {
		for range n {
			tx.Record(store.Event{Org: org, Time: 1, Type: kind, Target: org})
		}
		return nil
	})
	noError(r.t, err)
	a.memory.apply(events)
	for _, e := range events {
		last[e.Org] = e.Seq
	}
	a.tell.add(last)
	return last
}

func (r *replicas) exec(text string, args ...any) {
	r.t.Helper()
	if r.driver == "sqlite" {
		text = strings.ReplaceAll(text, "$", "?")
	}
	_, err := r.db.ExecContext(r.t.Context(), text, args...)
	noError(r.t, err)
}

// state is what a replica knows of an organization: up to which event it was
// followed, how often something of it and all of it was dropped.
func (a *replica) state(org string) (seq int64, gen, whole uint64) {
	a.memory.mu.Lock()
	f := a.memory.orgs[org]
	a.memory.mu.Unlock()
	if f == nil {
		return -1, 0, 0
	}
	return f.applied(), f.gen.Load(), f.whole.Load()
}

func (a *replica) expect(t *testing.T, what, org string, seq int64, gen, whole uint64) {
	t.Helper()
	if s, g, w := a.state(org); s != seq || g != gen || w != whole {
		t.Errorf("%s: event %d, dropped %d, all %d; want %d, %d, %d", what, s, g, w, seq, gen, whole)
	}
}

// A replica reads what another names, without a poll.
func TestNotifications_AreEnough(t *testing.T) {
	eachReplicas(t, 150, func(t *testing.T, r *replicas) {
		if r.driver == "sqlite" {
			return // one process only
		}
		ctx, stop := context.WithCancel(t.Context())
		var helpers sync.WaitGroup
		defer helpers.Wait()
		defer stop()
		for _, a := range []*replica{r.here, r.there} {
			helpers.Go(func() { a.notifyOthers(ctx) })
			helpers.Go(func() { a.listen(ctx) })
			helpers.Go(func() { a.readHeard(ctx) })
		}
		eventually := func(a *replica, org string, seq int64, again func()) {
			t.Helper()
			for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
				if s, _, _ := a.state(org); s >= seq {
					return
				}
				if time.Now().After(end) {
					t.Fatalf("%s is not seen", org)
				}
				if again != nil {
					again()
				}
			}
		}
		// Until both listen, what is named may be missed.
		for a, b := range map[*replica]*replica{r.here: r.there, r.there: r.here} {
			last := r.change(a, r.platform, 1, "t")
			eventually(b, r.platform, last[r.platform], func() { a.tell.add(last) })
		}
		for i, org := range r.orgs {
			a := []*replica{r.here, r.there}[i%2]
			r.change(a, org, 1+i%3, "t")
		}
		for i, org := range r.orgs {
			for _, a := range []*replica{r.here, r.there} {
				eventually(a, org, int64(2+i%3), nil)
			}
		}
		if here, there := r.here.memory.feed.caughtUp.Load(), r.there.memory.feed.caughtUp.Load(); here != 0 || there != 0 {
			t.Error("it was polled")
		}
	})
}

// Notifications that nobody heard are made up for by the poll.
func TestPoll_HealsWhatWasNotHeard(t *testing.T) {
	eachReplicas(t, 150, func(t *testing.T, r *replicas) {
		for i, org := range r.orgs {
			r.change(r.here, org, i%3, "t")
		}
		noError(t, r.there.follow(t.Context()))
		for i, org := range r.orgs {
			r.there.expect(t, "a poll", org, int64(1+i%3), uint64(i%3), 0)
		}
		before := r.there.store.Statements()
		noError(t, r.there.follow(t.Context()))
		if n := r.there.store.Statements() - before; n != 1 {
			t.Errorf("a poll where nothing is new takes %d statements", n)
		}
	})
}

// What a notification names is read of those that are followed and not there
// yet, and what it says is not believed without events.
func TestReadNamed_OnlyWhatIsNew(t *testing.T) {
	eachReplicas(t, 3, func(t *testing.T, r *replicas) {
		a, org := r.there, r.orgs[0]
		r.change(r.here, org, 2, "t")
		for name, row := range map[string]struct {
			last       map[string]int64
			statements int64
		}{
			"nobody":        {map[string]int64{}, 0},
			"not followed":  {map[string]int64{uuid.NewString(): 5}, 0},
			"there already": {map[string]int64{r.orgs[1]: 1, r.orgs[2]: 0}, 0},
			"too many":      {map[string]int64{r.orgs[1]: 5000}, 0},
			"not there":     {map[string]int64{r.orgs[1]: 500, r.orgs[2]: 3}, 1},
			"new, or not":   {map[string]int64{org: 3, r.orgs[1]: 1}, 1},
		} {
			before := a.store.Statements()
			noError(t, a.readNamed(t.Context(), row.last))
			if n := a.store.Statements() - before; n != row.statements {
				t.Errorf("%s: %d statements, want %d", name, n, row.statements)
			}
		}
		a.expect(t, "named", org, 3, 2, 0)
		a.expect(t, "not named truly", r.orgs[1], 1, 0, 0)
		select {
		case <-a.pollNow:
		default:
			t.Error("what is too much for a notification is not polled")
		}
	})
}

// An organization that cannot be followed is forgotten alone: the others are
// followed, and memory is as new as ever.
func TestPoll_OneThatFailsIsForgottenAlone(t *testing.T) {
	for name, poison := range map[string]func(r *replicas, org string) (followed bool){
		"an event is missing": func(r *replicas, org string) bool {
			r.exec(`DELETE FROM events WHERE organization_id = $1 AND seq = 2`, org)
			return true
		},
		"an event cannot be read": func(r *replicas, org string) bool {
			if r.driver == "sqlite" {
				r.exec(`UPDATE events SET seq = 2.5 WHERE organization_id = $1 AND seq = 2`, org)
				return true
			}
			r.exec(`ALTER TABLE events ALTER COLUMN type DROP NOT NULL`)
			r.exec(`UPDATE events SET type = NULL WHERE organization_id = $1 AND seq = 2`, org)
			return true
		},
		"a clock cannot be read": func(r *replicas, org string) bool {
			if r.driver == "sqlite" {
				r.exec(`UPDATE organization_clock SET event_seq = 'x' WHERE organization_id = $1`, org)
				return false
			}
			r.exec(`ALTER TABLE organization_clock ALTER COLUMN event_seq DROP NOT NULL`)
			r.exec(`UPDATE organization_clock SET event_seq = NULL WHERE organization_id = $1`, org)
			return false
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachReplicas(t, 20, func(t *testing.T, r *replicas) {
				bad := r.orgs[7]
				last := map[string]int64{}
				for _, org := range r.orgs {
					last[org] = r.change(r.here, org, 3, "t")[org]
				}
				follows := poison(r, bad)
				_ = r.there.readNamed(t.Context(), last) // what a notification does must not be worse
				noError(t, r.there.follow(t.Context()))
				for _, org := range r.orgs {
					if org != bad {
						r.there.expect(t, "beside", org, 4, 3, 0)
					}
				}
				if r.there.memory.feed.caughtUp.Load() == 0 {
					t.Error("the poll did not count")
				}
				if !strings.Contains(r.there.log.String(), bad) {
					t.Errorf("the log does not name it: %s", r.there.log.String())
				}
				seq, _, whole := r.there.state(bad)
				if follows != (seq == 4 && whole == 1) || follows == (seq == -1) {
					t.Errorf("event %d, all was dropped %d times", seq, whole)
				}
				if !follows {
					return
				}
				r.change(r.here, bad, 1, "t") // it goes on from there
				noError(t, r.there.follow(t.Context()))
				if seq, _, whole := r.there.state(bad); seq != 5 || whole != 1 {
					t.Errorf("then event %d, all was dropped %d times", seq, whole)
				}
			})
		})
	}
}

// Where more fail than may alone, the poll does, and comes further each time.
func TestPoll_FailsWhereTheDatabaseDoes(t *testing.T) {
	eachReplicas(t, failuresAtMost+20, func(t *testing.T, r *replicas) {
		for _, org := range r.orgs {
			r.change(r.here, org, 1, "t")
		}
		r.exec(`DELETE FROM events WHERE seq = 2`)
		if err := r.there.follow(t.Context()); !errors.Is(err, errGap) || r.there.memory.feed.caughtUp.Load() != 0 {
			t.Errorf("it says %v", err)
		}
		noError(t, r.there.follow(t.Context()))
		noError(t, r.there.store.Close())
		before := r.there.memory.feed.caughtUp.Load()
		if err := r.there.follow(t.Context()); !errors.Is(err, store.ErrUnavailable) || r.there.memory.feed.caughtUp.Load() != before {
			t.Errorf("a store that is closed: %v", err)
		}
	})
}

// After many events, and in another copy of the data, nothing counts that was
// read before.
func TestPoll_AllIsForgotten(t *testing.T) {
	eachReplicas(t, 3, func(t *testing.T, r *replicas) {
		a := r.there
		r.change(r.here, r.orgs[0], eventsAtOnce, "t")
		r.change(r.here, r.orgs[1], eventsAtOnce-1, "t")
		r.change(r.here, r.orgs[2], 5, "t")
		loads := a.loads.Load()
		noError(t, a.follow(t.Context()))
		a.expect(t, "many events", r.orgs[0], eventsAtOnce+1, 1, 1)
		a.expect(t, "one less", r.orgs[1], eventsAtOnce, eventsAtOnce-1, 0)
		a.expect(t, "few", r.orgs[2], 6, 5, 0)
		if a.loads.Load() != loads {
			t.Error("the keys were loaded, which are not theirs")
		}
		r.exec(`UPDATE organization_clock SET event_seq = 2 WHERE organization_id = $1`, r.orgs[2])
		noError(t, a.follow(t.Context()))
		a.expect(t, "another copy", r.orgs[2], 2, 6, 1)
		if a.loads.Load() != loads+1 {
			t.Errorf("the keys of another copy were loaded %d times", a.loads.Load()-loads)
		}
	})
}

// Signing keys are everybody's: while they cannot be loaded the poll fails, but
// the others' events are applied, and the keys are tried again.
func TestPoll_KeysAreTriedAgain(t *testing.T) {
	for _, n := range []int{1, eventsAtOnce} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			eachReplicas(t, 3, func(t *testing.T, r *replicas) {
				a := r.there
				last := r.change(r.here, r.platform, n, store.EventSigningKeyRevoked)
				r.change(r.here, r.orgs[0], 1, "t")
				a.keysFail.Store(true)
				if err := a.readNamed(t.Context(), last); n == 1 && !errors.Is(err, errKeys) {
					t.Errorf("a notification: %v", err)
				}
				for range 2 {
					if err := a.follow(t.Context()); !errors.Is(err, errKeys) {
						t.Errorf("a poll: %v", err)
					}
				}
				a.expect(t, "beside", r.orgs[0], 2, 1, 0)
				if seq, _, _ := a.state(r.platform); seq != 1 || a.memory.feed.caughtUp.Load() != 0 {
					t.Errorf("event %d", seq)
				}
				a.keysFail.Store(false)
				noError(t, a.follow(t.Context()))
				if seq, _, _ := a.state(r.platform); seq != int64(n+1) || a.memory.feed.caughtUp.Load() == 0 {
					t.Errorf("then event %d", seq)
				}
			})
		})
	}
}

// A call that waits for an event of an organization reads that one's alone.
func TestReach_WithoutAPoll(t *testing.T) {
	eachReplicas(t, 3, func(t *testing.T, r *replicas) {
		for _, org := range r.orgs {
			r.change(r.here, org, 2, "t")
		}
		var calls sync.WaitGroup
		for range 20 {
			calls.Go(func() {
				if err := r.there.reach(t.Context(), r.orgs[0], 3); err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
		r.there.expect(t, "reached", r.orgs[0], 3, 2, 0)
		r.there.expect(t, "not asked for", r.orgs[1], 1, 0, 0)
		r.change(r.here, r.orgs[1], eventsAtOnce, "t")
		noError(t, r.there.reach(t.Context(), r.orgs[1], eventsAtOnce+3)) // by a poll
		if err := r.there.reach(t.Context(), r.orgs[1], eventsAtOnce+4); err == nil {
			t.Error("what has not happened is reached")
		}
	})
}
