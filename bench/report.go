package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report prints everything as Markdown.
func (b *bench) report(ctx context.Context, out io.Writer) error {
	progress("count statements, start another service")
	loaded, err := resident(b.server.PID)
	if err != nil {
		return err
	}
	counts, idle, err := b.countStatements(ctx)
	if err != nil {
		return err
	}
	begin, err := b.measureStart(ctx)
	if err != nil {
		return err
	}
	info, err := os.Stat(b.program)
	if err != nil {
		return err
	}
	version, err := b.postgres.version(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %d cores (%s), Go %s, PostgreSQL %s with fsync over a Unix socket, %d users.\n\n",
		time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), processor(), strings.TrimPrefix(runtime.Version(), "go"), version, len(b.users))
	b.printGoals(out, begin, info.Size(), counts)
	b.printJobs(out, counts)
	b.printFloors(out)
	fmt.Fprintf(out, "\nThe service at rest: %.1f statements and %.1f ms CPU a second with the database. Memory after the load: %.0f MiB.\n",
		idle.statements, idle.cpu.Seconds()*1000, mebibytes(loaded))
	fmt.Fprintf(out, "A start to the first answer: %.0f ms, %.0f of CPU; its floor: %.0f ms.\n",
		begin.took.Seconds()*1000, begin.cpu.Seconds()*1000, begin.floor.Seconds()*1000)
	b.printFailures(out)
	return nil
}

// ratio is what a job costs beside its floor, in the middle one of the rounds.
func (b *bench) ratio(j *job, clients int) float64 {
	var ratios []float64
	for round := range b.rounds[cell{j.name, clients}] {
		var floor float64
		for _, name := range j.floor {
			floor += b.cost(name, clients, round)
		}
		ratios = append(ratios, b.cost(j.name, clients, round)/floor)
	}
	return median(ratios)
}

// cost is CPU seconds per 1,000 calls of a job or a floor, of server and database.
func (b *bench) cost(name string, clients, round int) float64 {
	if pick, ok := cryptoFloors[name]; ok {
		return pick(b.crypto[round]).Seconds() * 1000
	}
	server, database := b.rounds[cell{name, clients}][round].perThousand()
	return server + database
}

var cryptoFloors = map[string]func(cryptoCost) time.Duration{
	floorSign:   func(c cryptoCost) time.Duration { return c.Sign },
	floorVerify: func(c cryptoCost) time.Duration { return c.Verify },
	floorHash:   func(c cryptoCost) time.Duration { return c.Hash },
}

func (b *bench) printJobs(out io.Writer, counts map[string]float64) {
	fmt.Fprint(out, "| call | clients | p50 ms | p99 ms | server | database | x floor | statements | floor |\n|---|--:|--:|--:|--:|--:|--:|--:|---|\n")
	for _, j := range b.jobs {
		for i, clients := range levels {
			m := merge(b.rounds[cell{j.name, clients}])
			once := "|" // of all levels
			if i == 0 {
				once = fmt.Sprintf("%.2f | %s", counts[j.name], strings.Join(j.floor, " + "))
			}
			fmt.Fprintf(out, "%s %.2f | %s |\n", row(j.name, clients, m), b.ratio(j, clients), once)
		}
	}
	fmt.Fprintln(out)
}

func (b *bench) printFloors(out io.Writer) {
	fmt.Fprint(out, "| floor | clients | p50 ms | p99 ms | server | database |\n|---|--:|--:|--:|--:|--:|\n")
	for _, j := range b.floors {
		for _, clients := range levels {
			fmt.Fprintln(out, row(j.name, clients, merge(b.rounds[cell{j.name, clients}])))
		}
	}
	for _, name := range []string{floorSign, floorVerify, floorHash} {
		var costs []float64
		for round := range b.crypto {
			costs = append(costs, b.cost(name, 0, round))
		}
		fmt.Fprintf(out, "| %s | | | | %.4f | |\n", name, median(costs))
	}
}

func row(name string, clients int, m measurement) string {
	server, database := m.perThousand()
	return fmt.Sprintf("| %s | %d | %.2f | %.2f | %.4f | %.4f |", name, clients,
		quantile(m.took, 0.5).Seconds()*1000, quantile(m.took, 0.99).Seconds()*1000, server, database)
}

// printFailures says what was refused: of password hashes some may be, at a gate.
func (b *bench) printFailures(out io.Writer) {
	for _, j := range slices.Concat(b.floors, b.jobs) {
		for _, clients := range levels {
			if m := merge(b.rounds[cell{j.name, clients}]); m.failed > 0 {
				fmt.Fprintf(out, "\n%s at %d clients: %d of %d calls failed, as in: %v\n", j.name, clients, m.failed, m.calls, m.err)
			}
		}
	}
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

// processor is what the machine calls its own.
func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
