package perm

import "math"

// Grant gives a role or a permission (or both) until a time in microseconds
// since 1970 UTC; 0 is for ever.
type Grant struct {
	Role, Permission string
	Expires          int64
}

// Held is what somebody holds, and until when: of several grants of one
// permission the longest counts. The zero Held holds nothing.
type Held struct {
	set   Set
	until []int64 // by bit; 0 is not held, forever never ends
}

const forever = math.MaxInt64

// Held adds up grants. Those that end at or before now are dropped.
func (m *Model) Held(grants []Grant, now int64) Held {
	until := make([]int64, len(m.keys))
	set := m.builder()
	for _, g := range grants {
		expires := g.Expires
		if expires == 0 {
			expires = forever
		}
		if expires < 0 || expires <= now {
			continue
		}
		granted := m.Of([]string{g.Role}, []string{g.Permission})
		set.addAll(granted)
		for bit := range granted.bits() {
			until[bit] = max(until[bit], expires)
		}
	}
	return Held{set: Set{set}, until: until}
}

// Set is what is held at all.
func (h Held) Set() Set { return h.set }

// Missing is the part of s that is not held at least until the given time,
// 0 meaning for ever. Whoever wants to grant s until then must miss nothing.
func (h Held) Missing(s Set, until int64) Set {
	if until == 0 {
		until = forever
	}
	missing := make(builder, len(s.words))
	for bit := range s.bits() {
		if !h.set.has(bit) || h.until[bit] < until {
			missing.add(bit)
		}
	}
	return Set{missing}
}

// MissingOf is the part of what other holds that h does not hold as long, or
// not until the given time (0: for ever) where that comes first. Whoever
// wants to act as other until then must miss nothing.
func (h Held) MissingOf(other Held, until int64) Set {
	if until == 0 {
		until = forever
	}
	missing := make(builder, len(other.set.words))
	for bit := range other.set.bits() {
		if !h.set.has(bit) || h.until[bit] < min(other.until[bit], until) {
			missing.add(bit)
		}
	}
	return Set{missing}
}
