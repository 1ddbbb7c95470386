package perm

// closures works out what every role amounts to in one walk over the edges.
//
// Roles that reach each other amount to the same, so the unit of work is such
// a group (a strongly connected component), found by Tarjan's algorithm. It
// completes a group only after every group below it. A plain memoised walk
// would be wrong here: inside a cycle it keeps half-finished answers.
func closures(m *Model, roles []Role) map[string]Set {
	w := &walk{model: m, number: make(map[string]int, len(roles))}
	for _, r := range roles {
		if _, ok := w.number[r.ID]; !ok {
			w.number[r.ID] = len(w.roles)
			w.roles = append(w.roles, r)
		}
	}
	w.met = make([]int, len(w.roles))
	w.done = make([]bool, len(w.roles))
	w.closed = make([]Set, len(w.roles))
	for n := range w.roles {
		if w.met[n] == 0 {
			w.visit(n)
		}
	}
	all := make(map[string]Set, len(w.roles))
	for n, r := range w.roles {
		all[r.ID] = w.closed[n]
	}
	return all
}

type walk struct {
	model  *Model
	number map[string]int // a role's place in the lists below
	roles  []Role
	met    []int  // when the walk came by, from 1; 0 is not yet
	clock  int    // the last of these
	open   []int  // met, but their group is not complete
	done   []bool // the group is complete
	closed []Set  // what it amounts to, once done
}

// visit walks the role and all below it. It returns when the earliest open
// role that is reachable was met; if that is the role itself, everything
// opened since is its group.
func (w *walk) visit(n int) (earliest int) {
	w.clock++
	mine, start := w.clock, len(w.open)
	w.met[n] = mine
	w.open = append(w.open, n)
	earliest = mine
	for _, id := range w.roles[n].SubRoles {
		sub, known := w.number[id]
		if !known || w.done[sub] {
			continue
		}
		reached := w.met[sub]
		if reached == 0 {
			reached = w.visit(sub)
		}
		if !w.done[sub] { // a group that the visit completed leads nowhere back
			earliest = min(earliest, reached)
		}
	}
	if earliest == mine {
		w.complete(w.open[start:])
		w.open = w.open[:start]
	}
	return earliest
}

// complete gives each role of a group the permissions of all of them and of
// the groups below.
func (w *walk) complete(group []int) {
	b := w.model.builder()
	for _, n := range group {
		r := w.roles[n]
		if r.Everything {
			b.addAll(w.model.ordinary)
		}
		for _, key := range r.Permissions {
			if bit, ok := w.model.bit[key]; ok {
				b.add(bit)
			}
		}
		for _, id := range r.SubRoles {
			if sub, known := w.number[id]; known {
				b.addAll(w.closed[sub]) // still empty for the group's own
			}
		}
	}
	for _, n := range group {
		w.closed[n] = Set{b}
		w.done[n] = true
	}
}
