package service_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// invite makes a pending user of a customer, as its administrator.
func (w *world) invite(a *tenant, edits ...func(*identityv1.User)) *identityv1.User {
	w.T.Helper()
	draft := w.Draft()
	draft.Confirmed = nil
	for _, edit := range edits {
		edit(draft)
	}
	return must[*identityv1.User](w.T)(w.Users.CreateUser(w.As(a.Admin.Token), &identityv1.CreateUserRequest{User: draft}))
}

func noPassword(u *identityv1.User) { u.Password = nil }

// activate follows a link.
func (w *world) activate(token, password string) error {
	_, err := w.Users.ActivateUser(w.T.Context(), &identityv1.ActivateUserRequest{Token: token, Password: password})
	return err
}

func linkInvalid(t *testing.T, err error) {
	t.Helper()
	servicetest.Refused(t, err, codes.FailedPrecondition, identityv1.Error_LINK_INVALID)
}

// A person who is created pending gets a link, cannot sign in before it was
// followed, and can afterwards.
func TestActivate_AC09_BeforeSignIn(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		early := w.invite(a) // with the right password, and too early
		earlyLink, signIn := w.Link(early.GetEmail()), &identityv1.SignInRequest{Email: early.GetEmail(), Password: servicetest.InitialPassword}
		_, err := w.Sessions.SignIn(t.Context(), signIn)
		servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_CREDENTIALS_INVALID)
		noError(t, w.activate(earlyLink, ""))
		if resp, err := w.Sessions.SignIn(t.Context(), signIn); resp.GetPasswordChange() == nil {
			t.Errorf("afterwards: %v, %v", resp, err)
		}
		u := w.invite(a, noPassword)
		token := w.Link(u.GetEmail())
		_, err = w.Sessions.SignIn(t.Context(), &identityv1.SignInRequest{Email: u.GetEmail(), Password: servicetest.RootPassword})
		servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_CREDENTIALS_INVALID)
		resp := must[*identityv1.ActivateUserResponse](t)(w.Users.ActivateUser(t.Context(),
			&identityv1.ActivateUserRequest{Token: token, Password: servicetest.RootPassword}))
		if resp.GetEmail() != u.GetEmail() {
			t.Errorf("answer for %q", resp.GetEmail())
		}
		if w.SignIn(u.GetEmail(), servicetest.RootPassword) == "" {
			t.Error("the password that was chosen does not sign in")
		}
		got := must[*identityv1.User](t)(w.Users.GetUser(w.As(a.Admin.Token), &identityv1.GetUserRequest{Id: u.GetId()}))
		if got.GetState() != identityv1.User_ACTIVE {
			t.Errorf("the person is %v", got.GetState())
		}
		events := must[*identityv1.ListEventsResponse](t)(w.Events.ListEvents(w.As(a.Admin.Token), &identityv1.ListEventsRequest{
			Filter: &identityv1.ListEventsRequest_Filter{Type: new("user.activated"), TargetId: new(u.GetId())},
		})).GetEvents()
		if len(events) != 1 || events[0].GetActor().GetId() != u.GetId() {
			t.Errorf("events %v", events)
		}
	})
}

