// Package servicetest runs the whole service for tests: a fresh database of
// each kind, the real door over a real gRPC connection on loopback, a clock
// that tests move. Only tests import it.
package servicetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service"
	"github.com/bizmetry/identity/service/organization"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/store/storetest"
)

// What the first administrator of every world signs in with. Everybody else
// begins with InitialPassword and has RootPassword once they signed in.
const (
	RootEmail       = "root@platform.test"
	RootPassword    = "Correct#Horse7battery"
	InitialPassword = "Initial#Staple4paper"
	Issuer          = "http://identity.test"
)

// Ids of built-in roles.
const (
	SuperUser        = "00000000-0000-7000-8000-000000000001"
	Owner            = "00000000-0000-7000-8000-000000000002"
	Manager          = "00000000-0000-7000-8000-000000000003"
	BusinessAdmin    = "00000000-0000-7000-8000-000000000005"
	DevOps           = "00000000-0000-7000-8000-000000000007"
	MonitoringUser   = "00000000-0000-7000-8000-000000000008"
	Agent            = "00000000-0000-7000-8000-000000000009"
	Integration      = "00000000-0000-7000-8000-000000000011"
	PlatformOperator = "00000000-0000-7000-8000-000000000012"
)

// World is a running service with its clients.
type World struct {
	T         testing.TB
	Service   *service.Service
	Store     *store.Store
	Passwords *secret.Passwords
	Ring      *secret.KeyRing
	Clock     *Clock
	Stopwatch *Stopwatch
	Conn      *grpc.ClientConn
	Users     identityv1.UserServiceClient
	Roles     identityv1.RoleServiceClient
	Accounts  identityv1.ServiceAccountServiceClient
	Sessions  identityv1.SessionServiceClient
	Orgs      identityv1.OrganizationServiceClient
	Events    identityv1.EventServiceClient
	// Root is the access token of the first administrator.
	Root    string
	mailbox *mailbox
	n       atomic.Int64
}

// Clock is a clock that tests move; it stands still otherwise.
type Clock struct{ micros atomic.Int64 }

// Now is the time.
func (c *Clock) Now() time.Time { return time.UnixMicro(c.micros.Load()).UTC() }

// Add moves the clock.
func (c *Clock) Add(d time.Duration) { c.micros.Add(d.Microseconds()) }

// Each runs the body in a new world on each database.
func Each(t *testing.T, body func(t *testing.T, w *World)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		body(t, New(t, storetest.SQLite(t)))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		body(t, New(t, storetest.Postgres(t)))
	})
}

// SQLite makes a world on the embedded database, for rules that do not touch rows.
func SQLite(t testing.TB) *World { return New(t, storetest.SQLite(t)) }

// New makes a world on the database. Options change the configuration.
func New(t testing.TB, url string, options ...func(*service.Config)) *World {
	t.Helper()
	return On(t, storetest.Open(t, url), options...)
}

// On makes a world on an open store.
func On(t testing.TB, st *store.Store, options ...func(*service.Config)) *World {
	t.Helper()
	w := &World{T: t, Store: st, Clock: &Clock{}, Stopwatch: NewStopwatch()}
	w.Clock.micros.Store(time.Now().UnixMicro())
	var err error
	w.Passwords, err = secret.NewPasswords(secret.PasswordsConfig{
		Params: secret.Params{MemoryKiB: 64, Time: 1, Threads: 1}, Slots: 4, Queue: 1000, Wait: 10 * time.Second,
	})
	check(t, err)
	line, err := secret.NewKeyLine(rand.Reader)
	check(t, err)
	w.Ring, err = secret.ParseKeyRing([]byte(line))
	check(t, err)
	cfg := service.Config{
		Store: w.Store, Ring: w.Ring, Issuer: Issuer, Passwords: w.Passwords, Now: w.Clock.Now, Elapsed: w.Stopwatch.Elapsed, Log: faults(t),
	}
	w.mailbox = newMailbox(t, &cfg)
	for _, option := range options {
		option(&cfg)
	}
	_, _, err = organization.Bootstrap(t.Context(), organization.Founding{
		Store: w.Store, Ring: w.Ring, Passwords: w.Passwords, Now: w.Clock.Now, Rand: rand.Reader,
	}, organization.Founder{
		Email: RootEmail, Password: RootPassword, FirstName: "Root", LastName: "Platform", Organization: "Platform",
	})
	check(t, err)
	w.Service, err = service.New(t.Context(), cfg)
	check(t, err)
	w.follow(t)
	w.serve(t)
	w.Root = w.SignIn(RootEmail, RootPassword)
	return w
}

