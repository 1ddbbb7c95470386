package service_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service"
	"github.com/bizmetry/identity/service/fair"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/store/storetest"
)

// outcome is all of a sign-in that an outsider sees, and what it cost.
type outcome struct {
	Answer          string
	Header, Trailer metadata.MD
	Hashes          uint64
	Statements      []string
}

// outcomeOf signs in; the wiretap may be nil.
func outcomeOf(t *testing.T, w *servicetest.World, tap *wiretap, email, password string) outcome {
	t.Helper()
	var o outcome
	if tap != nil {
		tap.take()
	}
	ran := w.Passwords.Runs()
	_, err := w.Sessions.SignIn(t.Context(), &identityv1.SignInRequest{Email: email, Password: password}, grpc.Header(&o.Header), grpc.Trailer(&o.Trailer))
	o.Hashes = w.Passwords.Runs() - ran
	if tap != nil {
		o.Statements = slices.DeleteFunc(tap.take(), ofBackground)
	}
	o.Answer = answerText(t, err)
	for _, id := range append(o.Header["request-id"], o.Trailer["request-id"]...) {
		if len(id) != 36 {
			t.Errorf("request id %q", id)
		}
	}
	delete(o.Header, "request-id")
	delete(o.Trailer, "request-id")
	return o
}

// ofBackground tells the statements that come of time, not of a call: the
// feed, notifications and the writing of activity, with its transactions.
func ofBackground(statement string) bool {
	return regexp.MustCompile(`organization_clock|pg_notify|INTO activity|FROM events|signing_keys|^BEGIN|^COMMIT`).MatchString(statement)
}

// strangers makes everybody who may not sign in with InitialPassword, for
// whatever reason, and returns their addresses.
func strangers(t *testing.T, w *servicetest.World) map[string]string {
	t.Helper()
	root, org := w.As(w.Root), w.NewOrg().GetId()
	create := func(change func(*identityv1.User)) *identityv1.User {
		u := w.Draft()
		change(u)
		made, err := w.Users.CreateUser(root, &identityv1.CreateUserRequest{OrganizationId: org, User: u})
		noError(t, err)
		return made
	}
	disabled, deleted, both := create(asDrafted), create(asDrafted), create(asDrafted)
	for _, u := range []*identityv1.User{disabled, both} {
		_, err := w.Users.DisableUser(root, &identityv1.DisableUserRequest{OrganizationId: org, Id: u.GetId()})
		noError(t, err)
	}
	for _, u := range []*identityv1.User{deleted, both} {
		_, err := w.Users.DeleteUser(root, &identityv1.DeleteUserRequest{OrganizationId: org, Id: u.GetId()})
		noError(t, err)
	}
	un := create(asDrafted)
	noError(t, patch(root, w, org, &identityv1.User{Id: un.GetId(), Confirmed: ptr(false)}, "confirmed"))
	moved := create(asDrafted)
	noError(t, patch(root, w, org, &identityv1.User{Id: moved.GetId(), Email: ptr("moved@people.test")}, "email"))
	return map[string]string{
		"unknown":               "nobody@people.test",
		"no address":            "nobody",
		"disabled":              disabled.GetEmail(),
		"deleted":               deleted.GetEmail(),
		"disabled, deleted":     both.GetEmail(),
		"pending":               create(func(u *identityv1.User) { u.Confirmed = nil }).GetEmail(),
		"unconfirmed":           un.GetEmail(),
		"a former address":      moved.GetEmail(),
		"no password":           create(func(u *identityv1.User) { u.Password = nil }).GetEmail(),
		"pending, no password":  create(func(u *identityv1.User) { u.Password, u.Confirmed = nil, nil }).GetEmail(),
		"another password":      create(func(u *identityv1.User) { u.Password = ptr("Zebra#river9stone") }).GetEmail(),
		"another administrator": create(func(u *identityv1.User) { u.Password, u.RoleIds = ptr("Zebra#river9stone"), superUser }).GetEmail(),
	}
}

// Whoever it is, or is not: the same answer, headers, number of hashes and
// statements.
func TestSignIn_PW14_EqualWork(t *testing.T) {
	url := storetest.Postgres(t)
	w := servicetest.New(t, url)
	people := strangers(t, w)
	tap, tapped := newWiretap(t, url)
	behind, err := service.New(t.Context(), service.Config{ // does nothing but what it is called for
		Store: storetest.OpenWith(t, store.Config{URL: tapped, Unprepared: true}), // so that the texts are on the wire
		Ring:  w.Ring, Issuer: servicetest.Issuer, Passwords: w.Passwords, Now: w.Clock.Now,
	})
	noError(t, err)
	w.Sessions = identityv1.NewSessionServiceClient(servicetest.Serve(t, behind))
	for try := range 6 { // the sixth is throttled
		want := outcomeOf(t, w, tap, "first@people.test", servicetest.InitialPassword)
		if try < freeAttempts && (want.Hashes != 1 || len(want.Statements) < 4) {
			t.Fatalf("%+v", want)
		}
		for rule, email := range people {
			if diff := cmp.Diff(want, outcomeOf(t, w, tap, email, servicetest.InitialPassword)); diff != "" {
				t.Errorf("%s, try %d:\n%s", rule, try+1, diff)
			}
		}
	}
	admin := w.NewOrg().Admin // one who may sign in
	right, bad := outcomeOf(t, w, tap, admin.GetEmail(), admin.Password), outcomeOf(t, w, tap, admin.GetEmail(), "wrong")
	if right.Hashes != 1 || bad.Hashes != 1 {
		t.Errorf("%d and %d hashes", right.Hashes, bad.Hashes)
	}
}

