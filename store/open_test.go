package store_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jmoiron/sqlx"

	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/store/storetest"
)

// canary is a password that no error may show.
const canary = "CanaryPassword07"

// refusedOpen fails unless the URL is refused, with an error that does not
// show the password.
func refusedOpen(ctx context.Context, t *testing.T, text string) error {
	t.Helper()
	s, err := store.Open(ctx, store.Config{URL: text})
	if err == nil {
		_ = s.Close()
		t.Error("it was opened")
		return errors.New("opened")
	}
	if strings.Contains(err.Error(), canary) {
		t.Errorf("the error shows the password: %v", err)
	}
	return err
}

// An unverified connection to another machine is refused before it is made:
// these contexts are over already.
func TestOpen_TL01_Settings(t *testing.T) {
	at := func(host, query string) string {
		return "postgres://identity:" + canary + "@" + host + "/identity" + query
	}
	rows := []struct{ rule, url, says string }{
		{"no sslmode", at("db.example.com", ""), "sslmode"},
		{"no sslmode on this machine", at("127.0.0.1", ""), "sslmode"},
		{"no sslmode over a socket", at("", "?host=/run/postgresql"), "sslmode"},
		{"an empty one", at("db.example.com", "?sslmode="), "sslmode"},
		{"disable", at("db.example.com", "?sslmode=disable"), "verify-full"},
		{"allow", at("db.example.com", "?sslmode=allow"), "verify-full"},
		{"prefer", at("db.example.com", "?sslmode=prefer"), "verify-full"},
		{"require", at("db.example.com", "?sslmode=require"), "verify-full"},
		{"an unknown one", at("db.example.com", "?sslmode=Verify-Full"), "verify-full"},
		{"the weaker of two", at("db.example.com", "?sslmode=disable&sslmode=verify-full"), "verify-full"},
		{"an address", at("192.0.2.1", "?sslmode=require"), "verify-full"},
		{"an address of IPv6", at("[2001:db8::1]", "?sslmode=require"), "verify-full"},
		{"a name like this machine's", at("localhost.example.com", "?sslmode=disable"), "verify-full"},
		{"a network like this machine's", at("127.0.0.1.example.com", "?sslmode=disable"), "verify-full"},
		{"a host in the query", at("", "?host=db.example.com&sslmode=disable"), "verify-full"},
		{"a host in the query beside this machine", at("localhost", "?host=db.example.com&sslmode=disable"), "verify-full"},
		{"no host, which the environment may name", at("", "?sslmode=disable"), "verify-full"},
		{"a second host behind a socket", at("", "?host=/run/postgresql,db.example.com&sslmode=disable"), "verify-full"},
		{"a second host behind this machine", at("localhost,db.example.com", "?sslmode=disable"), "verify-full"},
		{"an address in place of the host", at("localhost", "?hostaddr=192.0.2.1&sslmode=disable"), "verify-full"},
		{"an address in place of a socket", at("", "?host=/run/postgresql&hostaddr=192.0.2.1&sslmode=disable"), "verify-full"},
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, row := range rows {
		t.Run(row.rule, func(t *testing.T) {
			if err := refusedOpen(over, t, row.url); !strings.Contains(err.Error(), row.says) {
				t.Errorf("it was tried, or refused for something else: %v", err)
			}
		})
	}
}

// The driver also reads the environment, which leads past the host of the URL.
func TestOpen_TL01_Environment(t *testing.T) {
	t.Setenv("PGHOSTADDR", "192.0.2.1")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	err := refusedOpen(over, t, "postgres://identity:"+canary+"@localhost/identity?sslmode=disable")
	if !strings.Contains(err.Error(), "verify-full") {
		t.Errorf("it was tried, or refused for something else: %v", err)
	}
}

// Nothing of a URL that cannot be used comes out with the error.
func TestOpen_TL01_NoPasswordInErrors(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "nobody")
	for rule, text := range map[string]string{
		"a broken port":      "postgres://identity:" + canary + "@localhost:port/identity?sslmode=disable",
		"a broken escape":    "postgres://identity:" + canary + "%zz@localhost/identity?sslmode=disable",
		"a control byte":     "postgres://identity:" + canary + "\x7f@localhost/identity?sslmode=disable",
		"a space":            "postgres://identity: " + canary + "@localhost/identity?sslmode=disable",
		"nobody there":       "postgres://identity:" + canary + "@/identity?sslmode=disable&host=" + url.QueryEscape(nowhere),
		"a closed port":      "postgres://identity:" + canary + "@127.0.0.1:1/identity?sslmode=disable",
		"in the query":       "postgres://localhost/identity?sslmode=disable&connect_timeout=x&password=" + canary,
		"another scheme":     "mysql://identity:" + canary + "@localhost/identity",
		"no scheme":          "identity:" + canary + "@localhost/identity",
		"a missing CA":       "postgres://identity:" + canary + "@localhost/identity?sslmode=verify-full&sslrootcert=" + url.QueryEscape(nowhere),
		"SQLite in no place": "sqlite:/dev/null/" + "identity.db",
		"SQLite nowhere":     "sqlite:",
	} {
		t.Run(rule, func(t *testing.T) { _ = refusedOpen(t.Context(), t, text) })
	}
}

