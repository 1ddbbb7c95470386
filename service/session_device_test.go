package service_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/store/storetest"
)

// onDevice signs in from a device, and gives its next token and the reason of a refusal.
func onDevice(t *testing.T, w *servicetest.World, email, password, device string) (token, reason string) {
	resp, err := w.Sessions.SignIn(t.Context(), &identityv1.SignInRequest{Email: email, Password: password, DeviceToken: device})
	return resp.GetDeviceToken(), servicetest.Reason(err)
}

// newDevice signs in from nowhere that is known.
func newDevice(t *testing.T, w *servicetest.World, u servicetest.Person) string {
	t.Helper()
	token, reason := onDevice(t, w, u.GetEmail(), u.Password, "")
	if token == "" || reason != "" {
		t.Fatalf("device %q, %s", token, reason)
	}
	return token
}

// Who guesses from elsewhere does not keep a person from a device of theirs.
func TestDevice_Fair09(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		u, v := w.NewPerson(""), w.NewPerson("")
		device, others := newDevice(t, w, u), newDevice(t, w, v)
		lock(t, w, u.GetEmail())
		for rule, token := range map[string]string{"another user's": others, "garbage": device[:len(device)-1] + "!", "a refresh token": "bmr_x"} {
			if _, reason := onDevice(t, w, u.GetEmail(), u.Password, token); reason != limited {
				t.Errorf("%s: %q", rule, reason)
			}
		}
		again, reason := onDevice(t, w, u.GetEmail(), u.Password, device)
		if reason != "" || again != device {
			t.Fatalf("from the device: %q, %q after %q", reason, again, device)
		}
		if reason := attempt(t, w, u.GetEmail(), u.Password); reason != limited {
			t.Errorf("the others' wait ended: %q", reason)
		}
		for range freeAttempts { // wrong ones count, on the device alone
			if _, reason := onDevice(t, w, u.GetEmail(), "wrong", device); reason != wrong {
				t.Errorf("a wrong password: %q", reason)
			}
		}
		if _, reason := onDevice(t, w, u.GetEmail(), u.Password, device); reason != limited {
			t.Errorf("after %d wrong ones: %q", freeAttempts, reason)
		}
		if _, reason := onDevice(t, w, v.GetEmail(), v.Password, others); reason != "" {
			t.Errorf("another user's device: %q", reason)
		}
	})
}

// Devices end with the password, after ninety days, and beyond ten.
func TestDevice_Ends(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		root := func() string { return w.SignIn(servicetest.RootEmail, servicetest.RootPassword) }
		for rule, end := range map[string]func(u *servicetest.Person){
			"a password of an administrator": func(u *servicetest.Person) {
				noError(t, patch(w.As(root()), w, "", &identityv1.User{Id: u.GetId(), Password: ptr(servicetest.InitialPassword)}, "password"))
				u.Password = "Zebra#river9stone"
				w.Begin(u.GetEmail(), servicetest.InitialPassword, u.Password)
			},
			"ninety days": func(*servicetest.Person) { w.Clock.Add(90 * 24 * time.Hour) },
			"ten others": func(u *servicetest.Person) {
				for range 10 {
					w.Clock.Add(time.Minute)
					newDevice(t, w, *u)
				}
			},
			"erasure": func(u *servicetest.Person) {
				_, err := w.Users.EraseUser(w.As(root()), &identityv1.EraseUserRequest{Id: u.GetId()})
				noError(t, err)
				draft := w.Draft()
				draft.Email = u.Email
				made := must[*identityv1.User](t)(w.Users.CreateUser(w.As(root()), &identityv1.CreateUserRequest{User: draft}))
				w.Begin(made.GetEmail(), servicetest.InitialPassword, u.Password)
			},
		} {
			w.Root = root() // the clock goes on
			u := w.NewPerson("")
			device := newDevice(t, w, u)
			end(&u)
			lock(t, w, u.GetEmail())
			if _, reason := onDevice(t, w, u.GetEmail(), u.Password, device); reason != limited {
				t.Errorf("%s: %q", rule, reason)
			}
		}
		w.Root = root()
		u := w.NewPerson("")
		device := newDevice(t, w, u)
		for range 12 { // one that is used stays
			w.Clock.Add(time.Minute)
			newDevice(t, w, u)
			if again, reason := onDevice(t, w, u.GetEmail(), u.Password, device); again != device || reason != "" {
				t.Fatalf("%q, %q", again, reason)
			}
		}
	})
}

// The change of an initial password answers a device token too.
func TestDevice_ChangePassword(t *testing.T) {
	w := servicetest.SQLite(t)
	u := w.CreateUser("")
	due := must[*identityv1.SignInResponse](t)(w.Sessions.SignIn(t.Context(), &identityv1.SignInRequest{Email: u.GetEmail(), Password: servicetest.InitialPassword}))
	if due.GetDeviceToken() != "" {
		t.Errorf("a sign-in that is not complete answers %q", due.GetDeviceToken())
	}
	resp := must[*identityv1.ChangePasswordResponse](t)(w.Sessions.ChangePassword(t.Context(), &identityv1.ChangePasswordRequest{
		Token: due.GetPasswordChange().GetToken(), NewPassword: servicetest.RootPassword,
	}))
	lock(t, w, u.GetEmail())
	if _, reason := onDevice(t, w, u.GetEmail(), servicetest.RootPassword, resp.GetDeviceToken()); reason != "" {
		t.Error(reason)
	}
}

// With a genuine device token too, the same statements run and one hash is
// computed whoever it is, or is not.
func TestDevice_PW14_EqualWork(t *testing.T) {
	url := storetest.Postgres(t)
	w := servicetest.New(t, url)
	people := strangers(t, w)
	device := newDevice(t, w, w.NewPerson(""))
	tap, tapped := newWiretap(t, url)
	behind, err := service.New(t.Context(), service.Config{
		Store: storetest.OpenWith(t, store.Config{URL: tapped, Unprepared: true}),
		Ring:  w.Ring, Issuer: servicetest.Issuer, Passwords: w.Passwords, Now: w.Clock.Now,
	})
	noError(t, err)
	w.Sessions = identityv1.NewSessionServiceClient(servicetest.Serve(t, behind))
	of := func(email string) outcome {
		var o outcome
		tap.take()
		ran := w.Passwords.Runs()
		_, err := w.Sessions.SignIn(t.Context(), &identityv1.SignInRequest{Email: email, Password: servicetest.InitialPassword, DeviceToken: device})
		o.Hashes, o.Answer = w.Passwords.Runs()-ran, answerText(t, err)
		for _, statement := range tap.take() {
			if !ofBackground(statement) {
				o.Statements = append(o.Statements, statement)
			}
		}
		return o
	}
	want := of("first@people.test")
	if want.Hashes != 1 || len(want.Statements) < 5 {
		t.Fatalf("%+v", want)
	}
	for rule, email := range people {
		if diff := cmp.Diff(want, of(email)); diff != "" {
			t.Errorf("%s:\n%s", rule, diff)
		}
	}
}