// Used, expired, replaced, cut, changed and unknown tokens are refused alike, to the byte.
func TestActivate_PW09_RefusedAlike(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		link := func() (string, *identityv1.User) {
			u := w.invite(a, noPassword)
			return w.Link(u.GetEmail()), u
		}
		used, _ := link()
		if err := w.activate(used, servicetest.RootPassword); err != nil {
			t.Fatal(err)
		}
		replaced, u := link()
		must[*identityv1.User](t)(w.Users.SendActivation(w.As(a.Admin.Token), &identityv1.SendActivationRequest{Id: u.GetId()}))
		open, _ := link()
		expired, _ := link()
		w.Clock.Add(72*time.Hour - time.Second)
		if err := w.activate(open, servicetest.RootPassword); err != nil {
			t.Errorf("a second before its end: %v", err)
		}
		w.Clock.Add(time.Second)
		answer := ""
		for name, token := range map[string]string{
			"used": used, "replaced": replaced, "expired": expired, "cut": expired[:len(expired)-1], "longer": expired + "A",
			"unknown": strings.Repeat("A", len(expired)), "no token": "x", "of another kind": a.user.Token[:150],
			"a refresh token": w.Tokens(a.user.GetEmail(), a.user.Password).GetRefreshToken(), "SQL": "' OR '1'='1",
		} {
			err := w.activate(token, servicetest.RootPassword)
			linkInvalid(t, err)
			p := marshal(status.Convert(err).Proto())
			if answer == "" {
				answer = p
			}
			if p != answer {
				t.Errorf("%s answers differently: %q, not %q", name, p, answer)
			}
		}
	})
}

// PW-09: the database holds no token that works.
func TestActivate_PW09_OnlyDigestsAreKept(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		token := w.Link(w.invite(a, noPassword).GetEmail())
		due := dueChange(t, w.World, w.CreateUser(a.GetId()).GetEmail())
		rows := dump(t, w.url, w.db)
		for what, text := range map[string]string{"link": token, "change of a password": due, "a part of it": due[len(due)/2:], "initial password": servicetest.InitialPassword} {
			if strings.Contains(rows, text) {
				t.Errorf("the rows hold the %s", what)
			}
		}
		for _, query := range []string{`SELECT digest FROM links`, `SELECT COALESCE(sealed, '') FROM outbox`, `SELECT data FROM events`, `SELECT key FROM directory`} {
			for _, text := range w.texts(query) {
				if strings.Contains(text, token) || linkWorks(w, text) {
					t.Errorf("%s holds a token: %q", query, text)
				}
			}
		}
	})
}

// texts is the one column of a query.
func (w *world) texts(query string) (texts []string) {
	w.T.Helper()
	rows, err := w.db.QueryContext(w.T.Context(), query)
	if err != nil {
		w.T.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var text []byte
		if err := rows.Scan(&text); err != nil {
			w.T.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	if err := rows.Err(); err != nil {
		w.T.Fatal(err)
	}
	return texts
}

func linkWorks(w *world, text string) bool {
	return len(text) > 0 && len(text) <= 200 && w.activate(strings.ToValidUTF8(text, ""), servicetest.RootPassword) == nil
}

// Fifty at once with one link: one succeeds.
func TestActivate_RG36_OnceOnly(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		u := w.invite(a)
		token := w.Link(u.GetEmail())
		other := identityv1.NewUserServiceClient(w.replica(t))
		var wait sync.WaitGroup
		errs := make(chan error, 50)
		for i := range 50 {
			users := w.Users
			if i%2 == 1 {
				users = other
			}
			wait.Go(func() {
				_, err := users.ActivateUser(t.Context(), &identityv1.ActivateUserRequest{Token: token})
				errs <- err
			})
		}
		wait.Wait()
		close(errs)
		won := 0
		for err := range errs {
			if err == nil {
				won++
				continue
			}
			servicetest.Refused(t, err, codes.FailedPrecondition, identityv1.Error_ALREADY_ACTIVATED)
		}
		if won != 1 {
			t.Errorf("%d succeeded", won)
		}
	})
}

