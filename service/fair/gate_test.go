package fair_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bizmetry/identity/service/fair"
)

// enter takes a place at once, or fails the test.
func enter(t *testing.T, g *fair.Gate, of fair.Payer, weight int64) fair.Place {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	place, err := g.Enter(ctx, of, weight)
	if err != nil {
		t.Fatalf("%v: %v", of, err)
	}
	return place
}

// line lets payers wait one after the other, and tells in which order they come in.
type line struct {
	t      *testing.T
	gate   *fair.Gate
	served chan string
	places map[string]*fair.Place
	mu     sync.Mutex
	done   sync.WaitGroup
	queued int
}

func (l *line) wait(name string, of fair.Payer, weight int64) {
	l.t.Helper()
	l.done.Go(func() {
		place, err := l.gate.Enter(l.t.Context(), of, weight)
		if err != nil {
			l.served <- name + ": " + err.Error()
			return
		}
		l.mu.Lock()
		l.places[name] = &place
		l.mu.Unlock()
		l.served <- name
	})
	l.queued++
	for l.gate.Waiting() != int64(l.queued) {
		time.Sleep(time.Millisecond)
	}
}

// next is who was let in next.
func (l *line) next() string {
	l.t.Helper()
	select {
	case name := <-l.served:
		l.queued--
		return name
	case <-time.After(10 * time.Second):
		l.t.Fatal("nobody was let in")
		return ""
	}
}

func (l *line) leave(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.places[name].Leave()
}

func newLine(t *testing.T, cfg fair.Config) *line {
	return &line{t: t, gate: fair.NewGate(cfg), served: make(chan string, 100), places: map[string]*fair.Place{}}
}

func TestGate_WhoHoldsLeastComesNext(t *testing.T) {
	l := newLine(t, fair.Config{Capacity: 2, Waiting: 10})
	first, second := enter(t, l.gate, fair.Payer{Group: "a", Member: "1"}, 1), enter(t, l.gate, fair.Payer{Group: "a", Member: "1"}, 1)
	l.wait("a1", fair.Payer{Group: "a", Member: "1"}, 1)
	l.wait("a2", fair.Payer{Group: "a", Member: "2"}, 1)
	l.wait("b", fair.Payer{Group: "b", Member: "1"}, 1)
	first.Leave()
	if got := l.next(); got != "b" {
		t.Errorf("%s came first, want b, whose group holds nothing", got)
	}
	second.Leave()
	if got := l.next(); got != "a2" {
		t.Errorf("%s came next, want a2, who holds nothing", got)
	}
	l.leave("b")
	if got := l.next(); got != "a1" {
		t.Errorf("%s came last, want a1", got)
	}
	l.done.Wait()
}

func TestGate_EqualsTakeTurns(t *testing.T) {
	l := newLine(t, fair.Config{Capacity: 1, Waiting: 10})
	held := enter(t, l.gate, fair.Payer{Group: "a", Member: "1"}, 1)
	l.wait("a1", fair.Payer{Group: "a", Member: "1"}, 1)
	l.wait("a2", fair.Payer{Group: "a", Member: "1"}, 1)
	l.wait("b1", fair.Payer{Group: "b", Member: "1"}, 1)
	l.wait("b2", fair.Payer{Group: "b", Member: "1"}, 1)
	held.Leave()
	for _, want := range []string{"b1", "a1", "b2", "a2"} {
		if got := l.next(); got != want {
			t.Fatalf("%s came, want %s", got, want)
		}
		l.leave(want)
	}
	l.done.Wait()
}

func TestGate_AFullQueueRefusesWhoWaitsMost(t *testing.T) {
	l := newLine(t, fair.Config{Capacity: 1, Waiting: 3})
	held := enter(t, l.gate, fair.Payer{Group: "a", Member: "1"}, 1)
	for _, name := range []string{"a1", "a2", "a3"} {
		l.wait(name, fair.Payer{Group: "a", Member: "1"}, 1)
	}
	if _, err := l.gate.Enter(t.Context(), fair.Payer{Group: "a", Member: "1"}, 1); !errors.Is(err, fair.ErrFull) {
		t.Errorf("one more of a: %v, want ErrFull", err)
	}
	l.queued-- // b takes the place of a3
	l.wait("b", fair.Payer{Group: "b", Member: "1"}, 1)
	if got := l.next(); got != "a3: "+fair.ErrFull.Error() {
		t.Errorf("%s, want a3 refused", got)
	}
	l.queued++
	held.Leave()
	for _, want := range []string{"b", "a1", "a2"} {
		if got := l.next(); got != want {
			t.Fatalf("%s came, want %s", got, want)
		}
		l.leave(want)
	}
	l.done.Wait()
}

