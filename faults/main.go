// Command faults shows that the service keeps its promises while things
// break: two servers of the real binary on one private PostgreSQL that syncs
// its log to the disk, a proxy of ours in between, and a ledger of what was
// acknowledged that is held against the rows afterwards. It prints the seed
// that decides the schedule first, then figures, and fails where anything is
// not as it must be. It needs Linux and PostgreSQL's server programs, and is
// started in the folder of the module:
//
//	go run ./faults             # everything, some twenty minutes
//	go run ./faults -short      # a selection, about a minute
//	go run ./faults -seed 7 -only 'administrators'
//	go run ./faults -planted    # bugs are planted: each must be found
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"github.com/bizmetry/identity/rig"
)

// scenario is one thing that happens, so many times, in full and in short.
type scenario struct {
	name        string
	rows        string // of the tables that it shows
	full, short int
	run         func(context.Context, *trial) error
}

var scenarios = []scenario{
	{"revocation", "I-5 I-14", 1000, 30, revocation},
	{"unheard", "F-29 I-5", 200, 10, unheard},
	{"keys", "F-17 I-5", 1000, 15, keyEnds},
	{"frozen", "F-28 I-5", 20, 1, frozen},
	{"away", "I-5 I-9", 4, 1, away},
	{"administrators", "F-20 I-4", 10_000, 200, administrators},
	{"fire", "F-22 I-3 I-4", 1000, 60, administratorsUnderFire},
	{"cuts", "F-05 I-1 I-2 I-3 I-8 I-9", 1000, 60, cuts},
	{"deliveries", "F-19 I-2", 2000, 100, deliveries},
	{"kill-server", "F-01 I-1 I-2 I-8 I-10", 200, 4, killServers},
	{"kill-database", "F-02 I-1 I-2 I-3 I-9 I-10", 40, 1, killDatabase},
	{"restart-database", "F-03 I-2 I-9", 60, 3, restartDatabase},
	{"network", "F-06 F-07 I-1 I-2 I-9", 20, 0, network},
	{"stop", "F-11 I-1", 40, 2, stop},
	{"noisy-neighbour", "F-09 F-24", 20, 2, noisyNeighbour},
}

type options struct {
	short, planted bool
	seed           uint64
	only           *regexp.Regexp
	binary         string
}

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var o options
	var only string
	flags := flag.NewFlagSet("faults", flag.ContinueOnError)
	flags.BoolVar(&o.short, "short", false, "a selection in about a minute, with some slack for busy machines")
	flags.BoolVar(&o.planted, "planted", false, "plant bugs in the service, one after the other: each must be found")
	flags.Uint64Var(&o.seed, "seed", rand.Uint64N(1e6), "decides the schedule: the same one repeats it") //nolint:gosec // no secret
	flags.StringVar(&only, "only", "", "run the scenarios (or plant the bugs) whose names match this pattern")
	flags.StringVar(&o.binary, "binary", "", "run this binary instead of building one")
	err := flags.Parse(args)
	if err != nil {
		return err
	}
	if o.only, err = regexp.Compile(only); err != nil {
		return err
	}
	fmt.Fprintf(out, "seed %d\n", o.seed)
	if o.planted {
		return plantAll(ctx, o, out)
	}
	folder, err := rig.NewFolder("faults-build")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if o.binary == "" {
		if o.binary, err = rig.Build(ctx, folder, "identity"); err != nil {
			return err
		}
	}
	return runAll(ctx, o, out)
}

var errBroken = errors.New("things are not as they must be")

// runAll runs the scenarios that were asked for on one lab.
func runAll(ctx context.Context, o options, out io.Writer) error {
	l, err := newLab(ctx, o.binary)
	defer l.close()
	if err != nil {
		return err
	}
	var failed error
	for _, s := range scenarios {
		if !o.only.MatchString(s.name) || (o.short && s.short == 0) {
			continue
		}
		if broken, err := l.try(ctx, s, o, out); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		} else if broken > 0 {
			failed = errors.Join(failed, fmt.Errorf("%s: %d %w", s.name, broken, errBroken))
		}
	}
	if failed == nil {
		fmt.Fprintln(out, "everything held")
	}
	return failed
}

// busySlack is what a bound may be missed by in short mode, on machines that
// do other work.
const busySlack = 2 * time.Second

// try runs one scenario and tells how much it found.
func (l *lab) try(ctx context.Context, s scenario, o options, out io.Writer) (broken int, err error) {
	t := &trial{lab: l, out: out, name: s.name, size: s.full, rand: newRand(o.seed, s.name)}
	if o.short {
		t.size, t.slack = s.short, busySlack
	}
	if err := l.renewRoot(ctx); err != nil {
		return 0, err
	}
	fmt.Fprintf(out, "%s (%s), %d\n", s.name, s.rows, t.size)
	begin := time.Now()
	err = s.run(ctx, t)
	t.note("%.1f s", time.Since(begin).Seconds())
	if err != nil && t.failed() > 0 { // it could not go on
		t.fail("%v", err)
		err = nil
	}
	return t.failed(), err
}
