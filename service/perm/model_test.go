package perm_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bizmetry/identity/service/perm"
)

var (
	catalogue = []string{"users.write", "users.read", "roles.read", "system.keys", "users.read"}
	roles     = []perm.Role{
		{ID: "reader", Permissions: []string{"users.read", "roles.read"}},
		{ID: "editor", Permissions: []string{"users.write"}, SubRoles: []string{"reader"}},
		{ID: "super", Everything: true},
		{ID: "operator", Permissions: []string{"system.keys"}, SubRoles: []string{"super"}},
		{ID: "ghosts", Permissions: []string{"gone"}, SubRoles: []string{"gone", "ghosts"}},
		{ID: "chicken", Permissions: []string{"users.read"}, SubRoles: []string{"egg"}},
		{ID: "egg", Permissions: []string{"users.write"}, SubRoles: []string{"chicken", "farm"}},
		{ID: "farm", Permissions: []string{"system.keys"}},
		{ID: "empty"},
		{ID: "empty", Everything: true}, // the second of one id counts nothing
	}
)

func TestRole(t *testing.T) {
	rows := []struct {
		id   string
		want []string
		ok   bool
	}{
		{"reader", []string{"roles.read", "users.read"}, true},
		{"editor", []string{"roles.read", "users.read", "users.write"}, true},
		{"super", []string{"roles.read", "users.read", "users.write"}, true},
		{"operator", []string{"roles.read", "system.keys", "users.read", "users.write"}, true},
		{"ghosts", nil, true},
		{"chicken", []string{"system.keys", "users.read", "users.write"}, true},
		{"egg", []string{"system.keys", "users.read", "users.write"}, true},
		{"empty", nil, true},
		{"gone", nil, false},
		{"", nil, false},
	}
	m := perm.New(catalogue, roles)
	for _, r := range rows {
		t.Run(r.id, func(t *testing.T) {
			s, ok := m.Role(r.id)
			if ok != r.ok {
				t.Errorf("ok = %t", ok)
			}
			if diff := cmp.Diff(r.want, m.Keys(s)); diff != "" {
				t.Error(diff)
			}
			if s.Empty() != (len(r.want) == 0) {
				t.Errorf("Empty = %t", s.Empty())
			}
			for _, key := range append(catalogue, "gone", "") {
				if got, want := m.Has(s, key), contains(r.want, key); got != want {
					t.Errorf("Has(%q) = %t", key, got)
				}
			}
		})
	}
}

func contains(keys []string, key string) bool {
	for _, k := range keys {
		if k == key {
			return true
		}
	}
	return false
}

func TestModel(t *testing.T) {
	m := perm.New(catalogue, roles)
	if !m.Known("users.read") || m.Known("gone") || m.Known("") {
		t.Error("Known does not know the catalogue")
	}
	all := m.Of([]string{"operator"}, nil)
	rows := []struct {
		rule      string
		got, want any
	}{
		{"roles and permissions add up", m.Keys(m.Of([]string{"reader"}, []string{"users.write"})), []string{"roles.read", "users.read", "users.write"}},
		{"unknown ones count nothing", m.Keys(m.Of([]string{"gone", ""}, []string{"gone", ""})), []string(nil)},
		{"without system permissions", m.Keys(m.WithoutSystem(all)), []string{"roles.read", "users.read", "users.write"}},
		{"roles with a permission", m.RolesWith("system.keys"), []string{"chicken", "egg", "farm", "operator"}},
		{"roles with an unknown one", m.RolesWith("gone"), []string(nil)},
		{"an empty catalogue", perm.New(nil, roles).RolesWith("users.read"), []string(nil)},
		{"no roles", perm.New(catalogue, nil).RolesWith("users.read"), []string(nil)},
	}
	for _, r := range rows {
		t.Run(r.rule, func(t *testing.T) {
			if diff := cmp.Diff(r.want, r.got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSet(t *testing.T) {
	m := perm.New(keys(130), nil) // three words
	set := func(bits ...int) perm.Set {
		var ks []string
		for _, b := range bits {
			ks = append(ks, key(b))
		}
		return m.Of(nil, ks)
	}
	var none perm.Set
	a, b := set(1, 64, 129), set(1, 2)
	rows := []struct {
		rule      string
		got, want any
	}{
		{"union", a.Union(b), set(1, 2, 64, 129)},
		{"union with nothing", a.Union(none), a},
		{"union of nothing", none.Union(a), a},
		{"intersection", a.Intersect(b), set(1)},
		{"intersection with nothing", a.Intersect(none), none},
		{"contains itself", a.Contains(a), true},
		{"contains a part", a.Contains(set(64)), true},
		{"contains nothing", none.Contains(none) && a.Contains(none) && none.Contains(set()), true},
		{"not more", a.Contains(b), false},
		{"nothing contains no more", none.Contains(b), false},
		{"empty", none.Empty() && set().Empty() && !a.Empty(), true},
		{"equal whatever the length", none.Equal(set()) && set().Equal(none) && !a.Equal(b) && !b.Equal(a), true},
	}
	for _, r := range rows {
		t.Run(r.rule, func(t *testing.T) {
			if diff := cmp.Diff(r.want, r.got); diff != "" {
				t.Error(diff)
			}
		})
	}
	// Operations leave their operands alone.
	if !a.Equal(set(1, 64, 129)) || !b.Equal(set(1, 2)) {
		t.Error("an operation changed its operand")
	}
}

func key(i int) string { return fmt.Sprintf("p.%05d", i) }

func keys(n int) []string {
	var ks []string
	for i := range n {
		ks = append(ks, key(i))
	}
	return ks
}

// big graphs of 10,000 edges in the shapes that hurt: a chain in the wrong
// order, one great cycle, and everybody pointing at many.
func big() map[string][]perm.Role {
	role := func(i int, subs ...int) perm.Role {
		r := perm.Role{ID: fmt.Sprint(i), Permissions: []string{key(i % 200)}}
		for _, s := range subs {
			r.SubRoles = append(r.SubRoles, fmt.Sprint(s))
		}
		return r
	}
	graphs := map[string][]perm.Role{}
	for i := range 10_000 {
		graphs["chain"] = append(graphs["chain"], role(i, i+1))
		graphs["cycle"] = append(graphs["cycle"], role(i, (i+1)%10_000))
	}
	for i := range 100 {
		var subs []int
		for s := range 100 {
			subs = append(subs, s)
		}
		graphs["dense"] = append(graphs["dense"], role(i, subs...))
	}
	return graphs
}

func TestNew_BigGraphs(t *testing.T) {
	catalogue := keys(200)
	for name, roles := range big() {
		t.Run(name, func(t *testing.T) {
			best := time.Hour // of five: other work on the machine is not our time
			for range 5 {
				begin := time.Now()
				m := perm.New(catalogue, roles)
				best = min(best, time.Since(begin))
				first, _ := m.Role("0")
				if got, want := len(m.Keys(first)), min(200, len(roles)); got != want {
					t.Fatalf("the first role has %d permissions, want %d", got, want)
				}
			}
			if best > raceFactor*50*time.Millisecond {
				t.Errorf("took %v", best)
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	catalogue := keys(200)
	for name, roles := range big() {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				perm.New(catalogue, roles)
			}
		})
	}
}

func BenchmarkContains(b *testing.B) {
	m := perm.New(keys(200), []perm.Role{{ID: "super", Everything: true}})
	all, one := m.Of([]string{"super"}, nil), m.Of(nil, []string{key(150)})
	for b.Loop() {
		all.Contains(one)
	}
}
