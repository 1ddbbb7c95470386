package perm

import (
	"maps"
	"slices"
	"strings"
)

// Role is a role as it is written down.
type Role struct {
	ID          string
	Everything  bool     // every permission of the catalogue that does not start with "system."
	Permissions []string // keys held besides
	SubRoles    []string // ids of roles whose permissions are held too
}

// Model answers what roles amount to.
type Model struct {
	keys     []string       // sorted; a permission's bit is its place here
	bit      map[string]int // the other way round
	ordinary Set            // all but system permissions
	roles    map[string]Set // the closure of each role
	ids      []string       // of the roles, sorted
}

// New works out the closure of every role. Permissions and sub-roles that are
// not in the lists are ignored; of two roles with one id the first counts.
func New(permissions []string, roles []Role) *Model {
	m := &Model{keys: slices.Compact(slices.Sorted(slices.Values(permissions)))}
	m.bit = make(map[string]int, len(m.keys))
	ordinary := m.builder()
	for i, key := range m.keys {
		m.bit[key] = i
		if !strings.HasPrefix(key, SystemPrefix) {
			ordinary.add(i)
		}
	}
	m.ordinary = Set{ordinary}
	m.roles = closures(m, roles)
	m.ids = slices.Sorted(maps.Keys(m.roles))
	return m
}

// Known tells whether the catalogue has the permission.
func (m *Model) Known(key string) bool {
	_, ok := m.bit[key]
	return ok
}

// Role gives a role's closure; ok is false for an unknown role.
func (m *Model) Role(id string) (s Set, ok bool) {
	s, ok = m.roles[id]
	return s, ok
}

// Of gives what these roles and permissions amount to. Unknown ones count nothing.
func (m *Model) Of(roles, permissions []string) Set {
	b := m.builder()
	for _, id := range roles {
		b.addAll(m.roles[id])
	}
	for _, key := range permissions {
		if bit, ok := m.bit[key]; ok {
			b.add(bit)
		}
	}
	return Set{b}
}

// RolesWith lists the ids of the roles whose closure has the permission, sorted.
func (m *Model) RolesWith(key string) []string {
	bit, ok := m.bit[key]
	if !ok {
		return nil
	}
	var ids []string
	for _, id := range m.ids {
		if m.roles[id].has(bit) {
			ids = append(ids, id)
		}
	}
	return ids
}

// Keys lists the permissions of a set, sorted.
func (m *Model) Keys(s Set) []string {
	var keys []string
	for bit := range s.bits() {
		if bit < len(m.keys) {
			keys = append(keys, m.keys[bit])
		}
	}
	return keys
}

// Has tells whether the set holds the permission.
func (m *Model) Has(s Set, key string) bool {
	bit, ok := m.bit[key]
	return ok && s.has(bit)
}

// WithoutSystem drops the system permissions.
func (m *Model) WithoutSystem(s Set) Set { return s.Intersect(m.ordinary) }

func (m *Model) builder() builder { return make(builder, (len(m.keys)+63)/64) }
