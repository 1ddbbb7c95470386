package service_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/store/storetest"
)

// Taken here and taken elsewhere are one answer.
func TestAvailability_D4(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		org, other := w.NewOrg(), w.NewOrg()
		as := w.As(org.Admin.Token)
		add := func(org string, confirmed bool) *identityv1.User {
			u := w.Draft()
			u.Confirmed = &confirmed
			made, err := w.Users.CreateUser(w.As(w.Root), &identityv1.CreateUserRequest{OrganizationId: org, User: u})
			noError(t, err)
			return made
		}
		here, pending, gone := add(org.GetId(), true), add(org.GetId(), false), add(org.GetId(), true)
		elsewhere, maybe, goneThere := add(other.GetId(), true), add(other.GetId(), false), add(other.GetId(), true)
		for _, u := range []*identityv1.User{gone, goneThere} {
			_, err := w.Users.DeleteUser(w.As(w.Root), &identityv1.DeleteUserRequest{OrganizationId: u.GetOrganizationId(), Id: u.GetId()})
			noError(t, err)
		}
		rows := []struct {
			rule, email, whose string
			want               bool
		}{
			{"nobody's", "free@people.test", "", true},
			{"confirmed here", here.GetEmail(), "", false},
			{"in other letters", " " + strings.ToUpper(here.GetEmail()), "", false},
			{"pending here", pending.GetEmail(), "", false},
			{"deleted here", gone.GetEmail(), "", false},
			{"confirmed elsewhere", elsewhere.GetEmail(), "", false},
			{"pending elsewhere", maybe.GetEmail(), "", true},
			{"deleted elsewhere", goneThere.GetEmail(), "", true},
			{"one's own", here.GetEmail(), here.GetId(), true},
			{"one's own, pending", pending.GetEmail(), pending.GetId(), true},
			{"a colleague's", here.GetEmail(), pending.GetId(), false},
			{"a stranger's", elsewhere.GetEmail(), pending.GetId(), false},
		}
		for _, row := range rows {
			got, err := w.Users.CheckEmailAvailability(as, &identityv1.CheckEmailAvailabilityRequest{Email: row.email, UserId: row.whose})
			if err != nil || got.GetAvailable() != row.want {
				t.Errorf("%s: %v, %v", row.rule, got, err)
			}
			// What it promises, creating keeps.
			if row.whose == "" {
				u := w.Draft()
				u.Email, u.Confirmed = ptr(row.email), nil
				_, err := w.Users.CreateUser(as, &identityv1.CreateUserRequest{User: u})
				if want := map[bool]string{false: "EMAIL_TAKEN"}[row.want]; servicetest.Reason(err) != want {
					t.Errorf("%s: creating: %v", row.rule, err)
				}
			}
		}
		for rule, email := range map[string]string{"no address": "ann", "two at signs": "a@b@c.co", "empty": ""} {
			_, err := w.Users.CheckEmailAvailability(as, &identityv1.CheckEmailAvailabilityRequest{Email: email})
			if servicetest.Reason(err) != "INVALID_FIELDS" {
				t.Errorf("%s: %v", rule, err)
			}
		}
		for rule, id := range map[string]string{"foreign": elsewhere.GetId(), "missing": randomID(), "deleted": gone.GetId()} {
			_, err := w.Users.CheckEmailAvailability(as, &identityv1.CheckEmailAvailabilityRequest{Email: elsewhere.GetEmail(), UserId: id})
			if servicetest.Reason(err) != "NOT_FOUND" {
				t.Errorf("%s: %v", rule, err)
			}
		}
		_, err := w.Users.CheckEmailAvailability(w.As(w.NewPerson(org.GetId()).Token), &identityv1.CheckEmailAvailabilityRequest{Email: "free@people.test"})
		servicetest.Refused(t, err, codes.PermissionDenied, identityv1.Error_PERMISSION_DENIED)
		_, err = w.Users.CheckEmailAvailability(t.Context(), &identityv1.CheckEmailAvailabilityRequest{Email: "free@people.test"})
		servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID)
	})
}

// Nobody goes through a list: the budget is the caller's and the
// organization's, whatever the answers are.
func TestAvailability_D4_Budget(t *testing.T) {
	w := servicetest.SQLite(t)
	org := w.NewOrg()
	ask := func(ctx context.Context) error {
		_, err := w.Users.CheckEmailAvailability(ctx, &identityv1.CheckEmailAvailabilityRequest{Email: "free@people.test"})
		return err
	}
	as := w.As(org.Admin.Token)
	for range 300 {
		noError(t, ask(as))
	}
	servicetest.Refused(t, ask(as), codes.ResourceExhausted, identityv1.Error_RATE_LIMITED)
	noError(t, ask(w.As(w.NewPerson(org.GetId(), servicetest.BusinessAdmin).Token)))
	noError(t, ask(w.As(w.NewOrg().Admin.Token)))
	w.Clock.Add(10 * time.Minute)
	noError(t, ask(as))
}

