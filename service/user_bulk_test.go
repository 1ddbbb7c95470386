package service_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

type filter = identityv1.ListUsersRequest_Filter

// disableAll and enableAll are the calls with their commonest arguments.
func disableAll(ctx context.Context, w *servicetest.World, org string, f *filter) (*identityv1.BulkUsersResponse, error) {
	return w.Users.BulkDisableUsers(ctx, &identityv1.BulkDisableUsersRequest{OrganizationId: org, Filter: f})
}

func enableAll(ctx context.Context, w *servicetest.World, org string, f *filter) (*identityv1.BulkUsersResponse, error) {
	return w.Users.BulkEnableUsers(ctx, &identityv1.BulkEnableUsersRequest{OrganizationId: org, Filter: f})
}

// briefly is a bulk answer in short: matched, changed, skipped and why, with
// short names for people.
func briefly(r *identityv1.BulkUsersResponse, short *strings.Replacer) string {
	var why []string
	for _, s := range r.GetSkipped() {
		why = append(why, fmt.Sprintf("%s %v", short.Replace(s.GetEmail()), s.GetReason()))
	}
	slices.Sort(why)
	return fmt.Sprintf("%d matched, %d changed, %d skipped: %s", r.GetMatched(), r.GetChanged(), r.GetSkippedTotal(), strings.Join(why, ", "))
}

// staff is an organization with people of several kinds.
type staff struct {
	*servicetest.World
	servicetest.Org
	people map[string]*identityv1.User
	helper servicetest.Person // a Business Administrator
}

func newStaff(t *testing.T, w *servicetest.World) *staff {
	t.Helper()
	s := &staff{World: w, Org: w.NewOrg(), people: map[string]*identityv1.User{}}
	for name, roles := range map[string][]string{
		"monitor": {servicetest.MonitoringUser}, "devops": {servicetest.DevOps}, "second": {servicetest.MonitoringUser}, "off": {servicetest.MonitoringUser},
		"pending": {servicetest.MonitoringUser},
	} {
		u := w.Draft(roles...)
		u.Email, u.FirstName = ptr(name+"@"+s.GetId()+".test"), ptr("Staff")
		if name == "pending" {
			u.Confirmed = nil
		}
		made, err := w.Users.CreateUser(w.As(w.Root), &identityv1.CreateUserRequest{OrganizationId: s.GetId(), User: u})
		noError(t, err)
		s.people[name] = made
	}
	_, err := w.Users.DisableUser(w.As(w.Root), &identityv1.DisableUserRequest{OrganizationId: s.GetId(), Id: s.people["off"].GetId()})
	noError(t, err)
	s.helper = w.NewPerson(s.GetId(), servicetest.BusinessAdmin)
	return s
}

func (s *staff) short() *strings.Replacer {
	return strings.NewReplacer(s.Admin.GetEmail(), "ADMIN", s.helper.GetEmail(), "HELPER", "@"+s.GetId()+".test", "")
}

