package main

import (
	"context"
	"sync"

	"github.com/bizmetry/identity/rig"
)

// deliveries sends every call one to three times, at once and through both
// servers, and some of them again long after.
func deliveries(ctx context.Context, t *trial) error {
	l, err := t.newLoad(ctx)
	if err != nil {
		return err
	}
	people, err := t.newPeople(ctx, l.org, rig.Developer, loadWorkers)
	if err != nil {
		return err
	}
	var sent tally
	copies := [...]string{"once", "twice", "three times"}
	for i, p := range people {
		w := &worker{load: l, person: p, rand: t.fork()}
		l.all.Go(func() {
			var late []change
			for range (t.size + i) / len(people) {
				c := w.nextMade()
				n := 1 + w.rand.IntN(len(copies))
				sent.add(copies[n-1])
				w.deliver(ctx, c, n, true)
				if w.rand.IntN(8) == 0 {
					late = append(late, c)
				}
			}
			for _, c := range late {
				sent.add("again later")
				w.deliver(ctx, c, 1, false)
			}
		})
	}
	if err := l.finish(ctx); err != nil {
		return err
	}
	t.note("%d changes, each found once; sent %v", len(l.book.entries), &sent)
	return nil
}

// nextMade is a change that makes something: what it carries a request id for.
func (w *worker) nextMade() change {
	for {
		if c := w.next(); c.Table != "" {
			return c
		}
	}
}

// deliver sends a change so many times at once. All are told the same.
func (w *worker) deliver(ctx context.Context, c change, times int, first bool) {
	told := make([]entry, times)
	var all sync.WaitGroup
	for i := range told {
		random := w.rand.Uint64()
		all.Go(func() { told[i], _ = w.acknowledge(ctx, c, randOf(random)) })
	}
	all.Wait()
	for _, e := range told {
		if e.Target != told[0].Target {
			w.t.fail("%s: deliveries were told %s and %s", e.Name, told[0].Target, e.Target)
		}
	}
	if first {
		w.enter(told[0])
	} else if e := told[0]; !w.book.has(e.Name, e.Target) {
		w.t.fail("%s: delivered again it was told %s", e.Name, e.Target)
	}
}