func TestGate_SharesBoundGroupAndMember(t *testing.T) {
	g := fair.NewGate(fair.Config{Capacity: 10, OfGroup: 6, OfMember: 4})
	a := enter(t, g, fair.Payer{Group: "a", Member: "1"}, 4)
	for _, c := range []struct {
		of     fair.Payer
		weight int64
		want   error
	}{
		{fair.Payer{Group: "a", Member: "1"}, 1, fair.ErrFull},
		{fair.Payer{Group: "a", Member: "2"}, 3, fair.ErrFull},
		{fair.Payer{Group: "a", Member: "2"}, 2, nil},
		{fair.Payer{Group: "b", Member: "1"}, 100, nil}, // counts as 4, all that a member may have
		{fair.Payer{Group: "c", Member: "1"}, 1, fair.ErrFull},
	} {
		if _, err := g.Enter(t.Context(), c.of, c.weight); !errors.Is(err, c.want) {
			t.Errorf("%v takes %d: %v, want %v", c.of, c.weight, err, c.want)
		}
	}
	a.Shrink(1)
	a.Shrink(2) // nothing is taken again
	enter(t, g, fair.Payer{Group: "c", Member: "1"}, 3)
}

func TestGate_SpareRoomWhereAnotherGroupKeepsComing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := fair.NewGate(fair.Config{Capacity: 2, Spare: 1})
		a, b := fair.Payer{Group: "a", Member: "1"}, fair.Payer{Group: "b", Member: "1"}
		first, second := enter(t, g, a, 1), enter(t, g, a, 1) // nobody else is there
		first.Leave()
		second.Leave()

		other := enter(t, g, b, 1)
		other.Leave()
		enter(t, g, a, 1)
		if _, err := g.Enter(t.Context(), a, 1); !errors.Is(err, fair.ErrFull) {
			t.Errorf("a takes all while b keeps coming: %v, want ErrFull", err)
		}
		other = enter(t, g, b, 1)
		other.Leave()
		time.Sleep(time.Second)
		enter(t, g, a, 1) // b stays away
	})
}

func TestGate_WhoGivesUpKeepsNothing(t *testing.T) {
	g := fair.NewGate(fair.Config{Capacity: 1, Waiting: 1})
	held := enter(t, g, fair.Payer{Group: "a"}, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := g.Enter(ctx, fair.Payer{Group: "b"}, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the context's error", err)
	}
	held.Leave()
	held.Leave() // gives back once
	enter(t, g, fair.Payer{Group: "b"}, 1)
}

// Whatever comes and goes at once, no more is in use than may be, and in the end nothing.
func TestGate_NeverHoldsMoreThanItMay(t *testing.T) {
	g := fair.NewGate(fair.Config{Capacity: 8, OfGroup: 6, OfMember: 4, Waiting: 20})
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(i)))
			for range 300 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(r.IntN(2000))*time.Microsecond)
				place, err := g.Enter(ctx, fair.Payer{Group: string(rune('a' + r.IntN(3))), Member: string(rune('0' + r.IntN(3)))}, 1+r.Int64N(5))
				cancel()
				if held := g.Held(); held > 8 {
					t.Errorf("%d are in use", held)
				}
				if err == nil && r.IntN(2) == 0 {
					place.Shrink(1)
				}
				place.Leave()
			}
		})
	}
	all.Wait()
	if g.Held() != 0 || g.Waiting() != 0 {
		t.Errorf("%d are held and %d wait after all have left", g.Held(), g.Waiting())
	}
	enter(t, g, fair.Payer{Group: "z"}, 4)
}

// Ten thousand payers leave no more records than are kept.
func TestGate_ForgetsWhoIsIdle(t *testing.T) {
	g := fair.NewGate(fair.Config{Capacity: 1})
	for i := range 10_000 {
		place := enter(t, g, fair.Payer{Group: string(rune(i)), Member: "x"}, 1)
		place.Leave()
	}
	if n := g.Known(); n > 4096 {
		t.Errorf("%d payers are remembered", n)
	}
}
