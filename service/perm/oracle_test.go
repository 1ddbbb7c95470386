package perm_test

import (
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bizmetry/identity/service/perm"
)

// The oracle: walk from the role and collect what is met. Slow and plain.
func naive(catalogue []string, roles []perm.Role, id string) map[string]bool {
	byID := map[string]perm.Role{}
	for _, r := range slices.Backward(roles) {
		byID[r.ID] = r
	}
	held, seen, next := map[string]bool{}, map[string]bool{}, []string{id}
	for len(next) > 0 {
		r, ok := byID[next[0]]
		next = next[1:]
		if !ok || seen[r.ID] {
			continue
		}
		seen[r.ID] = true
		for _, key := range catalogue {
			if r.Everything && !strings.HasPrefix(key, "system.") || slices.Contains(r.Permissions, key) {
				held[key] = true
			}
		}
		next = append(next, r.SubRoles...)
	}
	return held
}

var (
	someKey  = rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g", "system.x", "system.y", "system.", "systemic", "unknown", ""})
	someRole = rapid.SampledFrom([]string{"r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "nobody", ""})
)

func drawRoles(t *rapid.T) []perm.Role {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) perm.Role {
		return perm.Role{
			ID:          someRole.Draw(t, "id"),
			Everything:  rapid.IntRange(0, 9).Draw(t, "everything") == 0,
			Permissions: rapid.SliceOfN(someKey, 0, 2).Draw(t, "permissions"),
			SubRoles:    rapid.SliceOfN(someRole, 0, 3).Draw(t, "subRoles"),
		}
	}), 0, 10).Draw(t, "roles")
}

func drawCatalogue(t *rapid.T) []string {
	return rapid.SliceOfN(someKey, 0, 14).Draw(t, "catalogue")
}

func TestClosure_Oracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		catalogue, roles := drawCatalogue(t), drawRoles(t)
		m := perm.New(catalogue, roles)
		with := map[string][]string{}
		for _, r := range roles {
			want := slices.Sorted(maps.Keys(naive(catalogue, roles, r.ID)))
			got, ok := m.Role(r.ID)
			if !ok {
				t.Fatalf("role %q is not there", r.ID)
			}
			if diff := cmp.Diff(want, m.Keys(got)); diff != "" {
				t.Fatalf("role %q: %s", r.ID, diff)
			}
			for _, key := range want {
				if !slices.Contains(with[key], r.ID) {
					with[key] = append(with[key], r.ID)
				}
			}
		}
		for _, key := range catalogue {
			slices.Sort(with[key])
			if diff := cmp.Diff(with[key], m.RolesWith(key)); diff != "" {
				t.Fatalf("roles with %q: %s", key, diff)
			}
		}
	})
}

func TestHeld_Oracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		catalogue, roles := drawCatalogue(t), drawRoles(t)
		m := perm.New(catalogue, roles)
		const now = 5
		grants := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) perm.Grant {
			return perm.Grant{
				Role: someRole.Draw(t, "role"), Permission: someKey.Draw(t, "permission"),
				Expires: rapid.Int64Range(0, 10).Draw(t, "expires"),
			}
		}), 0, 8).Draw(t, "grants")
		until := rapid.Int64Range(0, 12).Draw(t, "until")

		longest := map[string]int64{}
		for _, g := range grants {
			end := g.Expires
			if end == 0 {
				end = math.MaxInt64
			}
			if end <= now {
				continue
			}
			keys := naive(catalogue, roles, g.Role)
			if slices.Contains(catalogue, g.Permission) {
				keys[g.Permission] = true
			}
			for key := range keys {
				longest[key] = max(longest[key], end)
			}
		}
		asked := rapid.SliceOf(someKey).Draw(t, "asked")
		missing := map[string]bool{}
		for _, key := range asked {
			held, need := longest[key], until
			if need == 0 {
				need = math.MaxInt64
			}
			if slices.Contains(catalogue, key) && (held == 0 || held < need) {
				missing[key] = true
			}
		}
		h := m.Held(grants, now)
		if diff := cmp.Diff(slices.Sorted(maps.Keys(longest)), m.Keys(h.Set())); diff != "" {
			t.Fatal("held:", diff)
		}
		got := m.Keys(h.Missing(m.Of(nil, asked), until))
		if diff := cmp.Diff(slices.Sorted(maps.Keys(missing)), got); diff != "" {
			t.Fatal("missing:", diff)
		}
	})
}