// faults logs what is the service's own fault to the test.
func faults(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
}

// follow runs the work in the background, as the service does.
func (w *World) follow(t testing.TB) {
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Service.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Serve serves a service on loopback and connects to it.
func Serve(t testing.TB, svc *service.Service) *grpc.ClientConn {
	t.Helper()
	server := grpc.NewServer(svc.Door.ServerOptions()...)
	svc.Register(server)
	var config net.ListenConfig
	port, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	check(t, err)
	go func() { _ = server.Serve(svc.Door.Listen(port)) }() // ends with Stop
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient(port.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (w *World) serve(t testing.TB) {
	w.Conn = Serve(t, w.Service)
	w.Users, w.Roles = identityv1.NewUserServiceClient(w.Conn), identityv1.NewRoleServiceClient(w.Conn)
	w.Accounts, w.Sessions = identityv1.NewServiceAccountServiceClient(w.Conn), identityv1.NewSessionServiceClient(w.Conn)
	w.Orgs, w.Events = identityv1.NewOrganizationServiceClient(w.Conn), identityv1.NewEventServiceClient(w.Conn)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// As is a context that calls with an access token.
func As(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// As is a context of the test that calls with an access token.
func (w *World) As(token string) context.Context { return As(w.T.Context(), token) }

// SignIn returns an access token.
func (w *World) SignIn(email, password string) string {
	w.T.Helper()
	return w.Tokens(email, password).GetAccessToken()
}

// Tokens signs in and returns all tokens. Who still has InitialPassword is
// given this one.
func (w *World) Tokens(email, password string) *identityv1.Tokens {
	w.T.Helper()
	resp, err := w.Sessions.SignIn(w.T.Context(), &identityv1.SignInRequest{Email: email, Password: password})
	if Reason(err) == identityv1.Error_CREDENTIALS_INVALID.String() {
		return w.Begin(email, InitialPassword, password)
	}
	check(w.T, err)
	if resp.GetTokens() == nil {
		w.T.Fatalf("%s is asked for another password than %q", email, password)
	}
	return resp.GetTokens()
}

// Begin replaces an initial password, as everybody has to at their first sign-in.
func (w *World) Begin(email, initial, password string) *identityv1.Tokens {
	w.T.Helper()
	due, err := w.Sessions.SignIn(w.T.Context(), &identityv1.SignInRequest{Email: email, Password: initial})
	check(w.T, err)
	resp, err := w.Sessions.ChangePassword(w.T.Context(), &identityv1.ChangePasswordRequest{
		Token: due.GetPasswordChange().GetToken(), NewPassword: password,
	})
	check(w.T, err)
	return resp.GetTokens()
}

// begin is Begin for a person as they were drafted.
func (w *World) begin(u *identityv1.User) Person {
	w.T.Helper()
	tokens := w.Begin(u.GetEmail(), InitialPassword, RootPassword)
	u, err := w.Users.GetUser(w.As(w.Root), &identityv1.GetUserRequest{OrganizationId: u.GetOrganizationId(), Id: u.GetId()})
	check(w.T, err)
	return Person{u, RootPassword, tokens.GetAccessToken()}
}

// Person is a user with a way to act.
type Person struct {
	*identityv1.User
	Password, Token string
}

// Org is a customer with its administrator.
type Org struct {
	*identityv1.Organization
	Admin Person
}

// NewOrg makes a customer whose administrator is signed in.
func (w *World) NewOrg() Org {
	w.T.Helper()
	n := w.n.Add(1)
	email := fmt.Sprintf("admin%d@customer.test", n)
	resp, err := w.Orgs.CreateOrganization(w.As(w.Root), &identityv1.CreateOrganizationRequest{
		Organization: &identityv1.Organization{DisplayName: ptr(fmt.Sprintf("Customer %d", n))},
		Administrator: &identityv1.User{
			Email: &email, FirstName: ptr("Ada"), LastName: ptr("Admin"), Password: ptr(InitialPassword), Confirmed: ptr(true),
		},
	})
	check(w.T, err)
	return Org{resp.GetOrganization(), w.begin(resp.GetAdministrator())}
}

// NewPerson makes a confirmed user of an organization (empty: the platform's) who is signed in.
func (w *World) NewPerson(org string, roles ...string) Person {
	w.T.Helper()
	return w.begin(w.CreateUser(org, roles...))
}

// CreateUser makes a confirmed user with InitialPassword.
func (w *World) CreateUser(org string, roles ...string) *identityv1.User {
	w.T.Helper()
	u, err := w.Users.CreateUser(w.As(w.Root), &identityv1.CreateUserRequest{OrganizationId: org, User: w.Draft(roles...)})
	check(w.T, err)
	return u
}

// Draft is a user that can be created, with an address of its own.
func (w *World) Draft(roles ...string) *identityv1.User {
	n := w.n.Add(1)
	if len(roles) == 0 {
		roles = []string{MonitoringUser}
	}
	return &identityv1.User{
		Email: ptr(fmt.Sprintf("user%d@people.test", n)), FirstName: ptr("Grace"), LastName: ptr("Hopper"),
		Password: ptr(InitialPassword), Confirmed: ptr(true), RoleIds: roles,
	}
}

// Machine is a service account with a secret.
type Machine struct {
	*identityv1.ServiceAccount
	Secret, Credential string
}

// NewMachine makes a service account with a secret, as the holder of a token.
func (w *World) NewMachine(token, org string, roles ...string) Machine {
	w.T.Helper()
	n := w.n.Add(1)
	a, err := w.Accounts.CreateServiceAccount(w.As(token), &identityv1.CreateServiceAccountRequest{
		OrganizationId: org,
		ServiceAccount: &identityv1.ServiceAccount{
			DisplayName: ptr(fmt.Sprintf("Agent %d", n)), ParentType: ptr("agent"), ParentId: ptr(fmt.Sprintf("agent-%d", n)), RoleIds: roles,
		},
	})
	check(w.T, err)
	c, err := w.Accounts.CreateCredential(w.As(token), &identityv1.CreateCredentialRequest{OrganizationId: org, ServiceAccountId: a.GetId()})
	check(w.T, err)
	return Machine{a, c.GetSecret(), c.GetCredential().GetId()}
}

// Token gets an access token for a machine.
func (w *World) Token(m Machine, scope string) string {
	w.T.Helper()
	resp, err := w.Accounts.IssueToken(w.T.Context(), &identityv1.IssueTokenRequest{ClientId: m.GetId(), ClientSecret: m.Secret, Scope: scope})
	check(w.T, err)
	return resp.GetAccessToken()
}

// Reason is the reason of an error, "" for none.
func Reason(err error) string {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	if err != nil {
		return "no reason: " + err.Error()
	}
	return ""
}

// Refused fails the test unless the error has the code and the reason.
func Refused(t testing.TB, err error, code codes.Code, reason identityv1.Error_Reason) {
	t.Helper()
	if status.Code(err) != code || Reason(err) != reason.String() {
		t.Errorf("got %v %s, want %v %s (%v)", status.Code(err), Reason(err), code, reason, err)
	}
}

func ptr[T any](v T) *T { return &v }
