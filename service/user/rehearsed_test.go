package user

import (
	"strconv"
	"testing"
)

// A dry run remembers a million addresses in no more than 11 MB, and none after that.
func TestRehearsed(t *testing.T) {
	r := newRehearsed()
	for i := range rehearsedAtMost + 1000 {
		if r.add(strconv.Itoa(i)) {
			t.Fatalf("%d was there before", i)
		}
	}
	for i := range rehearsedAtMost + 1000 {
		if before := r.add(strconv.Itoa(i)); before != (i < rehearsedAtMost) {
			t.Fatalf("%d: %t", i, before)
		}
	}
	bytes := 0
	for _, part := range r.parts {
		bytes += 8 * cap(part)
	}
	if bytes > 11<<20 {
		t.Errorf("%d bytes", bytes)
	}
}
