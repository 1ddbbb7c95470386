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
	"reflect"
	"slices"
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
	Recover     recoverCmd     `cmd:"" help:"Let a user in again who is locked out, on the database."`
	Keys        keysCmd        `cmd:"" help:"List, rotate and revoke signing keys, on the database."`
	Outbox      outboxCmd      `cmd:"" help:"List what is not sent, and try dead messages again, on the database."`
	Login       loginCmd       `cmd:"" help:"Sign in to a running service, for the commands that talk to it."`
	Users       usersCmd       `cmd:"" help:"List, import and export people, over the API."`
	Healthcheck healthcheckCmd `cmd:"" help:"Ask a running service whether it is ready; the exit status says."`
	Version     versionCmd     `cmd:"" help:"Print the version."`

	ShowVersion kong.VersionFlag `name:"version" help:"Print the version."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "identity:", err)
		os.Exit(exitStatus(err))
	}
}

// exitStatus tells scripts what went wrong: 2 is a mistake in the command
// line, 3 an import that was complete but for rows that were refused.
func exitStatus(err error) int {
	var usage *kong.ParseError
	switch {
	case errors.As(err, &usage):
		return 2
	case errors.Is(err, errRowsRefused):
		return 3
	}
	return 1
}

// output is where commands read and write.
type output struct {
	out, err io.Writer
	in       io.Reader
}

// errHelp ends a command that only printed help.
var errHelp = errors.New("help")

// run parses the arguments and runs the command. Tests call it like main.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	return runWith(ctx, args, output{stdout, stderr, os.Stdin})
}

// runWith is run with an input of its own.
func runWith(ctx context.Context, args []string, o output) (err error) {
	defer func() {
		if r := recover(); r != nil {
			if err, ok := r.(error); !ok || !errors.Is(err, errHelp) {
				panic(r)
			}
			err = nil
		}
	}()
	parser, err := kong.New(&cli{},
		kong.Name("identity"), kong.Description("The identity service of BizMetry."),
		kong.Writers(o.out, o.err), kong.Exit(func(int) { panic(errHelp) }),
		kong.Vars{"version": "identity " + version}, kong.KindMapper(reflect.Bool, switches{}), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		return err
	}
	command, err := parser.Parse(orHelp(args))
	if err != nil {
		return err
	}
	command.BindTo(ctx, (*context.Context)(nil))
	return command.Run(o)
}

// orHelp asks for help where nothing is asked for, and takes "help COMMAND" for "COMMAND --help".
func orHelp(args []string) []string {
	if len(args) == 0 {
		return []string{"--help"}
	}
	if args[0] == "help" {
		return append(slices.Clone(args[1:]), "--help")
	}
	return args
}
