package main

import (
	"bytes"
	"context"
	"database/sql"
	"net/http"
	"os"
	"path/filepath"
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
	const while = 3 * time.Second
	before, cpu := b.statements(ctx), spent(b.server.PID)+spentByAll(b.postgres.PID())
	time.Sleep(while)
	idle.statements = (b.statements(ctx) - before) / while.Seconds()
	idle.cpu = (spent(b.server.PID) + spentByAll(b.postgres.PID()) - cpu) / time.Duration(while.Seconds())
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
	resident  int64         // at rest, after one call
	floor     time.Duration // how long what cannot be saved takes
}

// measureStart starts the service some times beside the one that runs, from
// the start of the process to the answer to a call that reads rows, each time
// after its floor, and takes of both the time that was disturbed least.
func (b *bench) measureStart(ctx context.Context) (beginning, error) {
	var all []beginning
	var floors []time.Duration
	for range 5 {
		floor, err := b.startOfEcho(ctx)
		if err != nil {
			return beginning{}, err
		}
		floors = append(floors, floor)
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
	all[0].floor = slices.Min(floors)
	return all[0], nil
}

// startOfEcho is how long a Go program takes that serves gRPC and HTTP and
// does nothing, from its start to the first answer, and the database to answer
// one statement on a new connection.
func (b *bench) startOfEcho(ctx context.Context) (time.Duration, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	start := time.Now()
	c, err := rig.StartServer(ctx, filepath.Join(b.folder, "echo.log"), bytes.NewReader(b.recorded), nil, self, "echo")
	if err != nil {
		return 0, err
	}
	defer c.Stop()
	if err := b.introspect(c.REST, func(int) string { return b.agent.Token })(ctx, 0); err != nil {
		return 0, err
	}
	db, err := sql.Open("postgres", b.postgres.URL("postgres"))
	if err != nil {
		return 0, err
	}
	defer db.Close()
	var one int
	err = db.QueryRowContext(ctx, `SELECT 1`).Scan(&one)
	return time.Since(start), err
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
