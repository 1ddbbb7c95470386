package outbox

import (
	"testing"
	"time"
)

// Tries become rarer, never further apart than an hour, and go on for about a
// day; no two messages keep step.
func TestRetryWait_F13(t *testing.T) {
	total, last, waits := time.Duration(0), time.Duration(0), map[time.Duration]bool{}
	for n := int64(1); n < maxAttempts; n++ {
		wait := retryWait(n)
		if wait > time.Hour || wait < firstRetry/2 {
			t.Errorf("after %d attempts %v", n, wait)
		}
		if n > 1 && wait <= last && wait < lastRetry*3/5 { // three fifths are the least of the longest
			t.Errorf("after %d attempts %v, before it %v", n, wait, last)
		}
		last = wait
		total += wait
		waits[wait] = true
	}
	if total < 16*time.Hour || total > 30*time.Hour {
		t.Errorf("given up after %v", total)
	}
	if len(waits) < maxAttempts*3/4 {
		t.Errorf("%d different waits", len(waits))
	}
}

func TestMasked(t *testing.T) {
	for to, want := range map[string]string{
		"ann@people.test": "a…@people.test", "ü@people.test": "ü…@people.test", "+491701234567": "…67", "": "…", "1": "…1", "@x": "…@x",
	} {
		if got := Masked(to); got != want {
			t.Errorf("%q: %q, want %q", to, got, want)
		}
	}
}
