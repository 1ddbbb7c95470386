package service_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store"
)

// number is the one figure of a query.
func (w *world) number(query string) (n int) {
	w.T.Helper()
	noError(w.T, w.db.QueryRowContext(w.T.Context(), query).Scan(&n))
	return n
}

// withheld counts the links that a spent budget kept from people of an organization.
func (w *world) withheld(org string) int {
	w.T.Helper()
	return w.number(`SELECT COUNT(*) FROM events WHERE type = 'user.activation_withheld' AND organization_id = '` + org + `'`)
}

// mailed counts the mails to people of an organization so far.
func (w *world) mailed(org, kind string) int {
	w.T.Helper()
	return w.number(`SELECT COUNT(*) FROM outbox WHERE kind = 'mail.` + kind + `' AND organization_id = '` + org + `'`)
}

// spent uses a budget up but for what is left.
func (w *world) spent(name, whose string, used int64, window time.Duration) {
	w.T.Helper()
	mac, now := w.Ring.MAC("budget", name, whose), w.Clock.Now()
	noError(w.T, w.Store.Short(w.T.Context(), func(tx *store.ShortTx) error {
		_, err := tx.Spend(w.T.Context(), store.At(now), store.Charge{Key: hex.EncodeToString(mac[:]), N: used, End: store.At(now.Add(window))})
		return err
	}))
}

// PF-10: an address gets five links an hour out of an organization, in
// whatever way they are made; another organization has a budget of its own,
// up to what an address gets out of all.
func TestLinks_PF10_NoFloodOfAnAddress(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		ways := map[string]func(as context.Context, a *tenant, to string){
			"created and erased": func(as context.Context, a *tenant, to string) {
				u := w.invite(a, noPassword, func(u *identityv1.User) { u.Email = &to })
				must[*identityv1.EraseUserResponse](t)(w.Users.EraseUser(as, &identityv1.EraseUserRequest{Id: u.GetId()}))
			},
			"imported and erased": func(as context.Context, a *tenant, to string) {
				rows := imported(t, w, a.Admin.Token, &identityv1.ImportUsersRequest{SendActivation: true}, "email,first_name,last_name,roles\n"+to+",Ann,Ng,Monitoring User\n")
				must[*identityv1.EraseUserResponse](t)(w.Users.EraseUser(as, &identityv1.EraseUserRequest{Id: rows[0].GetId()}))
			},
			"given to somebody, and taken": func(as context.Context, a *tenant, to string) {
				u := w.invite(a, noPassword)
				noError(t, w.patch(a, &identityv1.User{Id: u.GetId(), Email: &to}, "email"))
				noError(t, w.patch(a, &identityv1.User{Id: u.GetId(), Email: u.Email}, "email"))
			},
		}
		for way, once := range ways {
			a, b := w.newTenant(), w.newTenant()
			as, to := w.As(a.Admin.Token), newNumber()[1:]+"@victim.test"
			for range 15 {
				once(as, a, to)
			}
			if n := w.withheld(a.GetId()); n != 10 {
				t.Errorf("%s fifteen times: %d links were withheld, want 10", way, n)
			}
			w.invite(b, noPassword, func(u *identityv1.User) { u.Email = &to })
			if n := w.withheld(b.GetId()); n != 0 {
				t.Errorf("%s: the neighbour could not invite", way)
			}
		}
		to := "all@victim.test"
		for i := range 5 {
			a := w.newTenant()
			for range 5 {
				ways["created and erased"](w.As(a.Admin.Token), a, to)
			}
			if n, want := w.withheld(a.GetId()), map[int]int{4: 5}[i]; n != want {
				t.Errorf("organization %d: %d were withheld, want %d", i+1, n, want)
			}
		}
	})
}

