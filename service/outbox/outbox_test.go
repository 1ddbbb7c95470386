package outbox

import (
	"testing"
	"time"
)

// Tries become rarer, never further apart than an hour, and go on for about a
// day, wherever the wait falls in its range; the range is half of the wait wide.
func TestRetryWait_F13(t *testing.T) {
	for _, by := range []float64{0, 0.5, 1} {
		total, last := time.Duration(0), time.Duration(0)
		for n := int64(1); n < maxAttempts; n++ {
			wait := retryWait(n, by)
			if wait > time.Hour || wait < firstRetry*3/4 || wait < last {
				t.Errorf("after %d attempts %v, before it %v", n, wait, last)
			}
			if least, most := retryWait(n, 0), retryWait(n, 1); most-least < least/2 {
				t.Errorf("after %d attempts from %v to %v: what failed together comes back together", n, least, most)
			}
			last = wait
			total += wait
		}
		if total < 16*time.Hour || total > 37*time.Hour {
			t.Errorf("given up after %v", total)
		}
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
