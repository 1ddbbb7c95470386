package service_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/store/storetest"
)

// hot are the calls that services and agents make all day.
func hot(w *servicetest.World, org servicetest.Org, m servicetest.Machine, token string) map[string]func() error {
	admin := w.As(org.Admin.Token)
	return map[string]func() error{
		"issue": func() error {
			_, err := w.Accounts.IssueToken(w.T.Context(), &identityv1.IssueTokenRequest{ClientId: m.GetId(), ClientSecret: m.Secret})
			return err
		},
		"introspect": func() error {
			_, err := w.Accounts.IntrospectToken(admin, &identityv1.IntrospectTokenRequest{Token: token})
			return err
		},
		"authorize": func() error {
			_, err := w.Roles.Authorize(admin, &identityv1.AuthorizeRequest{AccessToken: token, Permission: "agents.report"})
			return err
		},
		"check": func() error {
			_, err := w.Roles.CheckPermission(admin, &identityv1.CheckPermissionRequest{PrincipalId: m.GetId(), Permission: "agents.report"})
			return err
		},
		"batch check": func() error {
			_, err := w.Roles.BatchCheckPermissions(admin, &identityv1.BatchCheckPermissionsRequest{
				Checks: []*identityv1.BatchCheckPermissionsRequest_Check{{PrincipalId: m.GetId(), Permission: "agents.report"}, {Permission: "agents.read"}},
			})
			return err
		},
	}
}

func TestMemory_NoStatementPerCall(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		org := w.NewOrg()
		m := w.NewMachine(org.Admin.Token, "", servicetest.Agent)
		for name, call := range hot(w, org, m, w.Token(m, "")) {
			if err := call(); err != nil { // the first one fills the memory
				t.Fatalf("%s: %v", name, err)
			}
			const calls = 2000
			before := w.Store.Statements()
			for range calls {
				if err := call(); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			// The feed polls and last use is written meanwhile: a few statements, whatever the number of calls.
			if n := w.Store.Statements() - before; n > calls/10 {
				t.Errorf("%d calls of %s took %d statements", calls, name, n)
			}
		}
	})
}

func TestMemory_BelievedForTheBudgetOnly(t *testing.T) {
	const budget = 2 * time.Second
	cluster, err := storetest.StartCluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Stop()
	if err := cluster.Create(t.Context(), "away", "template1"); err != nil {
		t.Fatal(err)
	}
	w := servicetest.New(t, cluster.URL("away"), func(c *service.Config) { c.StalenessBudget = budget })
	org := w.NewOrg()
	m := w.NewMachine(org.Admin.Token, "", servicetest.Agent)
	calls := hot(w, org, m, w.Token(m, ""))
	for name, call := range calls {
		if err := call(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	cluster.Kill()
	_, err = w.Accounts.DisableServiceAccount(w.As(org.Admin.Token), &identityv1.DisableServiceAccountRequest{Id: m.GetId()})
	servicetest.Refused(t, err, codes.Unavailable, identityv1.Error_UNAVAILABLE) // and memory is none the worse for it
	for name, call := range calls {
		if err := call(); err != nil {
			t.Errorf("%s while the database is away, within the budget: %v", name, err)
		}
	}
	_, err = w.Users.ListUsers(w.As(org.Admin.Token), &identityv1.ListUsersRequest{})
	servicetest.Refused(t, err, codes.Unavailable, identityv1.Error_UNAVAILABLE)
	w.Stopwatch.Add(budget + time.Millisecond)
	for name, call := range calls {
		if err := call(); servicetest.Reason(err) != identityv1.Error_UNAVAILABLE.String() {
			t.Errorf("%s after the budget: %v", name, err)
		}
	}
	if err := cluster.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, call := range calls {
		servicetest.Eventually(t, name+" works again", func() bool { return call() == nil })
	}
}

// second is another replica on the same database.
func second(t *testing.T, url string, w *servicetest.World) *service.Service {
	t.Helper()
	s := asleep(t, url, w)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// asleep is another replica that does not follow the feed by itself.
func asleep(t *testing.T, url string, w *servicetest.World) *service.Service {
	t.Helper()
	st, err := store.Open(t.Context(), store.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	s, err := service.New(t.Context(), service.Config{Store: st, Ring: w.Ring, Issuer: servicetest.Issuer, Passwords: w.Passwords, Now: w.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What was done at one replica is known to the other before it says, asked to
// do the same, that it is done.
func TestMemory_I5_DoneAlready(t *testing.T) {
	url := storetest.Postgres(t)
	w := servicetest.New(t, url)
	other := servicetest.Serve(t, asleep(t, url, w))
	users, accounts := identityv1.NewUserServiceClient(other), identityv1.NewServiceAccountServiceClient(other)
	org := w.NewOrg()
	for range 20 {
		m := w.NewMachine(org.Admin.Token, "", servicetest.Agent)
		token := w.Token(m, "")
		if _, err := users.GetMe(w.As(token), &identityv1.GetMeRequest{}); err != nil {
			t.Fatal(err)
		}
		for _, client := range []identityv1.ServiceAccountServiceClient{w.Accounts, accounts} {
			if _, err := client.DisableServiceAccount(w.As(org.Admin.Token), &identityv1.DisableServiceAccountRequest{Id: m.GetId()}); err != nil {
				t.Fatal(err)
			}
		}
		_, err := users.GetMe(w.As(token), &identityv1.GetMeRequest{})
		servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID)
	}
}

func TestMemory_AnotherReplicaFollows(t *testing.T) {
	url := storetest.Postgres(t)
	w := servicetest.New(t, url)
	other := servicetest.Serve(t, second(t, url, w))
	users, accounts := identityv1.NewUserServiceClient(other), identityv1.NewServiceAccountServiceClient(other)
	org := w.NewOrg()
	for range 20 {
		m := w.NewMachine(org.Admin.Token, "", servicetest.Agent)
		token := w.Token(m, "")
		if _, err := users.GetMe(w.As(token), &identityv1.GetMeRequest{}); err != nil {
			t.Fatal(err)
		}
		var header metadata.MD
		_, err := w.Accounts.DisableServiceAccount(w.As(org.Admin.Token), &identityv1.DisableServiceAccountRequest{Id: m.GetId()}, grpc.Header(&header))
		if err != nil {
			t.Fatal(err)
		}
		revision := header.Get("identity-revision")
		if len(revision) != 1 {
			t.Fatalf("a write answers %v", header)
		}
		// With the consistency token the answer is right at once, on any replica.
		_, err = users.GetMe(w.As(token), &identityv1.GetMeRequest{AtLeast: revision[0]})
		servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID)
		_, err = accounts.IssueToken(t.Context(), &identityv1.IssueTokenRequest{ClientId: m.GetId(), ClientSecret: m.Secret})
		servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_CREDENTIALS_INVALID)
	}
}

func TestRevision_ForgedIsRefused(t *testing.T) {
	w := servicetest.SQLite(t)
	for _, text := range []string{"x", "a.b.c.d", "0.0.9999999.AAAA"} {
		_, err := w.Users.GetMe(w.As(w.Root), &identityv1.GetMeRequest{AtLeast: text})
		servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_INVALID_FIELDS)
	}
}
