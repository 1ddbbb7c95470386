package user

import (
	"hash/maphash"
	"slices"
)

// rehearsedAtMost is how many addresses a dry run remembers, to find those that
// a file has twice; what comes later is compared with the database only.
const rehearsedAtMost = 1_000_000

// rehearsedParts keeps the parts of rehearsed so short that putting a digest in
// its place costs little.
const rehearsedParts = 1 << 12

// rehearsed are the addresses that a dry run would have created, by digests of
// 8 bytes: 10 MB for a million. That any two of a million have the same digest,
// so that one is wrongly told as there already, happens to one file in 37
// million; the seed is new each time, so nobody can look for such addresses.
type rehearsed struct {
	seed  maphash.Seed
	parts [rehearsedParts][]uint64 // each in order
	n     int
}

func newRehearsed() *rehearsed { return &rehearsed{seed: maphash.MakeSeed()} }

// add remembers an address, and tells whether it was there before.
func (r *rehearsed) add(key string) (before bool) {
	digest := maphash.String(r.seed, key)
	part := &r.parts[digest%rehearsedParts]
	at, before := slices.BinarySearch(*part, digest)
	if !before && r.n < rehearsedAtMost {
		*part = slices.Insert(*part, at, digest)
		r.n++
	}
	return before
}
