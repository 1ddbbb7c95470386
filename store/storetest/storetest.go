// Package storetest gives every test of rows a fresh, migrated database of
// each kind: SQLite in a file, and PostgreSQL in a private cluster that lives
// as long as the test binary. It fails where it cannot have one; it never
// skips, because that is how two databases drift apart.
package storetest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/bizmetry/identity/rig"
	"github.com/bizmetry/identity/store"
)

const template = "identity_template"

var (
	once    sync.Once
	cluster *rig.Cluster
	failed  error
	serial  atomic.Int64
)

// Main runs the tests of a package and stops the private PostgreSQL after them.
func Main(m *testing.M) {
	code := m.Run()
	if cluster != nil {
		cluster.Stop()
	}
	os.Exit(code)
}

// Each runs the body once with each database.
func Each(t *testing.T, body func(t *testing.T, s *store.Store)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		body(t, Open(t, SQLite(t)))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		body(t, Open(t, Postgres(t)))
	})
}

// Open opens and migrates a database and closes it after the test.
func Open(t testing.TB, url string) *store.Store {
	t.Helper()
	return OpenWith(t, store.Config{URL: url})
}

// OpenWith is Open with more settings.
func OpenWith(t testing.TB, cfg store.Config) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// SQLite returns the URL of a new, empty database file.
func SQLite(t testing.TB) string {
	return "sqlite:" + filepath.Join(t.TempDir(), "identity.db")
}

// Postgres returns the URL of a new database with the present schema.
func Postgres(t testing.TB) string {
	t.Helper()
	once.Do(func() { failed = start() })
	if failed != nil {
		t.Fatal(failed)
	}
	name := fmt.Sprintf("test_%d", serial.Add(1))
	if err := cluster.Create(t.Context(), name, template); err != nil {
		t.Fatal(err)
	}
	return cluster.URL(name)
}

// PrivateCluster returns the PostgreSQL that the tests of this binary share.
func PrivateCluster(t testing.TB) *rig.Cluster {
	Postgres(t)
	return cluster
}

// StartCluster makes a server of the test's own, which the test must Stop. It
// is as quick as may be: what it wrote need not outlive a power cut.
func StartCluster(ctx context.Context) (*rig.Cluster, error) {
	return rig.StartCluster(ctx, "fsync=off", "full_page_writes=off", "max_connections=200")
}

// start starts the cluster and makes the database that all others are copies of.
func start() error {
	ctx := context.Background()
	var err error
	if cluster, err = StartCluster(ctx); err != nil {
		return err
	}
	if err := cluster.Create(ctx, template, "template1"); err != nil {
		return err
	}
	s, err := store.Open(ctx, store.Config{URL: cluster.URL(template)})
	if err != nil {
		return err
	}
	if err := s.Migrate(ctx); err != nil {
		return err
	}
	return s.Close()
}