// What a bulk call changes and skips; its preview says the same and changes nothing.
func TestBulk_D5(t *testing.T) {
	rows := []struct {
		rule   string
		helper bool // made by the Business Administrator
		enable bool
		filter func(s *staff) *filter
		want   string
	}{
		{"all but oneself", false, false, func(*staff) *filter { return &filter{} }, "7 matched, 5 changed, 1 skipped: ADMIN SELF"},
		{"by name", false, false, func(*staff) *filter { return &filter{Name: new("STAFF")} }, "5 matched, 4 changed, 0 skipped: "},
		{"by e-mail", false, false, func(*staff) *filter { return &filter{Email: new("monitor@")} }, "1 matched, 1 changed, 0 skipped: "},
		{"by the whole e-mail", false, false, func(s *staff) *filter {
			return &filter{EmailExact: new(strings.ToUpper(s.people["monitor"].GetEmail()))}
		}, "1 matched, 1 changed, 0 skipped: "},
		{"by the e-mail of nobody", false, false, func(*staff) *filter { return &filter{EmailExact: new("nobody@people.test")} }, "0 matched, 0 changed, 0 skipped: "},
		{"by state", false, false, func(*staff) *filter { return &filter{State: identityv1.User_PENDING} }, "1 matched, 1 changed, 0 skipped: "},
		{"those who are disabled already", false, false, func(*staff) *filter { return &filter{State: identityv1.User_DISABLED} }, "1 matched, 0 changed, 0 skipped: "},
		{"by role", false, false, func(*staff) *filter { return &filter{RoleId: new(servicetest.DevOps)} }, "1 matched, 1 changed, 0 skipped: "},
		{"enabling", false, true, func(*staff) *filter { return &filter{} }, "7 matched, 1 changed, 0 skipped: "},
		{"not those who hold more", true, false, func(*staff) *filter { return &filter{} }, "7 matched, 3 changed, 3 skipped: ADMIN GRANT_EXCEEDS_OWN, HELPER SELF, devops GRANT_EXCEEDS_OWN"},
		{"enabling those one may control", true, true, func(*staff) *filter { return &filter{Name: new("staff")} }, "5 matched, 1 changed, 0 skipped: "},
	}
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		for _, row := range rows {
			t.Run(row.rule, func(t *testing.T) {
				s := newStaff(t, w)
				as := w.As(s.Admin.Token)
				if row.helper {
					as = w.As(s.helper.Token)
				}
				before := stateOf(t, w, s.GetId())
				call := func(only bool, token string) *identityv1.BulkUsersResponse {
					t.Helper()
					var resp *identityv1.BulkUsersResponse
					var err error
					if row.enable {
						resp, err = w.Users.BulkEnableUsers(as, &identityv1.BulkEnableUsersRequest{Filter: row.filter(s), ValidateOnly: only, MatchToken: token})
					} else {
						resp, err = w.Users.BulkDisableUsers(as, &identityv1.BulkDisableUsersRequest{Filter: row.filter(s), ValidateOnly: only, MatchToken: token})
					}
					noError(t, err)
					return resp
				}
				preview := call(true, "")
				if diff := cmp.Diff(before, stateOf(t, w, s.GetId())); diff != "" {
					t.Errorf("a preview changed something:\n%s", diff)
				}
				got := call(false, preview.GetMatchToken())
				if !proto.Equal(preview, got) {
					t.Errorf("previewed %v, was %v", preview, got)
				}
				if text := briefly(got, s.short()); text != row.want {
					t.Errorf("%s, want %s", text, row.want)
				}
				s.sameAsRows(t, before, got, row.enable)
			})
		}
	})
}

// sameAsRows holds an answer against events, badges and rows.
func (s *staff) sameAsRows(t *testing.T, before state, got *identityv1.BulkUsersResponse, enable bool) {
	t.Helper()
	after := stateOf(t, s.World, s.GetId())
	counted, err := recount(t.Context(), s.Store, s.GetId())
	noError(t, err)
	if counted != after.Badges {
		t.Errorf("badges %+v, rows %+v", after.Badges, counted)
	}
	kind, operations, changed := "user.disabled", map[string]bool{}, map[string]bool{}
	if enable {
		kind = "user.enabled"
	}
	for _, e := range after.Events[len(before.Events):] {
		operations[e.Operation], changed[e.Target] = true, true
		if e.Type != kind || e.Operation == "" || e.Actor == "" || e.RequestID == "" || e.Source == "" {
			t.Errorf("an event %+v", e)
		}
	}
	if n := len(after.Events) - len(before.Events); n != int(got.GetChanged()) || len(changed) != n || len(operations) != min(n, 1) {
		t.Errorf("%d changed, but %d events of %d operations about %d people", got.GetChanged(), n, len(operations), len(changed))
	}
	for _, skipped := range got.GetSkipped() {
		if changed[skipped.GetId()] {
			t.Errorf("%v is skipped and changed", skipped)
		}
	}
	for i, u := range after.Users {
		if changed[u.ID] != (u.Enabled != before.Users[i].Enabled) || (changed[u.ID] && u.Version != before.Users[i].Version+1) {
			t.Errorf("%s: %v, then %v, in an event: %v", u.Email, before.Users[i].Enabled, u.Enabled, changed[u.ID])
		}
	}
}

