package service_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/types/known/fieldmaskpb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store"
)

// melee is many callers at once in one organization.
type melee struct {
	*servicetest.World
	org    string
	admins []servicetest.Person
	people []*identityv1.User
	mu     sync.Mutex
	said   map[string]int
	// changed is what the bulk calls said that they changed.
	changed int
}

var meleeAnswers = map[string]bool{
	"": true, "LAST_ADMINISTRATOR": true, "TOKEN_INVALID": true, "MATCH_CHANGED": true, "PERMISSION_DENIED": true, "GRANT_EXCEEDS_OWN": true,
}

func (m *melee) note(t *testing.T, err error) {
	reason := servicetest.Reason(err)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.said[reason]++
	if !meleeAnswers[reason] {
		t.Errorf("a caller was told %s", reason)
	}
}

func (m *melee) bulk(t *testing.T, r *rand.Rand, token string) {
	f := []*filter{{}, {Name: new("grace")}, {State: identityv1.User_ACTIVE}, {RoleId: new(servicetest.SuperUser)}, {State: identityv1.User_PENDING}}[r.IntN(5)]
	var resp *identityv1.BulkUsersResponse
	var err error
	switch r.IntN(3) {
	case 0:
		resp, err = enableAll(m.As(token), m.World, m.org, f)
	case 1:
		resp, err = disableAll(m.As(token), m.World, m.org, f)
	default:
		var preview *identityv1.BulkUsersResponse
		preview, err = m.Users.BulkDisableUsers(m.As(token), &identityv1.BulkDisableUsersRequest{OrganizationId: m.org, Filter: f, ValidateOnly: true})
		if err == nil {
			resp, err = m.Users.BulkDisableUsers(m.As(token), &identityv1.BulkDisableUsersRequest{
				OrganizationId: m.org, Filter: f, MatchToken: preview.GetMatchToken(),
			})
		}
	}
	m.note(t, err)
	if err == nil {
		m.mu.Lock()
		m.changed += int(resp.GetChanged())
		m.mu.Unlock()
	}
}

func (m *melee) work(t *testing.T, n int) {
	r := rand.New(rand.NewPCG(uint64(n), 21))
	for i := range 4 {
		token := m.Root
		if r.IntN(3) > 0 {
			token = m.admins[r.IntN(len(m.admins))].Token
		}
		as, id := m.As(token), m.people[r.IntN(len(m.people))].GetId()
		var err error
		switch (n + i) % 5 {
		case 0, 1:
			m.bulk(t, r, token)
			continue
		case 2:
			_, err = m.Users.EnableUser(as, &identityv1.EnableUserRequest{OrganizationId: m.org, Id: id})
		case 3:
			_, err = m.Users.UpdateUser(as, &identityv1.UpdateUserRequest{
				OrganizationId: m.org, User: &identityv1.User{Id: id, RoleIds: []string{servicetest.MonitoringUser}},
				UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"role_ids"}},
			})
		case 4:
			u := m.Draft()
			u.Email, u.Confirmed = ptr(fmt.Sprintf("invited-%d-%d@people.test", n, i)), nil
			_, err = m.Users.CreateUser(as, &identityv1.CreateUserRequest{OrganizationId: m.org, User: u})
		}
		m.note(t, err)
	}
}

// Twenty workers disable by filter, enable, take roles and invite at once: an
// administrator stays, what bulk calls say is what the events say, and the
// badges are a count of the rows.
func TestBulk_F21_Melee(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		org := w.NewOrg()
		m := &melee{World: w, org: org.GetId(), said: map[string]int{}, admins: []servicetest.Person{org.Admin}}
		for range 3 {
			m.admins = append(m.admins, w.NewPerson(m.org, servicetest.SuperUser))
		}
		for _, a := range m.admins {
			m.people = append(m.people, a.User)
		}
		for range 6 {
			m.people = append(m.people, w.CreateUser(m.org, servicetest.BusinessAdmin))
		}
		var wg sync.WaitGroup
		for n := range 20 {
			wg.Go(func() { m.work(t, n) })
		}
		wg.Wait()
		if m.said[""] == 0 || m.changed == 0 {
			t.Errorf("nothing was done: %v", m.said)
		}
		kept, err := w.Store.Badges(t.Context(), m.org)
		noError(t, err)
		counted, err := recount(t.Context(), w.Store, m.org)
		if err != nil || kept != counted {
			t.Errorf("badges %+v, rows %+v, %v", kept, counted, err)
		}
		m.history(t)
	})
}

// history follows the events from the first: at none of them is the
// organization without an administrator, and it ends where the rows are.
func (m *melee) history(t *testing.T) {
	t.Helper()
	events, err := trail(t.Context(), m.Store, m.org)
	noError(t, err)
	bulk, enabled, super, operations := 0, map[string]bool{}, map[string]bool{}, map[string]map[string]bool{}
	for i, e := range events {
		switch e.Type {
		case "user.created":
			enabled[e.Target], super[e.Target] = true, strings.Contains(e.Data["roles"], servicetest.SuperUser)
		case "user.enabled":
			enabled[e.Target] = true
		case "user.disabled":
			enabled[e.Target] = false
		case "user.updated":
			super[e.Target] = super[e.Target] && !strings.Contains(e.Data["dropped_roles"], servicetest.SuperUser)
		}
		committed := e.Operation == "" || i+1 == len(events) || events[i+1].Operation != e.Operation
		if committed && len(enabled) > 0 && !slices.ContainsFunc(m.admins, func(p servicetest.Person) bool { return enabled[p.GetId()] && super[p.GetId()] }) {
			t.Errorf("event %d leaves no administrator", e.Seq)
		}
		if e.Operation == "" {
			continue
		}
		bulk++
		if operations[e.Operation] == nil {
			operations[e.Operation] = map[string]bool{}
		}
		if operations[e.Operation][e.Target] {
			t.Errorf("%s twice in one operation", e.Target)
		}
		operations[e.Operation][e.Target] = true
	}
	if bulk != m.changed {
		t.Errorf("bulk calls changed %d, events tell of %d", m.changed, bulk)
	}
	users, err := m.Store.Users(t.Context(), m.org, store.UserFilter{}, store.Page{Order: "email", Limit: 1000})
	noError(t, err)
	for _, u := range users {
		if enabled[u.ID] != u.Enabled {
			t.Errorf("%s is enabled: %v, by the events: %v", u.Email, u.Enabled, enabled[u.ID])
		}
	}
	if n, err := administratorsOf(t.Context(), m.Store, m.org); n == 0 || err != nil {
		t.Errorf("%d administrators, %v", n, err)
	}
}
