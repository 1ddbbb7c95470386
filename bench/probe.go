package main

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/bizmetry/identity/rig"
)

// rest is what the service does when nobody asks it anything, in a second.
type rest struct {
	statements float64
	cpu        time.Duration // of the service and the database
}

// countStatements counts what the jobs ask of the database, per call, without
// what the service asks anyway.
func (b *bench) countStatements(ctx context.Context) (perCall map[string]float64, idle rest, err error) {
	track := func(what string) error {
		return b.postgres.exec(ctx, `ALTER SYSTEM SET pg_stat_statements.track = '`+what+`'`, `SELECT pg_reload_conf()`, `SELECT pg_sleep(0.2)`)
	}
	if err := track("top"); err != nil {
		return nil, idle, err
	}
	const pause = 3 * time.Second
	before, cpu := b.statements(ctx), spent(b.server.PID)+spentByAll(b.postgres.PID())
	time.Sleep(pause)
	idle.statements = (b.statements(ctx) - before) / pause.Seconds()
	idle.cpu = (spent(b.server.PID) + spentByAll(b.postgres.PID()) - cpu) / time.Duration(pause.Seconds())
	perCall = map[string]float64{}
	for _, j := range b.jobs {
		calls := b.scaled(j.calls[1])
		before, start := b.statements(ctx), time.Now()
		m := load(ctx, j, levels[1], calls, b.serial(j, calls))
		own := b.statements(ctx) - before - idle.statements*time.Since(start).Seconds()
		perCall[j.name] = max(0, own/float64(m.calls))
	}
	return perCall, idle, track("none")
}

// statements is how many the service has had run, or -1.
func (b *bench) statements(ctx context.Context) float64 {
	n := -1.0
	_ = b.postgres.db.QueryRowContext(ctx, `SELECT COALESCE(SUM(calls), 0) FROM pg_stat_statements WHERE query NOT LIKE '%pg\_%'`).Scan(&n)
	return n
}

// beginning is how the service starts on a schema that is current.
type beginning struct {
	took, cpu time.Duration
	resident  int64 // at rest, after one call
}

// measureStart starts the service some times beside the one that runs, from
// the start of the process to the answer to a call that reads rows, and takes
// the time that was disturbed least.
func (b *bench) measureStart(ctx context.Context) (beginning, error) {
	var all []beginning
	for range 5 {
		start := time.Now()
		c, err := b.serve(ctx)
		if err != nil {
			return beginning{}, err
		}
		one, err := b.firstAnswer(ctx, c, start)
		c.Stop()
		if err != nil {
			return beginning{}, err
		}
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b beginning) int { return int(a.took - b.took) })
	return all[0], nil
}

func (b *bench) firstAnswer(ctx context.Context, c *rig.Server, start time.Time) (one beginning, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.REST+"/v1/me", nil)
	if err != nil {
		return one, err
	}
	r.Header.Set("Authorization", "Bearer "+b.admin.Token)
	if _, err := b.do(r, `"displayName":`); err != nil {
		return one, err
	}
	one.took, one.cpu = time.Since(start), spent(c.PID)
	time.Sleep(2 * time.Second)
	one.resident, err = resident(c.PID)
	return one, err
}
