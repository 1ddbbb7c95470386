package service_test

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store/storetest"
)

// quiet is a replica that does nothing but what it is called for, so that its
// statements can be counted.
func quiet(t *testing.T, w *servicetest.World, url string) *servicetest.World {
	t.Helper()
	q := &servicetest.World{T: t, Store: storetest.Open(t, url), Passwords: w.Passwords, Ring: w.Ring, Clock: w.Clock, Stopwatch: w.Stopwatch, Root: w.Root}
	var err error
	q.Service, err = service.New(t.Context(), service.Config{
		Store: q.Store, Ring: w.Ring, Issuer: servicetest.Issuer, Passwords: w.Passwords, Now: w.Clock.Now, Elapsed: w.Stopwatch.Elapsed,
	})
	noError(t, err)
	q.Conn = servicetest.Serve(t, q.Service)
	q.Users, q.Sessions = identityv1.NewUserServiceClient(q.Conn), identityv1.NewSessionServiceClient(q.Conn)
	q.Accounts = identityv1.NewServiceAccountServiceClient(q.Conn)
	return q
}

// lock tries wrong passwords until a wait of some seconds begins.
func lock(t *testing.T, w *servicetest.World, email string) {
	t.Helper()
	for n := range freeAttempts + 4 {
		if reason := attempt(t, w, email, "wrong"); reason != wrong {
			t.Fatalf("attempt %d: %s", n, reason)
		}
		if n >= freeAttempts-1 && n < freeAttempts+3 {
			w.Clock.Add(time.Second << (n - freeAttempts + 1))
		}
	}
	if reason := attempt(t, w, email, servicetest.RootPassword); reason != limited {
		t.Fatalf("after that: %s", reason)
	}
}

const limited = "RATE_LIMITED"

// Wrong passwords count against the user who may sign in, not against everybody
// with the address: another organization neither sees the wait nor ends it.
func TestAttempts_Fair09_SameAddress(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		a, b, root := w.NewOrg(), w.NewOrg(), w.As(w.Root)
		pending := w.Draft()
		pending.Confirmed = nil
		there := must[*identityv1.User](t)(w.Users.CreateUser(root, &identityv1.CreateUserRequest{OrganizationId: b.GetId(), User: pending}))
		draft := w.Draft()
		draft.Email = pending.Email
		here := must[*identityv1.User](t)(w.Users.CreateUser(root, &identityv1.CreateUserRequest{OrganizationId: a.GetId(), User: draft}))
		lock(t, w, here.GetEmail())
		locked := func(org servicetest.Org, id string) bool {
			t.Helper()
			w.Stopwatch.Add(time.Second)
			listed := must[*identityv1.ListUsersResponse](t)(w.Users.ListUsers(w.As(w.Root), &identityv1.ListUsersRequest{
				OrganizationId: org.GetId(), Filter: &identityv1.ListUsersRequest_Filter{EmailExact: new(here.GetEmail())},
			}))
			u := must[*identityv1.User](t)(w.Users.GetUser(w.As(w.Root), &identityv1.GetUserRequest{OrganizationId: org.GetId(), Id: id}))
			if got := listed.GetUsers()[0].GetLockedUntil(); (got == nil) != (u.GetLockedUntil() == nil) {
				t.Errorf("listed as %v, read as %v", got, u.GetLockedUntil())
			}
			return u.GetLockedUntil() != nil
		}
		if !locked(a, here.GetId()) || locked(b, there.GetId()) {
			t.Error("the wait is not that of the user alone")
		}
		_, err := w.Users.EraseUser(w.As(w.Root), &identityv1.EraseUserRequest{OrganizationId: b.GetId(), Id: there.GetId()})
		noError(t, err)
		if reason := attempt(t, w, here.GetEmail(), servicetest.InitialPassword); reason != limited || !locked(a, here.GetId()) {
			t.Errorf("the other's erasure ended the wait: %q", reason)
		}
	})
}

// A new password set by an administrator ends the wait: at once here, within a
// second on another replica.
func TestAttempts_Fair09_NewPasswordLifts(t *testing.T) {
	eachURL(t, func(t *testing.T, url string) {
		w := servicetest.New(t, url)
		other := quiet(t, w, url)
		u := w.NewPerson("")
		lock(t, w, u.GetEmail())
		if reason := attempt(t, other, u.GetEmail(), servicetest.RootPassword); reason != limited {
			t.Fatalf("on the other replica: %q", reason)
		}
		root := w.As(w.SignIn(servicetest.RootEmail, servicetest.RootPassword))
		noError(t, patch(root, w, "", &identityv1.User{Id: u.GetId(), Password: ptr(servicetest.InitialPassword)}, "password"))
		if seen := failures(t, w, u.User); seen.Failures != 0 || seen.Retry != 0 {
			t.Errorf("%+v is kept", seen)
		}
		w.Stopwatch.Add(2 * time.Second)
		for where, there := range map[string]*servicetest.World{"here": w, "there": other} {
			if reason := attempt(t, there, u.GetEmail(), servicetest.InitialPassword); reason != "" {
				t.Errorf("%s: %s", where, reason)
			}
		}
	})
}

// Who is known to wait is refused without a statement, for a second at a time.
func TestAttempts_Fair05_Remembered(t *testing.T) {
	eachURL(t, func(t *testing.T, url string) {
		w := servicetest.New(t, url)
		there := quiet(t, w, url)
		u := w.NewPerson("")
		for rule, email := range map[string]string{"a user": u.GetEmail(), "nobody": "nobody@people.test"} {
			lock(t, there, email)
			before := there.Store.Statements()
			servicetest.Together(50, func(int) {
				_, err := there.Sessions.SignIn(t.Context(), &identityv1.SignInRequest{Email: email, Password: "wrong"})
				servicetest.Refused(t, err, codes.ResourceExhausted, identityv1.Error_RATE_LIMITED)
			})
			if n := there.Store.Statements() - before; n > 8 { // a slow machine may take longer than a second
				t.Errorf("%s: %d statements for 50 refusals", rule, n)
			}
		}
	})
}
