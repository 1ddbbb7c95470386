package perm

import (
	"iter"
	"math/bits"
	"slices"
)

// Set is a set of permissions of one model. The zero Set is empty.
type Set struct {
	words []uint64 // never changed once a Set is handed out
}

// Union holds what either set holds.
func (s Set) Union(other Set) Set {
	if s.Contains(other) {
		return s
	}
	words := make([]uint64, max(len(s.words), len(other.words)))
	copy(words, s.words)
	for i, w := range other.words {
		words[i] |= w
	}
	return Set{words}
}

// Intersect holds what both sets hold.
func (s Set) Intersect(other Set) Set {
	words := make([]uint64, min(len(s.words), len(other.words)))
	for i := range words {
		words[i] = s.words[i] & other.words[i]
	}
	return Set{words}
}

// Contains tells whether s holds all of other.
func (s Set) Contains(other Set) bool {
	for i, w := range other.words {
		if w&^s.word(i) != 0 {
			return false
		}
	}
	return true
}

// Empty tells whether the set holds nothing.
func (s Set) Empty() bool {
	return !slices.ContainsFunc(s.words, func(w uint64) bool { return w != 0 })
}

// Equal tells whether both sets hold the same.
func (s Set) Equal(other Set) bool { return s.Contains(other) && other.Contains(s) }

func (s Set) word(i int) uint64 {
	if i < len(s.words) {
		return s.words[i]
	}
	return 0
}

func (s Set) has(bit int) bool { return s.word(bit/64)&(1<<(bit%64)) != 0 }

// bits yields the numbers of the permissions in the set, upwards.
func (s Set) bits() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, w := range s.words {
			for ; w != 0; w &= w - 1 {
				if !yield(64*i + bits.TrailingZeros64(w)) {
					return
				}
			}
		}
	}
}

// builder is a Set under construction.
type builder []uint64

func (b builder) add(bit int) { b[bit/64] |= 1 << (bit % 64) }

func (b builder) addAll(s Set) {
	for i, w := range s.words {
		b[i] |= w
	}
}