// Moving an address to and fro mails the person whose it was a bounded number
// of times, and the last notice still comes, when the hour is over. Nobody
// spends it for another kind of notice, or in another organization.
func TestNotices_PF10(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		u := w.CreateUser(a.GetId())
		root := w.As(w.Root) // may leave addresses confirmed
		for i := range 10 {
			other := fmt.Sprintf("other%d-%s", i, u.GetEmail())
			noError(t, patch(root, w.World, a.GetId(), &identityv1.User{Id: u.GetId(), Email: &other}, "email"))
			noError(t, patch(root, w.World, a.GetId(), &identityv1.User{Id: u.GetId(), Email: u.Email}, "email"))
		}
		if n := w.mailed(a.GetId(), "email_changed"); n != 6+2*10 { // five and a late one, and those to the other addresses
			t.Errorf("%d mails tell of twenty changes", n)
		}
		for range 5 {
			w.Letter(u.GetEmail(), "Your e-mail address was changed")
		}
		if n := len(w.Letters(u.GetEmail())); n != 5 {
			t.Errorf("%d came at once", n)
		}
		noError(t, patch(root, w.World, a.GetId(), &identityv1.User{Id: u.GetId(), Password: ptr("Another#Horse8battery")}, "password"))
		w.Letter(u.GetEmail(), "Your password was changed")
		w.Clock.Add(time.Hour)
		w.Letter(u.GetEmail(), "Your e-mail address was changed")
	})
}

// Who is created when the organization's day is over is there all the same,
// without a mail; a file says so row by row, SendActivation refuses.
func TestLinks_PF10_OfAnOrganization(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		w.spent("links: organization", a.GetId(), 9_998, 24*time.Hour)
		rows := imported(t, w, a.Admin.Token, &identityv1.ImportUsersRequest{SendActivation: true}, `email,first_name,last_name,enabled,roles
ann@day.test,Ann,Ng,,Monitoring User
bob@day.test,Bob,Ng,false,Monitoring User
carl@day.test,Carl,Ng,,Monitoring User
dora@day.test,Dora,Ng,,Monitoring User
`)
		if diff := cmp.Diff([]string{"1 CREATED", "2 CREATED", "3 CREATED", "4 CREATED RATE_LIMITED"}, statuses(rows)); diff != "" {
			t.Error(diff)
		}
		u := w.invite(a)
		if sent, withheld := w.mailed(a.GetId(), "activation"), w.withheld(a.GetId()); sent != 2 || withheld != 2 {
			t.Errorf("%d sent, %d withheld", sent, withheld)
		}
		_, err := w.Users.SendActivation(w.As(a.Admin.Token), &identityv1.SendActivationRequest{Id: u.GetId()})
		servicetest.Refused(t, err, codes.ResourceExhausted, identityv1.Error_RATE_LIMITED)
		w.Clock.Add(24 * time.Hour)
		must[*identityv1.User](t)(w.Users.SendActivation(w.As(w.SignIn(a.Admin.GetEmail(), a.Admin.Password)), &identityv1.SendActivationRequest{Id: u.GetId()}))
		w.Link(u.GetEmail())
	})
}

// RG-25: a link stays void when its address comes back, also where there was
// no new one for want of a budget.
func TestLinks_RG25_WithheldDoesNotRevive(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		u := w.invite(a, noPassword)
		token := w.Link(u.GetEmail())
		w.spent("links: organization", a.GetId(), 10_000, 24*time.Hour)
		other := "other-" + u.GetEmail()
		noError(t, w.patch(a, &identityv1.User{Id: u.GetId(), Email: &other}, "email"))
		noError(t, w.patch(a, &identityv1.User{Id: u.GetId(), Email: u.Email}, "email"))
		linkInvalid(t, w.activate(token, servicetest.RootPassword))
	})
}

// A password that is set for somebody who waits voids their link, so they get
// another; they are not told of a change, for they never had one.
func TestNotices_PasswordOfAPendingPerson(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		u := w.invite(a, noPassword)
		former := w.Link(u.GetEmail())
		noError(t, w.patch(a, &identityv1.User{Id: u.GetId(), Password: ptr("Another#Horse8battery")}, "password"))
		token := w.Link(u.GetEmail())
		linkInvalid(t, w.activate(former, ""))
		noError(t, w.activate(token, ""))
		if n := len(w.Letters(u.GetEmail())); n != 2 {
			t.Errorf("%d mails", n)
		}
	})
}
