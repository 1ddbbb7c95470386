package service_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/store/storetest"
)

// eachURL runs the body with a new database of each kind, for tests that need
// more than one connection to it.
func eachURL(t *testing.T, body func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); body(t, storetest.SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { t.Parallel(); body(t, storetest.Postgres(t)) })
}

// replica is a second service on the same data: what a restart leaves, or
// another machine sees. It shares the master key and the clock, and leaves
// messages to the first, whose mailbox tests read.
func replica(t *testing.T, w *servicetest.World, url string) *servicetest.World {
	t.Helper()
	r := servicetest.New(t, url, func(c *service.Config) {
		c.Ring, c.Now, c.Passwords = w.Ring, w.Clock.Now, w.Passwords
		c.Mail, c.SMS = nil, nil
	})
	r.Ring, r.Clock, r.Passwords = w.Ring, w.Clock, w.Passwords
	return r
}

// secondConnection reaches the rows past the service.
func secondConnection(t *testing.T, url string) *sql.DB {
	t.Helper()
	driver, dsn := "postgres", url
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		driver, dsn = "sqlite", "file:"+path+"?_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(driver, dsn)
	noError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// answerText is all that a client sees of an error.
func answerText(t testing.TB, err error) string {
	t.Helper()
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(status.Convert(err).Proto())
	noError(t, err)
	return string(text)
}

// logBook keeps what is logged.
type logBook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// logger writes everything, whatever its level.
func (b *logBook) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// tripwire is randomness that does something in the middle of a call: at the
// first draw that a named function of the service makes.
type tripwire struct {
	armed atomic.Pointer[string] // name of the function
	trip  func()
	from  func([]byte) (int, error)
}

// set has the next draw within a function, such as "(*Users).NewUser", trip.
func (r *tripwire) set(within string, trip func()) {
	r.trip = trip
	r.armed.Store(&within)
}

// done tells whether it went off.
func (r *tripwire) done() bool { return r.armed.Load() == nil }

func (r *tripwire) Read(p []byte) (int, error) {
	if within := r.armed.Load(); within != nil && calledBy(*within) && r.armed.CompareAndSwap(within, nil) {
		r.trip()
	}
	return r.from(p)
}

// calledBy tells whether a function is being run by this goroutine.
func calledBy(function string) bool {
	var callers [64]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers[:])])
	for {
		frame, more := frames.Next()
		if strings.Contains(frame.Function, function) {
			return true
		}
		if !more {
			return false
		}
	}
}

// randomRead is the system's randomness.
func randomRead(p []byte) (int, error) { return rand.Read(p) }

// people are those of an organization who are not deleted, with their grants.
func people(ctx context.Context, s *store.Store, org string) ([]store.User, map[string][]store.Grant, error) {
	users, err := s.Users(ctx, org, store.UserFilter{}, store.Page{Order: "email", Limit: 1000})
	if err != nil {
		return nil, nil, err
	}
	ids := make([]string, len(users))
	for i := range users {
		ids[i] = users[i].ID
		if users[i], err = s.User(ctx, org, ids[i]); err != nil { // lists leave the password out
			return nil, nil, err
		}
	}
	grants, err := s.Grants(ctx, org, ids...)
	of := map[string][]store.Grant{}
	for _, g := range grants {
		of[g.Principal] = append(of[g.Principal], g)
	}
	return users, of, err
}

// administers tells by the rows alone whether a person is an administrator:
// enabled, confirmed, with a password, and holding it by a grant without end.
func administers(u store.User, grants []store.Grant) bool {
	for _, g := range grants {
		holds := g.Role == servicetest.SuperUser || g.Role == servicetest.Owner || g.Permit == "platform.administer"
		if holds && g.Expires == 0 {
			return u.Enabled && u.Confirmed && u.Deleted == 0 && u.PasswordHash != ""
		}
	}
	return false
}

func administratorsOf(ctx context.Context, s *store.Store, org string) (n int, err error) {
	users, grants, err := people(ctx, s, org)
	for _, u := range users {
		if administers(u, grants[u.ID]) {
			n++
		}
	}
	return n, err
}

// trail is all events of an organization, oldest first; their numbers must
// count from one without a gap.
func trail(ctx context.Context, s *store.Store, org string) ([]store.Event, error) {
	found, err := s.Events(ctx, org, store.EventFilter{}, 0, 0, 1_000_000)
	if err != nil {
		return nil, err
	}
	events := found.Rows
	for i := range events {
		if events[i].Seq != int64(len(events)-i) {
			return nil, errors.New("the numbers of the events have a gap")
		}
	}
	for i, j := 0, len(events)-1; i < j; i, j = i+1, j-1 {
		events[i], events[j] = events[j], events[i]
	}
	return events, nil
}

// recount counts the badges from the rows.
func recount(ctx context.Context, s *store.Store, org string) (b store.Badges, err error) {
	users, _, err := people(ctx, s, org)
	if err != nil {
		return b, err
	}
	for _, u := range users {
		switch {
		case !u.Enabled:
			b.UsersDisabled++
		case !u.Confirmed:
			b.UsersPending++
		default:
			b.UsersActive++
		}
	}
	accounts, err := s.ServiceAccounts(ctx, org, store.AccountFilter{}, store.Page{Order: "create_time", Limit: 1000})
	for _, a := range accounts.Rows {
		b.AccountsTotal++
		if a.Enabled {
			b.AccountsActive++
		}
	}
	return b, err
}

// setHash writes the password hash of a person past the service.
func setHash(t *testing.T, url string, rows *sql.DB, id, hash string) {
	t.Helper()
	statement := `UPDATE users SET password_hash = $1 WHERE id = $2`
	if store.Embedded(url) {
		statement = `UPDATE users SET password_hash = ?1 WHERE id = ?2`
	}
	res, err := rows.ExecContext(t.Context(), statement, hash, id)
	noError(t, err)
	if n, err := res.RowsAffected(); n != 1 || err != nil {
		t.Fatalf("%d rows, %v", n, err)
	}
}

// hashOf is the password hash in a person's row.
func hashOf(t *testing.T, w *servicetest.World, u *identityv1.User) string {
	t.Helper()
	row, err := w.Store.User(t.Context(), u.GetOrganizationId(), u.GetId())
	noError(t, err)
	return row.PasswordHash
}

// serveAt runs a server on loopback and returns a connection to it.
func serveAt(t *testing.T, server *grpc.Server) *grpc.ClientConn {
	t.Helper()
	var config net.ListenConfig
	port, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	noError(t, err)
	go func() { _ = server.Serve(port) }() // ends with Stop
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient(port.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	noError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
