package perm_test

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bizmetry/identity/service/perm"
)

func TestHeld(t *testing.T) {
	const now = 1_000
	read, write := []string{"users.read"}, []string{"users.write"}
	both := []string{"users.read", "users.write"}
	grant := func(expires int64, permission string) perm.Grant {
		return perm.Grant{Permission: permission, Expires: expires}
	}
	rows := []struct {
		rule    string
		grants  []perm.Grant
		held    []string
		asked   []string
		until   int64
		missing []string
	}{
		{rule: "nothing", asked: both, until: 0, missing: both},
		{rule: "nothing asked"},
		{rule: "for ever", grants: []perm.Grant{grant(0, "users.read")}, held: read, asked: read, until: 0},
		{rule: "for ever covers any time", grants: []perm.Grant{grant(0, "users.read")}, held: read, asked: read, until: math.MaxInt64},
		{rule: "one lacks", grants: []perm.Grant{grant(0, "users.read")}, held: read, asked: both, until: 0, missing: write},
		{rule: "a time does not cover for ever", grants: []perm.Grant{grant(2_000, "users.read")}, held: read, asked: read, until: 0, missing: read},
		{rule: "a time covers itself", grants: []perm.Grant{grant(2_000, "users.read")}, held: read, asked: read, until: 2_000},
		{rule: "a time covers no more", grants: []perm.Grant{grant(2_000, "users.read")}, held: read, asked: read, until: 2_001, missing: read},
		{rule: "the longest counts", grants: []perm.Grant{grant(3_000, "users.read"), grant(2_000, "users.read")}, held: read, asked: read, until: 3_000},
		{rule: "for ever is the longest", grants: []perm.Grant{grant(0, "users.read"), grant(2_000, "users.read")}, held: read, asked: read, until: 0},
		{rule: "expired", grants: []perm.Grant{grant(999, "users.read")}, asked: read, until: 1_001, missing: read},
		{rule: "expires now", grants: []perm.Grant{grant(now, "users.read")}, asked: read, until: 1_001, missing: read},
		{rule: "expires next", grants: []perm.Grant{grant(now+1, "users.read")}, held: read, asked: read, until: now + 1},
		{rule: "a negative expiry is long past", grants: []perm.Grant{grant(-1, "users.read")}, asked: read, until: 0, missing: read},
		{rule: "role and permission in one", grants: []perm.Grant{{Role: "reader", Permission: "users.write", Expires: 2_000}}, held: []string{"roles.read", "users.read", "users.write"}, asked: both, until: 2_000},
		{rule: "unknown ones", grants: []perm.Grant{{Role: "gone", Permission: "gone"}, {}}, asked: read, until: 0, missing: read},
		{rule: "a role for a while, one of its permissions for ever", grants: []perm.Grant{{Role: "editor", Expires: 2_000}, grant(0, "users.read")}, held: []string{"roles.read", "users.read", "users.write"}, asked: both, until: 0, missing: write},
	}
	m := perm.New(catalogue, roles)
	for _, r := range rows {
		t.Run(r.rule, func(t *testing.T) {
			h := m.Held(r.grants, now)
			if diff := cmp.Diff(r.held, m.Keys(h.Set())); diff != "" {
				t.Error("held:", diff)
			}
			if diff := cmp.Diff(r.missing, m.Keys(h.Missing(m.Of(nil, r.asked), r.until))); diff != "" {
				t.Error("missing:", diff)
			}
		})
	}
	var none perm.Held
	if got := m.Keys(none.Missing(m.Of(nil, read), 0)); !cmp.Equal(got, read) || !none.Set().Empty() {
		t.Errorf("the zero Held misses %v", got)
	}
}
