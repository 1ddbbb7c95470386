// Command bench measures what calls of the service cost on PostgreSQL with
// 100,000 users, beside floors of the same run: a gRPC and an HTTP server that
// do nothing but carry the same messages and headers, one signature, one
// password hash, the bare statements, the rows of a new person in one bare
// transaction. CPU time is what it compares, from the
// processes' own accounting, because it hardly depends on what else the machine
// does; latencies do. It needs Linux and PostgreSQL's server programs with
// contrib, prints Markdown, and is started in the folder of the module:
//
//	go run ./bench            # some three minutes
//	go run ./bench -quick     # a rough picture
//	go run ./bench -million   # a million users: some ten minutes
//	go run ./bench -million -quick   # the same with 50,000: a minute
//	go run ./bench -profile FOLDER -only check
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"
)

type options struct {
	quick   bool
	users   int
	million bool
	only    *regexp.Regexp
	profile string
	binary  string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 1 {
		switch args[0] {
		case "echo":
			return serveEcho(ctx, os.Stdin, os.Stdout)
		case "crypto":
			return measureCrypto(os.Stdin, os.Stdout)
		}
	}
	var o options
	var only string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.BoolVar(&o.quick, "quick", false, "a rough picture in well under a minute")
	flags.IntVar(&o.users, "users", 100_000, "users in the database")
	flags.BoolVar(&o.million, "million", false, "lists, searches, bulk changes and files of a million users instead, in some ten minutes")
	flags.StringVar(&only, "only", "", "measure the jobs whose names match this pattern, and their floors")
	flags.StringVar(&o.profile, "profile", "", "write CPU profiles of the service into this folder instead of measuring")
	flags.StringVar(&o.binary, "binary", "", "measure this binary instead of building one")
	err := flags.Parse(args)
	if err != nil {
		return err
	}
	if o.only, err = regexp.Compile(only); err != nil {
		return err
	}
	b, err := setUp(ctx, o)
	defer b.close()
	if err != nil {
		return err
	}
	if o.million {
		return b.measureMillion(ctx, os.Stdout)
	}
	if o.profile != "" {
		return b.profileAll(ctx)
	}
	if err := b.measureAll(ctx); err != nil {
		return err
	}
	return b.report(ctx, os.Stdout)
}

// progress says on standard error what is going on.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%4.0f s  "+format+"\n", append([]any{time.Since(started).Seconds()}, args...)...)
}

var started = time.Now()
