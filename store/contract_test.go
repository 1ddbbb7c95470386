package store_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/store/storetest"
)

func account(org, parent string) store.ServiceAccount {
	return store.ServiceAccount{
		Org: org, ID: newID(), DisplayName: "A", NameKey: "a", Enabled: true, ParentType: "agent", ParentID: parent,
		Epoch: 1, Version: 1, Created: 1, Updated: 1,
	}
}

// A unique key that is taken is named alike by both databases.
func TestTaken(t *testing.T) {
	rows := []struct {
		index string
		add   func(t *testing.T, tx *store.Tx, org string) error
	}{
		{"users__email_key", func(t *testing.T, tx *store.Tx, org string) error {
			return tx.AddUser(t.Context(), person(org, "a@x.test"))
		}},
		{"service_accounts__parent_id", func(t *testing.T, tx *store.Tx, org string) error {
			return tx.AddServiceAccount(t.Context(), account(org, "p"))
		}},
		{"organizations__platform", func(t *testing.T, tx *store.Tx, _ string) error {
			return tx.AddOrganization(t.Context(), store.Organization{ID: newID(), DisplayName: "P", Platform: true, Epoch: 1, Version: 1})
		}},
	}
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		org := founded(t, s, 0)[0]
		for _, row := range rows {
			t.Run(row.index, func(t *testing.T) {
				var err error
				for range 2 { // the platform is there already
					err = change(s, t.Context(), org, func(tx *store.Tx) error {
						tx.Record(store.Event{Org: org, Time: 1, Type: "t"})
						return row.add(t, tx, org)
					})
				}
				if !errors.Is(err, store.ErrExists) || store.Taken(err) != row.index {
					t.Errorf("%q, %v", store.Taken(err), err)
				}
			})
		}
		t.Run("a directory entry", func(t *testing.T) {
			entry := store.Entry{Kind: store.ConfirmedEmail, Key: "a@x.test", Org: org, ID: newID()}
			var err error
			for range 2 {
				err = change(s, t.Context(), org, func(tx *store.Tx) error {
					tx.Record(store.Event{Org: org, Time: 1, Type: "t"})
					return tx.Enlist(t.Context(), entry)
				})
			}
			if !errors.Is(err, store.ErrExists) || store.Taken(err) == "" {
				t.Errorf("%q, %v", store.Taken(err), err)
			}
		})
		t.Run("something else", func(t *testing.T) {
			if got := store.Taken(errors.New("UNIQUE constraint failed: users.email_key")); got != "" {
				t.Error(got)
			}
		})
	})
}

// A row that refers to none is refused alike.
func TestInUse(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		org := founded(t, s, 0)[0]
		err := change(s, t.Context(), org, func(tx *store.Tx) error {
			tx.Record(store.Event{Org: org, Time: 1, Type: "t"})
			return tx.AddCredential(t.Context(), store.Credential{Org: org, ID: newID(), Account: newID(), Kind: "SECRET", Enabled: true})
		})
		if !errors.Is(err, store.ErrInUse) {
			t.Error(err)
		}
	})
}

// Of sixteen who move a session on, or count an attempt, one does.
func TestSingleWinner(t *testing.T) {
	const callers = 16
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		org := founded(t, s, 0)[0]
		u := person(org, "a@x.test")
		noError(t, change(s, t.Context(), org, func(tx *store.Tx) error {
			tx.Record(store.Event{Org: org, Time: 1, Type: "t"})
			return tx.AddUser(t.Context(), u)
		}))
		session := store.Session{Org: org, ID: newID(), User: u.ID, Generation: 1, Epoch: 1, OrgEpoch: 1, Created: 1, Refreshed: 1, Expires: 100}
		noError(t, s.Short(t.Context(), func(tx *store.ShortTx) error { return tx.AddSession(t.Context(), session) }))
		for rule, row := range map[string]struct {
			try   func(tx *store.ShortTx, round int) error
			after func(round int) bool
		}{
			"rotate": {
				func(tx *store.ShortTx, round int) error {
					return tx.Rotate(t.Context(), org, session.ID, int64(round+1), 2)
				},
				func(round int) bool {
					now, err := s.Session(t.Context(), org, session.ID)
					return err == nil && now.Generation == int64(round+2) && now.Refreshed == 2
				},
			},
			"count an attempt": {
				func(tx *store.ShortTx, round int) error {
					return tx.CountAttempt(t.Context(), store.Throttle{Key: "k", Failures: int64(round)}, 5, 1)
				},
				func(round int) bool {
					now, err := s.Throttle(t.Context(), "k")
					return err == nil && now == store.Throttle{Key: "k", Failures: int64(round + 1), Retry: 5}
				},
			},
		} {
			t.Run(rule, func(t *testing.T) {
				for round := range 20 {
					won := 0
					var mu sync.Mutex
					var wg sync.WaitGroup
					for range callers {
						wg.Go(func() {
							err := s.Short(t.Context(), func(tx *store.ShortTx) error { return row.try(tx, round) })
							mu.Lock()
							defer mu.Unlock()
							if err == nil {
								won++
							} else if !errors.Is(err, store.ErrNotFound) {
								t.Error(err)
							}
						})
					}
					wg.Wait()
					if won != 1 || !row.after(round) {
						t.Fatalf("round %d: %d won", round, won)
					}
				}
			})
		}
	})
}

// Both databases have the same tables with the same columns.
func TestSchema_SameColumns(t *testing.T) {
	columns := func(url, tables string) map[string][]string {
		_, pool := storetest.Open(t, url).Pools()
		var names []string
		noError(t, pool.SelectContext(t.Context(), &names, tables))
		of := map[string][]string{}
		for _, name := range names {
			func() {
				rows, err := pool.QueryContext(t.Context(), fmt.Sprintf(`SELECT * FROM %s LIMIT 0`, name))
				noError(t, err)
				defer rows.Close()
				of[name], err = rows.Columns()
				noError(t, err)
				slices.Sort(of[name])
				noError(t, rows.Err())
			}()
		}
		return of
	}
	lite := columns(storetest.SQLite(t), `SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite%' AND name NOT LIKE 'goose%'`)
	postgres := columns(storetest.Postgres(t), `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_name NOT LIKE 'goose%'`)
	if diff := cmp.Diff(lite, postgres); diff != "" || len(lite) < 15 {
		t.Errorf("%d tables\n%s", len(lite), diff)
	}
}

// Both have the same indexes, by name and uniqueness, but for the one of parts of texts.
func TestSchema_SameIndexes(t *testing.T) {
	indexes := func(url, query string) (names []string) {
		_, pool := storetest.Open(t, url).Pools()
		noError(t, pool.SelectContext(t.Context(), &names, query))
		slices.Sort(names)
		return names
	}
	lite := indexes(storetest.SQLite(t), `SELECT name || CASE WHEN sql LIKE 'CREATE UNIQUE%' THEN ' unique' ELSE '' END
		FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL`)
	postgres := indexes(storetest.Postgres(t), `SELECT indexname || CASE WHEN indexdef LIKE 'CREATE UNIQUE%' THEN ' unique' ELSE '' END
		FROM pg_indexes WHERE schemaname = 'public' AND indexname LIKE '%!_!_%' ESCAPE '!' AND indexname NOT LIKE '%!_!_search' ESCAPE '!'`)
	if diff := cmp.Diff(lite, postgres); diff != "" || len(lite) < 10 {
		t.Errorf("%d indexes\n%s", len(lite), diff)
	}
}