// Every change of address, credential or state voids the links sent before,
// for good: RG-25.
func TestActivate_RG25_VoidAfterChanges(t *testing.T) {
	rows := map[string]func(w *world, a *tenant, u *identityv1.User) error{
		"another address, and back": func(w *world, a *tenant, u *identityv1.User) error {
			other := "other-" + u.GetEmail()
			return errors.Join(w.patch(a, &identityv1.User{Id: u.GetId(), Email: &other}, "email"),
				w.patch(a, &identityv1.User{Id: u.GetId(), Email: u.Email}, "email"))
		},
		"a password": func(w *world, a *tenant, u *identityv1.User) error {
			return w.patch(a, &identityv1.User{Id: u.GetId(), Password: ptr("Another#Horse8battery")}, "password")
		},
		"disabled": func(w *world, a *tenant, u *identityv1.User) error {
			_, err := w.Users.DisableUser(w.As(a.Admin.Token), &identityv1.DisableUserRequest{Id: u.GetId()})
			return err
		},
		"disabled and enabled": func(w *world, a *tenant, u *identityv1.User) error {
			_, err := w.Users.DisableUser(w.As(a.Admin.Token), &identityv1.DisableUserRequest{Id: u.GetId()})
			_, again := w.Users.EnableUser(w.As(a.Admin.Token), &identityv1.EnableUserRequest{Id: u.GetId()})
			return errors.Join(err, again)
		},
		"deleted": func(w *world, a *tenant, u *identityv1.User) error {
			_, err := w.Users.DeleteUser(w.As(a.Admin.Token), &identityv1.DeleteUserRequest{Id: u.GetId()})
			return err
		},
		"confirmed by the platform": func(w *world, a *tenant, u *identityv1.User) error {
			return patch(w.As(w.Root), w.World, a.GetId(), &identityv1.User{Id: u.GetId(), Confirmed: ptr(true)}, "confirmed")
		},
		"all tokens ended": func(w *world, a *tenant, u *identityv1.User) error {
			_, err := w.Accounts.RevokeTokens(w.As(a.Admin.Token), &identityv1.RevokeTokensRequest{Id: u.GetId()})
			return err
		},
		"the organization suspended": func(w *world, a *tenant, _ *identityv1.User) error {
			w.sql(`UPDATE organizations SET suspended = TRUE WHERE id = '` + a.GetId() + `'`)
			return nil
		},
	}
	eachWorld(t, func(t *testing.T, w *world) {
		for name, change := range rows {
			a := w.newTenant()
			u := w.invite(a, noPassword)
			token := w.Link(u.GetEmail())
			if err := change(w, a, u); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			t.Run(name, func(t *testing.T) { linkInvalid(t, w.activate(token, servicetest.RootPassword)) })
		}
	})
}

// RG-25: a link that was sent before somebody was disabled does not come back,
// however they are enabled; one that is sent then is good.
func TestActivate_RG25_Disabled(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		for name, enable := range map[string]func(ctx context.Context, u *identityv1.User) error{
			"enabled": func(ctx context.Context, u *identityv1.User) error {
				_, err := w.Users.EnableUser(ctx, &identityv1.EnableUserRequest{Id: u.GetId()})
				return err
			},
			"enabled with others": func(ctx context.Context, u *identityv1.User) error {
				_, err := w.Users.BulkEnableUsers(ctx, &identityv1.BulkEnableUsersRequest{Filter: &identityv1.ListUsersRequest_Filter{EmailExact: new(u.GetEmail())}})
				return err
			},
		} {
			a := w.newTenant()
			as := w.As(a.Admin.Token)
			u := w.invite(a, noPassword)
			token := w.Link(u.GetEmail())
			must[*identityv1.User](t)(w.Users.DisableUser(as, &identityv1.DisableUserRequest{Id: u.GetId()}))
			linkInvalid(t, w.activate(token, servicetest.RootPassword))
			noError(t, enable(as, u))
			t.Run(name, func(t *testing.T) { linkInvalid(t, w.activate(token, servicetest.RootPassword)) })
			must[*identityv1.User](t)(w.Users.SendActivation(as, &identityv1.SendActivationRequest{Id: u.GetId()}))
			noError(t, w.activate(w.Link(u.GetEmail()), servicetest.RootPassword))
		}
	})
}

func (w *world) patch(a *tenant, u *identityv1.User, paths ...string) error {
	_, err := w.Users.UpdateUser(w.As(a.Admin.Token), &identityv1.UpdateUserRequest{User: u, UpdateMask: &fieldmaskpb.FieldMask{Paths: paths}})
	return err
}