// A match token is of one set, caller, method, organization and filter.
func TestBulk_D5_MatchToken(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		s := newStaff(t, w)
		admin, root, org := w.As(s.Admin.Token), w.As(w.Root), s.GetId()
		f := &filter{Name: new("staff")}
		preview := func() string {
			t.Helper()
			resp, err := w.Users.BulkDisableUsers(admin, &identityv1.BulkDisableUsersRequest{Filter: f, ValidateOnly: true})
			noError(t, err)
			return resp.GetMatchToken()
		}
		use := func(as context.Context, f *filter, token string) error {
			_, err := w.Users.BulkDisableUsers(as, &identityv1.BulkDisableUsersRequest{OrganizationId: org, Filter: f, MatchToken: token})
			return err
		}
		token := preview()
		refused := func(rule string, err error) {
			t.Helper()
			if servicetest.Reason(err) != "MATCH_CHANGED" {
				t.Errorf("%s: %v", rule, err)
			}
			servicetest.Refused(t, err, codes.Aborted, identityv1.Error_MATCH_CHANGED)
		}
		_, err := w.Users.BulkEnableUsers(admin, &identityv1.BulkEnableUsersRequest{Filter: f, MatchToken: token})
		refused("another method", err)
		refused("another caller", use(root, f, token))
		refused("another filter, the same people", use(admin, &filter{Name: new("Staff")}, token))
		refused("garbage", use(admin, f, "garbage"))
		refused("one bit more", use(admin, f, token+"A"))
		refused("another letter", use(admin, f, string(token[0]^1)+token[1:]))
		elsewhere := w.NewOrg()
		there, err := w.Users.BulkDisableUsers(root, &identityv1.BulkDisableUsersRequest{OrganizationId: elsewhere.GetId(), Filter: f, ValidateOnly: true})
		noError(t, err)
		refused("another organization", use(root, f, there.GetMatchToken()))

		made, err := w.Users.CreateUser(root, &identityv1.CreateUserRequest{OrganizationId: org, User: func() *identityv1.User {
			u := w.Draft()
			u.FirstName = ptr("Staff")
			return u
		}()})
		noError(t, err)
		refused("one more", use(admin, f, token))
		token = preview()
		noError(t, patch(root, w, org, &identityv1.User{Id: made.GetId(), FirstName: ptr("Other")}, "first_name"))
		noError(t, patch(root, w, org, &identityv1.User{Id: s.Admin.GetId(), FirstName: ptr("Staff")}, "first_name"))
		refused("as many others", use(admin, f, token))
		token = preview()
		_, err = w.Users.DisableUser(root, &identityv1.DisableUserRequest{OrganizationId: org, Id: s.people["monitor"].GetId()})
		noError(t, err)
		noError(t, use(admin, f, token)) // the same people, whatever became of them
	})
}

// A repeat with the same request id answers the first outcome and does no
// more, also where the first had nothing to do.
func TestBulk_D5_Retry(t *testing.T) {
	eachURL(t, func(t *testing.T, url string) {
		w := servicetest.New(t, url)
		s := newStaff(t, w)
		as, root, org := w.As(s.helper.Token), w.As(w.Root), s.GetId()
		for i, f := range []*filter{{}, {EmailExact: new(s.people["off"].GetEmail())}} {
			req := &identityv1.BulkDisableUsersRequest{Filter: f, RequestId: fmt.Sprintf("bulk %d", i)}
			first, err := w.Users.BulkDisableUsers(as, req)
			noError(t, err)
			_, err = enableAll(root, w, org, &filter{})
			noError(t, err)
			before := stateOf(t, w, org)
			for range 2 {
				again, err := w.Users.BulkDisableUsers(as, req)
				noError(t, err)
				if !proto.Equal(first, again) {
					t.Errorf("first %v, then %v", first, again)
				}
			}
			if diff := cmp.Diff(before, stateOf(t, w, org)); diff != "" {
				t.Errorf("a repeat changed something:\n%s", diff)
			}
			_, err = w.Users.BulkEnableUsers(as, &identityv1.BulkEnableUsersRequest{Filter: f, RequestId: req.GetRequestId()})
			servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_REQUEST_ID_REUSED)
			_, err = w.Users.BulkDisableUsers(as, &identityv1.BulkDisableUsersRequest{Filter: &filter{Name: new("x")}, RequestId: req.GetRequestId()})
			servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_REQUEST_ID_REUSED)
		}
		// What is remembered holds no address (RG-59).
		for _, row := range column(t, secondConnection(t, url), `SELECT * FROM request_ids`) {
			if strings.Contains(row, "@people.test") {
				t.Errorf("remembered: %s", row)
			}
		}
	})
}