// A role or URL that would lose acknowledged changes is refused.
func TestOpen_SynchronousCommit(t *testing.T) {
	cluster := storetest.PrivateCluster(t)
	noError(t, cluster.Create(t.Context(), "careless", ""))
	admin, err := sqlx.ConnectContext(t.Context(), "postgres", cluster.URL("careless"))
	noError(t, err)
	_, err = admin.ExecContext(t.Context(), `ALTER DATABASE careless SET synchronous_commit = off`)
	noError(t, err)
	noError(t, admin.Close())
	good := storetest.Postgres(t)
	for rule, row := range map[string]struct {
		url  string
		fine bool
	}{
		"off for the database":       {cluster.URL("careless"), false},
		"off in the options":         {good + "&options=" + url.QueryEscape("-c synchronous_commit=off"), false},
		"off in the URL":             {good + "&synchronous_commit=off", false},
		"off in another spelling":    {good + "&synchronous_commit=FALSE", false},
		"on over the database's off": {cluster.URL("careless") + "&synchronous_commit=on", true},
		"local":                      {good + "&synchronous_commit=local", true},
		"as it is":                   {good, true},
	} {
		t.Run(rule, func(t *testing.T) {
			if row.fine {
				s, err := store.Open(t.Context(), store.Config{URL: row.url})
				noError(t, err)
				noError(t, s.Close())
				return
			}
			if err := refusedOpen(t.Context(), t, row.url); !strings.Contains(err.Error(), "synchronous_commit") {
				t.Errorf("refused for something else: %v", err)
			}
		})
	}
}

// Every connection of SQLite has the settings that make it safe, also the
// second one of a pool and those of a second handle.
func TestOpen_Pragmas(t *testing.T) {
	file := storetest.SQLite(t)
	settings := []string{"foreign_keys", "journal_mode", "synchronous", "busy_timeout", "query_only"}
	writes := map[string]string{"foreign_keys": "1", "journal_mode": "wal", "synchronous": "2", "busy_timeout": "5000", "query_only": "0"}
	reads := map[string]string{"foreign_keys": "1", "journal_mode": "wal", "synchronous": "2", "busy_timeout": "5000", "query_only": "1"}
	for handle := range 2 {
		s := storetest.Open(t, file)
		write, read := s.Pools()
		for rule, row := range map[string]struct {
			pool  *sqlx.DB
			conns int
			want  map[string]string
		}{"write": {write, 1, writes}, "read": {read, 3, reads}} {
			for i := range row.conns {
				conn, err := row.pool.Connx(t.Context()) // held, so that the next is another
				noError(t, err)
				defer conn.Close()
				got := map[string]string{}
				for _, name := range settings {
					var value string
					noError(t, conn.GetContext(t.Context(), &value, "PRAGMA "+name))
					got[name] = value
				}
				if diff := cmp.Diff(row.want, got); diff != "" {
					t.Errorf("handle %d, %s connection %d:\n%s", handle, rule, i, diff)
				}
				_, err = conn.ExecContext(t.Context(), `UPDATE organization_clock SET event_seq = 0`)
				if (err != nil) != (rule == "read") {
					t.Errorf("handle %d, writing on a %s connection: %v", handle, rule, err)
				}
			}
		}
	}
}

// Connections to PostgreSQL bound how long they wait.
func TestOpen_Limits(t *testing.T) {
	_, pool := storetest.Open(t, storetest.Postgres(t)).Pools()
	for name, want := range map[string]string{
		"lock_timeout": "3s", "statement_timeout": "8s", "idle_in_transaction_session_timeout": "10s", "application_name": "identity",
	} {
		var got string
		noError(t, pool.GetContext(t.Context(), &got, "SHOW "+name))
		if got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if n := pool.Stats().MaxOpenConnections; n != 10 {
		t.Errorf("%d connections at most", n)
	}
}

// Of several who bring a new database up to date at once, all succeed.
func TestOpen_F30_MigrateAtOnce(t *testing.T) {
	cluster := storetest.PrivateCluster(t)
	for database, row := range map[string]struct {
		rounds, callers int
		url             func(i int) string
	}{
		"sqlite": {6, 4, func(int) string { return storetest.SQLite(t) }},
		"postgres": {1, 2, func(i int) string { // who comes second asks again after five seconds
			name := fmt.Sprint("fresh_", i)
			noError(t, cluster.Create(t.Context(), name, ""))
			return cluster.URL(name)
		}},
	} {
		t.Run(database, func(t *testing.T) {
			for round := range row.rounds {
				at, done := row.url(round), make(chan error, row.callers)
				for range row.callers {
					s, err := store.Open(t.Context(), store.Config{URL: at})
					noError(t, err)
					t.Cleanup(func() { _ = s.Close() })
					go func() { done <- s.Migrate(t.Context()) }()
				}
				for range row.callers {
					if err := <-done; err != nil {
						t.Errorf("round %d: %v", round, err)
					}
				}
				s, err := store.Open(t.Context(), store.Config{URL: at})
				noError(t, err)
				if n, err := s.Pending(t.Context()); n != 0 || err != nil {
					t.Errorf("%d pending, %v", n, err)
				}
				if roles, err := s.Roles(t.Context(), store.BuiltIn); err != nil || len(roles) != 12 {
					t.Errorf("%d roles, %v", len(roles), err)
				}
				noError(t, s.Close())
			}
		})
	}
}

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