// A link is the person's who it was made for, with what they have.
func TestActivate_Password(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		without, with := w.invite(a, noPassword), w.invite(a)
		token := w.Link(without.GetEmail())
		servicetest.Refused(t, w.activate(token, "weak"), codes.InvalidArgument, identityv1.Error_WEAK_PASSWORD)
		refusedField(t, w.activate(token, ""), "password")
		if err := w.activate(token, servicetest.RootPassword); err != nil {
			t.Error("a refused password spent the link:", err)
		}
		token = w.Link(with.GetEmail())
		refusedField(t, w.activate(token, "Another#Horse8battery"), "password")
		if err := w.activate(token, ""); err != nil {
			t.Error(err)
		}
	})
}

// Of two who wait with the same address, the first who proves it has it.
func TestActivate_TakenMeanwhile(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, b := w.newTenant(), w.newTenant()
		first := w.invite(a)
		second := w.invite(b, func(u *identityv1.User) { u.Email = first.Email })
		tokens := map[string]string{} // the organization's name tells the mails apart
		for range 2 {
			l := w.Letter(first.GetEmail(), "/activate?token=")
			_, token, _ := strings.Cut(l.Text, "token=")
			token, _, _ = strings.Cut(token, "\n")
			for _, o := range []*tenant{a, b} {
				if strings.Contains(l.Text, "at "+o.GetDisplayName()+".") {
					tokens[o.GetId()] = token
				}
			}
		}
		if err := w.activate(tokens[b.GetId()], ""); err != nil {
			t.Fatal(err)
		}
		servicetest.Refused(t, w.activate(tokens[a.GetId()], ""), codes.AlreadyExists, identityv1.Error_EMAIL_TAKEN)
		_, err := w.Users.SendActivation(w.As(a.Admin.Token), &identityv1.SendActivationRequest{Id: first.GetId()})
		servicetest.Refused(t, err, codes.AlreadyExists, identityv1.Error_EMAIL_TAKEN)
		_, err = w.Users.SendActivation(w.As(b.Admin.Token), &identityv1.SendActivationRequest{Id: second.GetId()})
		servicetest.Refused(t, err, codes.FailedPrecondition, identityv1.Error_ALREADY_CONFIRMED)
	})
}

// SendActivation is for those who could become the person anyway, and not for flooding.
func TestSendActivation(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, b := w.newTenant(), w.newTenant()
		u := w.invite(a, func(u *identityv1.User) { u.RoleIds = []string{servicetest.Owner} })
		w.Link(u.GetEmail())
		send := func(token, id, request string) error {
			_, err := w.Users.SendActivation(w.As(token), &identityv1.SendActivationRequest{Id: id, RequestId: request})
			return err
		}
		lesser := w.NewPerson(a.GetId(), servicetest.BusinessAdmin)
		servicetest.Refused(t, send(lesser.Token, u.GetId(), ""), codes.PermissionDenied, identityv1.Error_GRANT_EXCEEDS_OWN)
		servicetest.Refused(t, send(a.user.Token, u.GetId(), ""), codes.PermissionDenied, identityv1.Error_PERMISSION_DENIED)
		servicetest.Refused(t, send(b.Admin.Token, u.GetId(), ""), codes.NotFound, identityv1.Error_NOT_FOUND)
		servicetest.Refused(t, send(a.Admin.Token, randomID(), ""), codes.NotFound, identityv1.Error_NOT_FOUND)
		servicetest.Refused(t, send(a.Admin.Token, a.user.GetId(), ""), codes.FailedPrecondition, identityv1.Error_ALREADY_CONFIRMED)
		for range 2 { // the same request: one mail
			if err := send(a.Admin.Token, u.GetId(), "again"); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.activate(w.Link(u.GetEmail()), ""); err != nil {
			t.Error("the new link:", err)
		}
		if n := len(w.Letters(u.GetEmail())); n != 2 {
			t.Errorf("%d mails", n)
		}
		v := w.invite(a)
		for range 4 { // the fifth is that of the beginning
			if err := send(a.Admin.Token, v.GetId(), ""); err != nil {
				t.Fatal(err)
			}
		}
		servicetest.Refused(t, send(a.Admin.Token, v.GetId(), ""), codes.ResourceExhausted, identityv1.Error_RATE_LIMITED)
		w.Clock.Add(time.Hour)
		if err := send(w.Tokens(a.Admin.GetEmail(), a.Admin.Password).GetAccessToken(), v.GetId(), ""); err != nil {
			t.Error("an hour later:", err)
		}
	})
}

