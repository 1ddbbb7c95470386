package servicetest

import (
	"sync/atomic"
	"testing"
	"time"
)

// waits is how long Eventually waits at most.
const waits = 30 * time.Second

// Eventually waits for what other goroutines bring about, and fails the test
// where it does not come.
func Eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(waits); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// Stopwatch is a monotonic clock that goes on by itself, and that tests move
// ahead instead of sleeping.
type Stopwatch struct {
	start time.Time
	ahead atomic.Int64
}

// NewStopwatch makes a stopwatch that begins now.
func NewStopwatch() *Stopwatch { return &Stopwatch{start: time.Now()} }

// Elapsed is the time since the beginning.
func (s *Stopwatch) Elapsed() time.Duration {
	return time.Since(s.start) + time.Duration(s.ahead.Load())
}

// Add moves the stopwatch ahead.
func (s *Stopwatch) Add(d time.Duration) { s.ahead.Add(int64(d)) }
