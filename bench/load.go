package main

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// levels are how many clients call at once.
var levels = [3]int{1, 16, 64}

// job is something that is called over and over.
type job struct {
	name string
	// calls is how many of them make a measurement, at each level.
	calls [3]int
	// call is one of them, the nth; a number comes once.
	call func(ctx context.Context, n int) error
	// pid is the process that does the work, besides the database.
	pid int
	// floor is what the job cannot cost less than: the sum of these.
	floor []string
}

// measurement is what calls of a job cost.
type measurement struct {
	calls, failed    int
	server, database time.Duration // CPU time
	took             []time.Duration
	err              error // one of those of the failed
}

// perThousand is CPU seconds per 1,000 calls, which is milliseconds a call.
func (m measurement) perThousand() (server, database float64) {
	return m.server.Seconds() * 1000 / float64(m.calls), m.database.Seconds() * 1000 / float64(m.calls)
}

// load calls a job with some clients: so many times, or until the context ends.
// The serial numbers begin with first.
func load(ctx context.Context, j *job, clients, calls, first int) measurement {
	var m measurement
	var mu sync.Mutex
	var next atomic.Int64
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			took := make([]time.Duration, 0, calls/clients+1)
			for ctx.Err() == nil {
				n := int(next.Add(1)) - 1
				if n >= calls {
					break
				}
				start := time.Now()
				err := j.call(ctx, first+n)
				took = append(took, time.Since(start))
				if err != nil && ctx.Err() == nil {
					mu.Lock()
					m.failed++
					m.err = err
					mu.Unlock()
				}
			}
			mu.Lock()
			m.took = append(m.took, took...)
			mu.Unlock()
		})
	}
	all.Wait()
	m.calls = len(m.took)
	return m
}

// measure is load with an account of what it cost.
func (b *bench) measure(ctx context.Context, j *job, clients, calls int) (measurement, error) {
	first := b.serial(j, calls)
	server, database := spent(j.pid), spentByAll(b.postgres.PID())
	m := load(ctx, j, clients, calls, first)
	m.server, m.database = spent(j.pid)-server, spentByAll(b.postgres.PID())-database
	return m, ctx.Err()
}

// serial reserves numbers for calls of a job.
func (b *bench) serial(j *job, calls int) int {
	first := b.used[j.name]
	b.used[j.name] += calls
	return first
}

// quantile of durations that are sorted.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// merge makes one measurement of several rounds: the median of their costs, so
// that a burst elsewhere on the machine counts for nothing, over all latencies.
func merge(rounds []measurement) (m measurement) {
	if len(rounds) == 0 { // not asked for
		return m
	}
	servers, databases := make([]float64, len(rounds)), make([]float64, len(rounds))
	for i, r := range rounds {
		servers[i], databases[i] = r.perThousand()
		m.calls, m.failed = m.calls+r.calls, m.failed+r.failed
		m.took = append(m.took, r.took...)
		if r.err != nil {
			m.err = r.err
		}
	}
	slices.Sort(m.took)
	calls := float64(time.Second) / 1000 * float64(m.calls)
	m.server = time.Duration(median(servers) * calls)
	m.database = time.Duration(median(databases) * calls)
	return m
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
