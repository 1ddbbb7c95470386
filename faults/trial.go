package main

import (
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// trial is one run of a scenario: what it finds, and what it measures.
type trial struct {
	*lab
	out   io.Writer
	name  string
	size  int
	rand  *rand.Rand // of the goroutine that runs the scenario; others get one from fork
	slack time.Duration

	mu     sync.Mutex
	broken int
}

// brokenAtMost bounds how much is printed of what a scenario finds.
const brokenAtMost = 10

// newRand makes the randomness of a scenario, the same for the same seed.
func newRand(seed uint64, name string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return rand.New(rand.NewPCG(seed, h.Sum64())) //nolint:gosec // it has to repeat
}

// fork makes randomness for a goroutine.
func (t *trial) fork() *rand.Rand {
	return rand.New(rand.NewPCG(t.rand.Uint64(), t.rand.Uint64())) //nolint:gosec // it has to repeat
}

func randOf(seed uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // it has to repeat
}

// fail notes that something is not as it must be.
func (t *trial) fail(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.broken++; t.broken <= brokenAtMost {
		fmt.Fprintf(t.out, "  BROKEN %s: "+format+"\n", append([]any{t.name}, args...)...)
	}
}

func (t *trial) failed() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.broken
}

// note prints a figure.
func (t *trial) note(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.out, "  "+format+"\n", args...)
}

// within holds a duration against a bound of the contract.
func (t *trial) within(what string, took, bound time.Duration) {
	if took > bound+t.slack {
		t.fail("%s took %v, more than %v", what, took.Round(time.Millisecond), bound)
	}
}

// times are durations of the same thing, measured by many goroutines.
type times struct {
	mu  sync.Mutex
	all []time.Duration
}

func (t *times) add(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, d)
}

func (t *times) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.all) == 0 {
		return "none"
	}
	slices.Sort(t.all)
	at := func(q float64) time.Duration {
		return t.all[min(int(q*float64(len(t.all))), len(t.all)-1)].Round(100 * time.Microsecond)
	}
	return fmt.Sprintf("%d: p50 %v, p99 %v, worst %v", len(t.all), at(.5), at(.99), at(1))
}

// tally counts things by name.
type tally struct {
	mu sync.Mutex
	n  map[string]int
}

func (t *tally) add(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == nil {
		t.n = map[string]int{}
	}
	t.n[name]++
}

// butFor counts all but those of a name.
func (t *tally) butFor(name string) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for other, count := range t.n {
		if other != name {
			n += count
		}
	}
	return n
}

func (t *tally) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	parts := make([]string, 0, len(t.n))
	for name, n := range t.n {
		parts = append(parts, fmt.Sprintf("%s %d", name, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// parallel runs work for each number below n, some at a time.
func parallel(n, atOnce int, work func(i int)) {
	var all sync.WaitGroup
	next := make(chan int)
	for range min(n, atOnce) {
		all.Go(func() {
			for i := range next {
				work(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	all.Wait()
}
