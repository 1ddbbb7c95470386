package store_test

import (
	"context"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jmoiron/sqlx"

	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/store/storetest"
)

// Who listens stops when told to, also while the database is away: otherwise the
// service would not end.
func TestListen_EndsWhileTheDatabaseIsAway(t *testing.T) {
	cluster, err := storetest.StartCluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Stop)
	if err := cluster.Create(t.Context(), "away", "template1"); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), store.Config{URL: cluster.URL("away")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	cluster.Kill()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Listen(ctx, func(map[string]int64) {}) }()
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it still listens")
	}
}

// Who listens hears which organizations changed, of more than fit in one
// notification too, and that any may have where none is named, as replicas from
// before do, or what is named cannot be read.
func TestListen_HearsWhatIsNamed(t *testing.T) {
	u := storetest.Postgres(t)
	s := storetest.Open(t, u)
	heard := make(chan map[string]int64, 100)
	go func() { _ = s.Listen(t.Context(), func(last map[string]int64) { heard <- last }) }()
	hear := func() map[string]int64 {
		t.Helper()
		select {
		case last := <-heard:
			return last
		case <-time.After(30 * time.Second):
			t.Fatal("nothing is heard")
			return nil
		}
	}
	for len(heard) == 0 { // until it listens
		noError(t, s.Notify(t.Context(), nil))
		time.Sleep(10 * time.Millisecond)
	}
	noError(t, s.Notify(t.Context(), map[string]int64{newID(): 1})) // the last of these
	for hear() == nil {
	}
	want := map[string]int64{}
	for i := range 1000 {
		want[newID()] = int64(i)
	}
	noError(t, s.Notify(t.Context(), want))
	got := map[string]int64{}
	for len(got) < len(want) {
		maps.Copy(got, hear())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	db, err := sqlx.Open("postgres", u)
	noError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	for _, payload := range []string{"", "what is this"} {
		_, err := db.ExecContext(t.Context(), `SELECT pg_notify('identity_events', $1)`, payload)
		noError(t, err)
		if last := hear(); last != nil {
			t.Errorf("%q names %v", payload, last)
		}
	}
}
