package main

import (
	"fmt"
	"io"
	"strings"
)

// aim is what a job may cost at most beside a floor of the same run.
type aim struct {
	job     string
	clients int
	most    float64
	floor   []string // nil: the job's own
}

// aims are of 100,000 people. Each is a ratio: a slower machine is slower at the floor too.
var aims = []aim{
	{jobHot, 64, 1.6, nil},
	{jobAuthorize, 64, 1.4, nil},
	{jobIssue, 64, 1.5, nil},
	{jobKnown, 64, 1.5, nil},
	{jobNew, 64, 1.5, nil},
	{jobGetREST, 64, 1.8, nil},
	{jobList, 64, pageMost, nil},
	{jobDeep, 64, pageMost, nil},
	{jobListREST, 64, restMost, nil},
	{jobCreate, 16, 1.6, nil},
	{jobPassword, 16, 1.05, []string{floorHash}},
}

// What pages may cost, of 100,000 people as of a million.
const (
	pageMost = 1.6
	restMost = 1.4 // REST over gRPC
)

// startMost is for the start of the service over that of a server that does nothing.
const startMost = 10

// Goals that do not depend on how fast a machine is, and so are no ratios.
const (
	statementsMost = 0.02 // of calls that are answered from memory
	memoryMost     = 45   // MiB
	binaryMost     = 45   // MB
)

func (b *bench) printGoals(out io.Writer, begin beginning, size int64, counts map[string]float64) {
	goalsBegin(out)
	b.printAims(out, aims)
	for _, name := range []string{jobIssue, jobKnown, jobNew, jobAuthorize, jobHot} {
		if n, counted := counts[name]; counted {
			goal(out, name+": statements a call", statementsMost, n, "%.2f")
		}
	}
	goal(out, "start to the first answer: time / (echo: start to the first answer, and a new connection of the database)",
		startMost, begin.took.Seconds()/begin.floor.Seconds(), "%.2f")
	goal(out, "memory at rest, MiB", memoryMost, mebibytes(begin.resident), "%.0f")
	goal(out, "binary, MB", binaryMost, float64(size)/1e6, "%.0f")
	fmt.Fprintln(out)
}

// printAims prints those of the jobs that were measured.
func (b *bench) printAims(out io.Writer, of []aim) {
	for _, a := range of {
		for _, j := range b.jobs {
			if j.name != a.job {
				continue
			}
			beside := *j
			if a.floor != nil {
				beside.floor = a.floor
			}
			goal(out, fmt.Sprintf("%s, %s: CPU / (%s)", j.name, callers(a.clients), strings.Join(beside.floor, " + ")), a.most, b.ratio(&beside, a.clients), "%.2f")
		}
	}
}

func callers(n int) string {
	if n == 1 {
		return "1 client"
	}
	return fmt.Sprintf("%d clients", n)
}

func goalsBegin(out io.Writer) {
	fmt.Fprint(out, "| goal | at most | measured | |\n|---|---|---|---|\n")
}

func goal(out io.Writer, name string, most, measured float64, format string) {
	verdict := "met"
	if !(measured <= most) { // what could not be measured is missed too
		verdict = "**missed**"
	}
	fmt.Fprintf(out, "| %s | "+format+" | "+format+" | %s |\n", name, most, measured, verdict)
}