func TestSignIn_PW14_EqualAnswers(t *testing.T) {
	w := servicetest.SQLite(t)
	want := outcomeOf(t, w, nil, "first@people.test", servicetest.InitialPassword)
	for rule, email := range strangers(t, w) {
		t.Run(rule, func(t *testing.T) {
			if diff := cmp.Diff(want, outcomeOf(t, w, nil, email, servicetest.InitialPassword)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A hash weaker than today's is made again when its password comes by, and
// only then.
func TestSignIn_PW24_Upgrade(t *testing.T) {
	weak, err := secret.NewPasswords(secret.PasswordsConfig{Params: secret.Params{MemoryKiB: 32, Time: 1, Threads: 1}})
	noError(t, err)
	argon, err := weak.Hash(t.Context(), servicetest.RootPassword)
	noError(t, err)
	crypted, err := bcrypt.GenerateFromPassword([]byte(servicetest.RootPassword), bcrypt.MinCost)
	noError(t, err)
	strong, err := secret.NewPasswords(secret.PasswordsConfig{Params: secret.Params{MemoryKiB: 128, Time: 1, Threads: 1}})
	noError(t, err)
	stronger, err := strong.Hash(t.Context(), servicetest.RootPassword)
	noError(t, err)
	eachURL(t, func(t *testing.T, url string) {
		w := servicetest.New(t, url)
		rows := secondConnection(t, url)
		for _, row := range []struct {
			rule, hash string
			upgraded   bool
		}{
			{"argon2id with less memory", argon, true},
			{"bcrypt", string(crypted), true},
			{"argon2id with more memory", stronger, false},
		} {
			t.Run(row.rule, func(t *testing.T) {
				u := w.NewPerson("").User
				setHash(t, url, rows, u.GetId(), row.hash)
				if reason := attempt(t, w, u.GetEmail(), "wrong"); reason != wrong || hashOf(t, w, u) != row.hash {
					t.Errorf("a wrong password: %q, %s", reason, hashOf(t, w, u))
				}
				first := w.Tokens(u.GetEmail(), servicetest.RootPassword)
				now := hashOf(t, w, u)
				if row.upgraded != (now != row.hash) || row.upgraded && !strings.HasPrefix(now, "$argon2id$v=19$m=64,t=1,p=1$") {
					t.Errorf("%s became %s", row.hash, now)
				}
				noError(t, usable(w, first.GetAccessToken())) // the password is the same: nothing ends
				noError(t, usable(w, w.SignIn(u.GetEmail(), servicetest.RootPassword)))
				if hashOf(t, w, u) != now {
					t.Error("it was made again")
				}
			})
		}
	})
}

// What a stored hash asks for beyond its bounds is not run, and answers like
// a wrong password.
func TestSignIn_PW24_HostileHashes(t *testing.T) {
	salt, key := "c2FsdHNhbHRzYWx0c2FsdA", "aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"
	hashes := map[string]string{
		"4 GiB":                  "$argon2id$v=19$m=4194304,t=1,p=1$" + salt + "$" + key,
		"4 TiB":                  "$argon2id$v=19$m=4294967295,t=1,p=1$" + salt + "$" + key,
		"a billion passes":       "$argon2id$v=19$m=64,t=1000000000,p=1$" + salt + "$" + key,
		"255 threads":            "$argon2id$v=19$m=65536,t=1,p=255$" + salt + "$" + key,
		"no passes":              "$argon2id$v=19$m=64,t=0,p=1$" + salt + "$" + key,
		"negative memory":        "$argon2id$v=19$m=-1,t=1,p=1$" + salt + "$" + key,
		"an empty key":           "$argon2id$v=19$m=64,t=1,p=1$" + salt + "$",
		"a key of a byte":        "$argon2id$v=19$m=64,t=1,p=1$" + salt + "$YQ",
		"bcrypt of cost 31":      "$2b$31$" + strings.Repeat("a", 53),
		"PBKDF2 for a year":      "$pbkdf2-sha256$2000000000$" + salt + "$" + key,
		"scrypt of a terabyte":   "$scrypt$ln=40,r=8,p=1$" + salt + "$" + key,
		"SHA-crypt of a billion": "$6$rounds=999999999$saltsalt$" + strings.Repeat("a", 86),
		"plain text":             "$plaintext$" + servicetest.RootPassword,
		"the password itself":    servicetest.RootPassword,
		"yescrypt":               "$y$j9T$" + salt + "$" + key,
		"garbage":                "garbage",
		"dollars":                strings.Repeat("$", 400),
		"a megabyte":             strings.Repeat("a", 1<<20),
	}
	eachURL(t, func(t *testing.T, url string) {
		w := servicetest.New(t, url)
		rows := secondConnection(t, url)
		want := outcomeOf(t, w, nil, "nobody@people.test", servicetest.RootPassword)
		for rule, hash := range hashes {
			t.Run(rule, func(t *testing.T) {
				u := w.NewPerson("").User
				setHash(t, url, rows, u.GetId(), hash)
				if diff := cmp.Diff(want, outcomeOf(t, w, nil, u.GetEmail(), servicetest.RootPassword)); diff != "" {
					t.Error(diff)
				}
				if now := hashOf(t, w, u); now != hash {
					t.Errorf("it became %.80s", now)
				}
			})
		}
	})
}

// One slot and a queue of two: whoever comes next is told to come again, and
// nothing but passwords waits.
func TestSignIn_PF01_Gate(t *testing.T) {
	gate, err := secret.NewPasswords(secret.PasswordsConfig{
		Params: secret.Params{MemoryKiB: 128 << 10, Time: 2, Threads: 1}, Slots: 1, Queue: 2, Wait: time.Minute,
	})
	noError(t, err)
	w := servicetest.New(t, storetest.SQLite(t), func(c *service.Config) { c.Passwords = gate })
	root := w.As(w.Root)
	m := w.NewMachine(w.Root, w.NewOrg().GetId(), servicetest.Agent)
	bearer := w.Token(m, "")

	hold, release := context.WithCancel(t.Context())
	defer release()
	var crowd sync.WaitGroup
	for i := range 8 { // so many that the place of one is taken by the next; each pays alone, or the newcomer would have the place
		crowd.Go(func() {
			mine := fair.WithPaying(hold, fair.Payer{Group: fmt.Sprint("crowd ", i)})
			for hold.Err() == nil {
				if _, _, err := gate.Verify(mine, "x", ""); errors.Is(err, secret.ErrBusy) {
					time.Sleep(100 * time.Microsecond)
				}
			}
		})
	}
	servicetest.Eventually(t, "slot and queue are full", func() bool { return probe(t.Context(), gate) != nil })
	// refused tries until a call did not slip in between two of the crowd.
	refused := func(call func() error) {
		t.Helper()
		var err error
		for range 4 {
			if err = call(); servicetest.Reason(err) == "OVERLOADED" {
				break
			}
		}
		servicetest.Refused(t, err, codes.ResourceExhausted, identityv1.Error_OVERLOADED)
		if retryAfter(err) <= 0 {
			t.Errorf("no word when to try again: %v", err)
		}
	}
	for range 8 { // more than are free: what was not tried is not counted
		refused(func() error {
			_, err := w.Sessions.SignIn(t.Context(), &identityv1.SignInRequest{Email: servicetest.RootEmail, Password: "x"})
			return err
		})
		refused(func() error {
			_, err := w.Users.CreateUser(root, &identityv1.CreateUserRequest{User: w.Draft()})
			return err
		})
	}
	for rule, call := range map[string]func() error{
		"check": func() error {
			_, err := w.Roles.CheckPermission(root, &identityv1.CheckPermissionRequest{Permission: administer})
			return err
		},
		"introspect": func() error {
			_, err := w.Accounts.IntrospectToken(root, &identityv1.IntrospectTokenRequest{Token: bearer})
			return err
		},
		"issue": func() error {
			_, err := w.Accounts.IssueToken(t.Context(), &identityv1.IssueTokenRequest{ClientId: m.GetId(), ClientSecret: m.Secret})
			return err
		},
	} {
		if err := call(); err != nil {
			t.Errorf("%s waits for passwords: %v", rule, err)
		}
	}
	release()
	crowd.Wait()
	if reason := attempt(t, w, servicetest.RootEmail, servicetest.RootPassword); reason != "" {
		t.Errorf("after the rush: %s", reason)
	}
}

// probe asks the gate without waiting in it.
func probe(ctx context.Context, gate *secret.Passwords) error {
	ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	_, _, err := gate.Verify(ctx, "x", "")
	if err == nil || ctx.Err() != nil && err == ctx.Err() { //nolint:errorlint // the gate returns the context's own error
		return nil
	}
	return err
}