// AC-04, AC-10: a filter reaches nobody of another organization, and a role of
// another organization is no role, in every call that takes a filter.
func TestBulk_AC10_Foreign(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, b := w.newTenant(), w.newTenant()
		before := stateOf(t, w.World, b.GetId())
		as := w.As(a.Admin.Token)
		foreign := map[string]*filter{
			"their address": {EmailExact: new(b.user.GetEmail())}, "part of it": {Email: new(b.user.GetEmail()[:6])}, "everybody": {},
			"their name": {Name: new(b.Admin.GetDisplayName())}, "a state": {State: identityv1.User_ACTIVE}, "a shared role": {RoleId: new(servicetest.MonitoringUser)},
		}
		for rule, f := range foreign {
			all, err := w.Users.ListUsers(as, &identityv1.ListUsersRequest{Filter: f, WithSummary: true})
			noError(t, err)
			for _, u := range all.GetUsers() {
				if u.GetOrganizationId() != a.GetId() {
					t.Errorf("%s lists %v", rule, u)
				}
			}
			got, err := disableAll(as, w.World, "", f)
			noError(t, err)
			if got.GetMatched() != all.GetTotalSize() || all.GetSummary().GetTotal() != all.GetTotalSize() {
				t.Errorf("%s: %v, listed %v", rule, got, all)
			}
			for _, skipped := range got.GetSkipped() {
				if skipped.GetId() != a.Admin.GetId() {
					t.Errorf("%s skips %v", rule, skipped)
				}
			}
			_, err = enableAll(as, w.World, "", f)
			noError(t, err)
		}
		for rule, role := range map[string]string{"foreign": b.role, "missing": randomID()} {
			f := &filter{RoleId: new(role)}
			_, list := w.Users.ListUsers(as, &identityv1.ListUsersRequest{Filter: f})
			_, off := disableAll(as, w.World, "", f)
			_, on := enableAll(as, w.World, "", f)
			for _, err := range []error{list, off, on} {
				if servicetest.Reason(err) != "NOT_FOUND" {
					t.Errorf("a %s role: %v", rule, err)
				}
			}
		}
		for _, org := range []string{b.GetId(), randomID()} {
			_, err := disableAll(as, w.World, org, &filter{})
			servicetest.Refused(t, err, codes.NotFound, identityv1.Error_NOT_FOUND)
		}
		_, err := disableAll(w.As(a.user.Token), w.World, "", &filter{})
		servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID) // disabled above
		_, err = disableAll(w.As(b.user.Token), w.World, "", &filter{})
		servicetest.Refused(t, err, codes.PermissionDenied, identityv1.Error_PERMISSION_DENIED)
		_, err = disableAll(as, w.World, "", nil)
		servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_INVALID_FIELDS)
		if diff := cmp.Diff(before, stateOf(t, w.World, b.GetId())); diff != "" {
			t.Errorf("the other organization is not what it was:\n%s", diff)
		}
	})
}

// The last administrator stays in every variant; the preview says so.
func TestBulk_AC08_LastAdministrator(t *testing.T) {
	rows := []struct {
		rule    string
		prepare func(*lastAdmin) error
		filter  func(*lastAdmin) *filter
		self    bool // made by the administrator, who is skipped
		refused bool
	}{
		{"all, by the platform", nil, func(*lastAdmin) *filter { return &filter{} }, false, true},
		{"the one, by the platform", nil, func(l *lastAdmin) *filter { return &filter{EmailExact: new(l.org.Admin.GetEmail())} }, false, true},
		{"by the role", nil, func(*lastAdmin) *filter { return &filter{RoleId: new(servicetest.SuperUser)} }, false, true},
		{"all, by oneself", nil, func(*lastAdmin) *filter { return &filter{} }, true, false},
		{"others", func(l *lastAdmin) error { l.CreateUser(l.org.GetId()); return nil }, func(*lastAdmin) *filter { return &filter{Name: new("grace")} }, false, false},
		{"one of two", func(l *lastAdmin) error { return l.add(asDrafted) }, func(*lastAdmin) *filter { return &filter{Name: new("grace")} }, false, false},
		{"both of two", func(l *lastAdmin) error { return l.add(asDrafted) }, func(*lastAdmin) *filter { return &filter{} }, false, true},
		{"one beside one who is pending", func(l *lastAdmin) error {
			return l.add(func(u *identityv1.User) { u.Confirmed = nil })
		}, func(*lastAdmin) *filter { return &filter{State: identityv1.User_ACTIVE} }, false, true},
		{"both, by the second", func(l *lastAdmin) error { return l.add(asDrafted) }, func(*lastAdmin) *filter { return &filter{RoleId: new(servicetest.SuperUser)} }, true, false},
		{"one by the permission alone", func(l *lastAdmin) error { return l.bare(administer) }, func(*lastAdmin) *filter { return &filter{Name: new("ada")} }, false, true},
	}
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		for _, row := range rows {
			t.Run(row.rule, func(t *testing.T) {
				org := w.NewOrg()
				l := &lastAdmin{World: w, org: org, id: org.Admin.GetId()}
				if row.prepare != nil {
					noError(t, row.prepare(l))
				}
				as := l.root()
				if row.self {
					as = l.self()
				}
				call := func(only bool) error {
					_, err := w.Users.BulkDisableUsers(as, &identityv1.BulkDisableUsersRequest{OrganizationId: org.GetId(), Filter: row.filter(l), ValidateOnly: only})
					return err
				}
				if row.refused {
					refusedWhole(t, l, func(*lastAdmin) error { return call(true) })
					refusedWhole(t, l, func(*lastAdmin) error { return call(false) })
					return
				}
				noError(t, call(true))
				noError(t, call(false))
				if n, err := administratorsOf(t.Context(), w.Store, org.GetId()); n == 0 || err != nil {
					t.Errorf("%d administrators, %v", n, err)
				}
			})
		}
	})
}
