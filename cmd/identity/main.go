// Command identity is the whole service in one binary: it serves, migrates
// and bootstraps, and tells whether it is well. It wires the other packages
// together and holds no rule of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// version is stamped by the linker.
var version = "devel"

// cli is every command. Settings come from the environment or from flags of
// the same name; secrets only from the environment.
type cli struct {
	Serve       serveCmd       `cmd:"" help:"Serve gRPC, REST and OAuth 2.0."`
	Migrate     migrateCmd     `cmd:"" help:"Bring the database schema to the newest version."`
	Bootstrap   bootstrapCmd   `cmd:"" help:"Make the platform organization and its first administrator in an empty database."`
	Keys        keysCmd        `cmd:"" help:"List, rotate and revoke signing keys, on the database."`
	Outbox      outboxCmd      `cmd:"" help:"List what is not sent, and try dead messages again, on the database."`
	Healthcheck healthcheckCmd `cmd:"" help:"Ask a running service whether it is ready; the exit status says."`
	Version     versionCmd     `cmd:"" help:"Print the version."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "identity:", err)
		os.Exit(1)
	}
}

// output is where commands write.
type output struct{ out, err io.Writer }

// errHelp ends a command that only printed help.
var errHelp = errors.New("help")

// run parses the arguments and runs the command. Tests call it like main.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	defer func() {
		if r := recover(); r != nil {
			if r != errHelp { //nolint:errorlint // the very value that Exit below panics with
				panic(r)
			}
			err = nil
		}
	}()
	parser, err := kong.New(&cli{},
		kong.Name("identity"), kong.Description("The identity service of BizMetry."),
		kong.Writers(stdout, stderr), kong.Exit(func(int) { panic(errHelp) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if err != nil {
		return err
	}
	command.BindTo(ctx, (*context.Context)(nil))
	return command.Run(output{stdout, stderr})
}