// Whoever is confirmed at once gets no mail; an organization's first administrator gets one.
func TestActivationMails(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		email := "first@customer.test"
		resp := must[*identityv1.CreateOrganizationResponse](t)(w.Orgs.CreateOrganization(w.As(w.Root), &identityv1.CreateOrganizationRequest{
			Organization:  &identityv1.Organization{DisplayName: ptr("Customer")},
			Administrator: &identityv1.User{Email: &email, FirstName: ptr("Ada"), LastName: ptr("Admin")},
		}))
		if err := w.activate(w.Link(email), servicetest.RootPassword); err != nil {
			t.Fatal(err)
		}
		admin := w.SignIn(email, servicetest.RootPassword)
		me := must[*identityv1.GetMeResponse](t)(w.Users.GetMe(w.As(admin), &identityv1.GetMeRequest{}))
		if me.GetUser().GetOrganizationId() != resp.GetOrganization().GetId() {
			t.Error("the first administrator is somebody else")
		}
		confirmed := w.CreateUser("")
		pending := w.Draft()
		pending.Confirmed = nil
		must[*identityv1.User](t)(w.Users.CreateUser(w.As(w.Root), &identityv1.CreateUserRequest{User: pending}))
		w.Link(pending.GetEmail())
		if n := len(w.Letters(confirmed.GetEmail())); n != 0 {
			t.Errorf("%d mails to somebody who is confirmed", n)
		}
	})
}

// An answer to a repeated request holds nothing that the first did not.
func TestCreateUserAgain_OneMail(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		draft := w.Draft()
		draft.Confirmed = nil
		var first *identityv1.User
		for range 3 {
			u := must[*identityv1.User](t)(w.Users.CreateUser(w.As(w.Root), &identityv1.CreateUserRequest{User: draft, RequestId: "one"}))
			if first == nil {
				first = u
			}
			if !proto.Equal(first, u) {
				t.Errorf("%v, then %v", first, u)
			}
		}
		w.Link(draft.GetEmail())
		if n := len(w.Letters(draft.GetEmail())); n != 1 {
			t.Errorf("%d mails", n)
		}
	})
}