// What a refused change tells counts like asking: nobody goes through a list
// by creating, changing or importing people, nor by rehearsing it. When the
// budget is spent, free addresses are refused like taken ones.
func TestAvailability_D4_Refusals(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		taken := w.newTenant().user.GetEmail()
		rows := func(n int, email string) (file string) {
			for i := range n {
				file += fmt.Sprintf("%s,Ann,Ng,Monitoring User\n", strings.ReplaceAll(email, "#", strconv.Itoa(i)))
			}
			return file
		}
		const header = "email,first_name,last_name,roles\n"
		limited := func(err error) {
			t.Helper()
			servicetest.Refused(t, err, codes.ResourceExhausted, identityv1.Error_RATE_LIMITED)
		}
		a := w.newTenant()
		create := func(email string) error {
			u := w.Draft()
			u.Email, u.Confirmed, u.Password = &email, nil, nil
			_, err := w.Users.CreateUser(w.As(a.Admin.Token), &identityv1.CreateUserRequest{User: u})
			return err
		}
		u := w.invite(a, noPassword)
		for i := range 300 {
			err := create
			if i%2 == 0 {
				err = func(email string) error { return w.patch(a, &identityv1.User{Id: u.GetId(), Email: &email}, "email") }
			}
			servicetest.Refused(t, err(taken), codes.AlreadyExists, identityv1.Error_EMAIL_TAKEN)
		}
		noError(t, create("free1@other.test"))
		limited(create(taken))
		limited(create("free2@other.test"))
		free := "free3@other.test"
		limited(w.patch(a, &identityv1.User{Id: u.GetId(), Email: &free}, "email"))
		noError(t, w.patch(a, &identityv1.User{Id: u.GetId(), FirstName: ptr("Gracie")}, "first_name"))

		for _, dry := range []bool{true, false} {
			a = w.newTenant()
			req := &identityv1.ImportUsersRequest{ValidateOnly: dry}
			imported(t, w, a.Admin.Token, req, header+rows(1500, "free#@import.test")) // costs nothing
			got, _, err := importFile(w.As(a.Admin.Token), w.World, req, strings.NewReader(header+
				"new@import.test,Ann,Ng,Monitoring User\n"+rows(300, taken)+"more@import.test,Ann,Ng,Monitoring User\n"+rows(2, taken)+
				"late@import.test,Ann,Ng,Monitoring User\n"+a.user.GetEmail()+",Any,Body,Monitoring User\n"+rows(1000, "later#@import.test")))
			limited(err)
			short := statuses(got)
			if len(short) != 1000 || short[0] != "1 CREATED" || short[300] != "301 REFUSED EMAIL_TAKEN" || short[301] != "302 CREATED" {
				t.Fatalf("%d rows: %v", len(short), short)
			}
			for _, row := range got[302:] {
				if row.GetReason() != "RATE_LIMITED" || row.GetOutcome() != identityv1.ImportUsersResponse_Row_REFUSED {
					t.Fatalf("%v", row)
				}
			}
			again := func(token, email string) error {
				got, _, err := importFile(w.As(token), w.World, &identityv1.ImportUsersRequest{ValidateOnly: true}, strings.NewReader(header+rows(1, email)))
				if err != nil && len(got) != 0 {
					t.Errorf("told %v", got)
				}
				return err
			}
			limited(again(a.Admin.Token, taken))
			limited(again(a.Admin.Token, "free@other.test"))
			noError(t, again(w.NewPerson(a.GetId(), servicetest.SuperUser).Token, taken)) // the organization has more
			w.Clock.Add(10 * time.Minute)
			noError(t, again(w.SignIn(a.Admin.GetEmail(), a.Admin.Password), taken))
		}
	})
}

// PW-14: the statements are the same, whether an address is free or confirmed elsewhere.
func TestAvailability_PW14_EqualWork(t *testing.T) {
	url := storetest.Postgres(t)
	w := servicetest.New(t, url)
	org := w.NewOrg()
	elsewhere := w.CreateUser(w.NewOrg().GetId())
	tap, tapped := newWiretap(t, url)
	behind, err := service.New(t.Context(), service.Config{ // does nothing but what it is called for
		Store: storetest.OpenWith(t, store.Config{URL: tapped, Unprepared: true}), // so that the texts are on the wire
		Ring:  w.Ring, Issuer: servicetest.Issuer, Passwords: w.Passwords, Now: w.Clock.Now,
	})
	noError(t, err)
	users := identityv1.NewUserServiceClient(servicetest.Serve(t, behind))
	ask := func(email string) []string {
		tap.take()
		_, err := users.CheckEmailAvailability(w.As(org.Admin.Token), &identityv1.CheckEmailAvailabilityRequest{Email: email})
		noError(t, err)
		return slices.DeleteFunc(tap.take(), ofBackground)
	}
	ask("first@people.test") // reads who calls
	want := ask("free@people.test")
	if len(want) < 2 {
		t.Fatalf("%q", want)
	}
	if diff := cmp.Diff(want, ask(elsewhere.GetEmail())); diff != "" {
		t.Errorf("confirmed elsewhere:\n%s", diff)
	}
}
