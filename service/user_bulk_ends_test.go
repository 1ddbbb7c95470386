package service_test

import (
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store"
)

// Tokens and sessions of all who were disabled end with the answer here, and
// within the feed elsewhere; nothing revives.
func TestBulk_Ends(t *testing.T) {
	eachURL(t, func(t *testing.T, url string) {
		w := servicetest.New(t, url)
		there := w
		if !store.Embedded(url) {
			there = replica(t, w, url)
		}
		org := w.NewOrg()
		as := w.As(org.Admin.Token)
		type one struct {
			servicetest.Person
			tokens *identityv1.Tokens
		}
		var people []one
		for range 3 {
			p := w.NewPerson(org.GetId())
			people = append(people, one{p, w.Tokens(p.GetEmail(), p.Password)})
		}
		machine := w.NewMachine(org.Admin.Token, "", servicetest.MonitoringUser)
		token := w.Token(machine, "")
		for _, p := range people {
			noError(t, usable(w, p.tokens.GetAccessToken()))
			noError(t, usable(there, p.tokens.GetAccessToken()))
		}
		// One alone, whom the event that stands for all does not name.
		alone := w.NewPerson(org.GetId())
		noError(t, usable(w, alone.Token))
		single, err := disableAll(as, w, "", &filter{EmailExact: new(alone.GetEmail())})
		if err != nil || single.GetChanged() != 1 || servicetest.Reason(usable(w, alone.Token)) != "TOKEN_INVALID" {
			t.Errorf("one alone: %v, %v; their token: %v", single, err, usable(w, alone.Token))
		}
		var header metadata.MD
		got, err := w.Users.BulkDisableUsers(as, &identityv1.BulkDisableUsersRequest{Filter: &filter{Name: new("grace")}}, grpc.Header(&header))
		noError(t, err)
		if got.GetChanged() != 3 {
			t.Fatalf("%v", got)
		}
		check := func(rule string) {
			t.Helper()
			for _, p := range people {
				for _, at := range []*servicetest.World{w, there} {
					_, err := at.Users.GetMe(at.As(org.Admin.Token), &identityv1.GetMeRequest{AtLeast: header.Get("identity-revision")[0]})
					noError(t, err)
					for _, text := range []string{p.Token, p.tokens.GetAccessToken()} {
						if servicetest.Reason(usable(at, text)) != "TOKEN_INVALID" {
							t.Errorf("%s: a token is accepted", rule)
						}
					}
					if _, err := at.Sessions.Refresh(t.Context(), &identityv1.RefreshRequest{RefreshToken: p.tokens.GetRefreshToken()}); servicetest.Reason(err) != "TOKEN_INVALID" {
						t.Errorf("%s: refresh: %v", rule, err)
					}
				}
				session, err := w.Store.Session(t.Context(), org.GetId(), p.tokens.GetSessionId())
				if err != nil || session.Ended == 0 {
					t.Errorf("%s: the session goes on, %v", rule, err)
				}
			}
			noError(t, usable(w, token))
			noError(t, usable(w, org.Admin.Token))
		}
		check("disabled")
		_, err = enableAll(as, w, "", &filter{Name: new("grace")})
		noError(t, err)
		check("enabled again")
		noError(t, usable(w, w.SignIn(people[0].GetEmail(), people[0].Password)))
	})
}

// More than a hundred are counted, and a hundred named.
func TestBulk_Skipped(t *testing.T) {
	w := servicetest.SQLite(t)
	org := w.NewOrg()
	for range 105 {
		w.CreateUser(org.GetId(), servicetest.DevOps)
	}
	helper := w.NewPerson(org.GetId(), servicetest.BusinessAdmin)
	got, err := disableAll(w.As(helper.Token), w, "", &filter{})
	noError(t, err)
	if got.GetMatched() != 107 || got.GetSkippedTotal() != 107 || len(got.GetSkipped()) != 100 || got.GetChanged() != 0 {
		t.Errorf("%v", got)
	}
}