// Whoever is confirmed but has no password gets a link to choose one.
func TestActivate_ConfirmedWithoutPassword(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		root := w.As(w.Root)
		create := func(edit func(*identityv1.User)) *identityv1.User {
			draft := w.Draft()
			edit(draft)
			return must[*identityv1.User](t)(w.Users.CreateUser(root, &identityv1.CreateUserRequest{OrganizationId: a.GetId(), User: draft}))
		}
		rows := []struct {
			rule string
			make func() *identityv1.User
		}{
			{"created", func() *identityv1.User { return create(noPassword) }},
			{"vouched for later", func() *identityv1.User {
				u := create(func(u *identityv1.User) { u.Password, u.Confirmed = nil, nil })
				first := w.Link(u.GetEmail())
				must[*identityv1.User](t)(w.Users.UpdateUser(root, &identityv1.UpdateUserRequest{
					OrganizationId: a.GetId(), User: &identityv1.User{Id: u.GetId(), Confirmed: ptr(true)}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"confirmed"}},
				}))
				linkInvalid(t, w.activate(first, servicetest.RootPassword))
				return u
			}},
			{"asked for again", func() *identityv1.User {
				u := create(noPassword)
				w.Link(u.GetEmail())
				must[*identityv1.User](t)(w.Users.SendActivation(root, &identityv1.SendActivationRequest{OrganizationId: a.GetId(), Id: u.GetId()}))
				return u
			}},
			{"imported", func() *identityv1.User {
				email := w.Draft().GetEmail()
				req := &identityv1.ImportUsersRequest{OrganizationId: a.GetId(), SendActivation: true}
				got := imported(t, w, w.Root, req, "email,first_name,last_name,roles,confirmed\n"+email+",Ann,Ng,Monitoring User,true\n")
				if !got[0].GetActivationSent() {
					t.Errorf("the row says that no mail went: %v", got[0])
				}
				return &identityv1.User{Id: got[0].GetId(), Email: &email}
			}},
		}
		for _, row := range rows {
			u := row.make()
			token := w.Link(u.GetEmail())
			refusedField(t, w.activate(token, ""), "password")
			if err := w.activate(token, servicetest.RootPassword); err != nil {
				t.Errorf("%s: %v", row.rule, err)
				continue
			}
			w.SignIn(u.GetEmail(), servicetest.RootPassword)
			servicetest.Refused(t, w.activate(token, servicetest.RootPassword), codes.FailedPrecondition, identityv1.Error_ALREADY_ACTIVATED)
			_, err := w.Users.SendActivation(root, &identityv1.SendActivationRequest{OrganizationId: a.GetId(), Id: u.GetId()})
			servicetest.Refused(t, err, codes.FailedPrecondition, identityv1.Error_ALREADY_CONFIRMED)
		}
		got := imported(t, w, w.Root, &identityv1.ImportUsersRequest{OrganizationId: a.GetId()}, "email,first_name,last_name,roles,confirmed\nquiet@import.test,Ann,Ng,Monitoring User,true\n")
		if got[0].GetActivationSent() || len(w.Letters("quiet@import.test")) != 0 {
			t.Errorf("a mail went that nobody asked for: %v", got[0])
		}
	})
}

// A link is never mailed to somebody who could not follow it, and enabling mails anew.
func TestActivate_DisabledAndEnabled(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		as := w.As(a.Admin.Token)
		u := w.invite(a, noPassword)
		first := w.Link(u.GetEmail())
		flip := func(on bool) {
			t.Helper()
			var err error
			if on {
				_, err = w.Users.EnableUser(as, &identityv1.EnableUserRequest{Id: u.GetId()})
			} else {
				_, err = w.Users.DisableUser(as, &identityv1.DisableUserRequest{Id: u.GetId()})
			}
			noError(t, err)
		}
		mails := func() int { return w.number(`SELECT COUNT(*) FROM outbox WHERE principal_id = '` + u.GetId() + `'`) }
		flip(false)
		_, err := w.Users.SendActivation(as, &identityv1.SendActivationRequest{Id: u.GetId()})
		servicetest.Refused(t, err, codes.FailedPrecondition, identityv1.Error_USER_DISABLED)
		flip(true) // within ten minutes of the first link
		if n := mails(); n != 1 {
			t.Errorf("%d mails", n)
		}
		flip(false)
		w.Clock.Add(10 * time.Minute)
		admin := w.SignIn(a.Admin.GetEmail(), a.Admin.Password)
		as = w.As(admin)
		flip(true)
		second := w.Link(u.GetEmail())
		if n := mails(); n != 2 || second == first {
			t.Errorf("%d mails", n)
		}
		flip(false)
		flip(true)
		if n := mails(); n != 2 {
			t.Errorf("%d mails", n)
		}
		linkInvalid(t, w.activate(first, servicetest.RootPassword))
		linkInvalid(t, w.activate(second, servicetest.RootPassword)) // enabled again since
		w.Clock.Add(10 * time.Minute)
		as = w.As(w.SignIn(a.Admin.GetEmail(), a.Admin.Password))
		flip(false)
		flip(true)
		noError(t, w.activate(w.Link(u.GetEmail()), servicetest.RootPassword))
	})
}
