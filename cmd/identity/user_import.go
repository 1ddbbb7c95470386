package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
)

type usersImportCmd struct {
	connection
	fileFormat
	Organization   string `placeholder:"ID" help:"Organization (default: your own)."`
	ValidateOnly   bool   `help:"Only say what would happen."`
	SendActivation bool   `help:"Mail an activation link to everybody who is added."`
	All            bool   `help:"Show every row, not only those that were refused."`
	JSON           bool   `name:"json" help:"Statuses as a JSON object a line."`
	File           string `arg:"" help:"The file; - is standard input."`
}

// Help describes the file.
func (usersImportCmd) Help() string {
	return `A CSV file has a header line with columns in any order and commas, semicolons or
tabs between them, a file of JSON lines an object a line: email, first_name, last_name, roles (ids or names; in CSV
separated by semicolons), permissions, confirmed, enabled, password_hash. What
an export has beside these is passed over. Repeating an import changes nothing
that is there already.

The exit status is 3 where rows were refused, 1 where the import failed: what
was shown as created until then is, and the file can simply be imported again.
`
}

// errRowsRefused ends an import that was complete but for some rows.
var errRowsRefused = errors.New("rows were refused")

// pieceSize is what is sent of a file at a time.
const pieceSize = 64 << 10

// Run sends the file and shows the statuses as they come.
func (c *usersImportCmd) Run(ctx context.Context, o output) error {
	file, size, err := c.open(o)
	if err != nil {
		return err
	}
	defer file.Close()
	return c.as(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := identityv1.NewUserServiceClient(conn).ImportUsers(ctx)
		if err != nil {
			return err
		}
		bar := newProgress(o, size)
		failed := make(chan error, 1)
		go func() {
			err := c.send(stream, file, bar)
			if err != nil {
				cancel() // the file cannot be read: what was sent is no whole file
			}
			failed <- err
		}()
		sum, err := c.receive(stream, o, bar)
		bar.end()
		if err != nil {
			c.tellUnread(o, err)
			select {
			case sending := <-failed:
				return errors.Join(sending, err)
			default: // still sending: the service has refused the rest
				return err
			}
		}
		return c.summarize(o, sum)
	})
}

func (c *usersImportCmd) open(o output) (io.ReadCloser, int64, error) {
	if c.File == "-" {
		return io.NopCloser(o.in), 0, nil
	}
	file, err := os.Open(c.File)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	if info.IsDir() {
		return nil, 0, errors.Join(fmt.Errorf("%s is a folder: name a file in it", c.File), file.Close())
	}
	return file, info.Size(), nil
}

// send sends the file to its end. That the service no longer listens is told
// by what it answers, not here.
func (c *usersImportCmd) send(stream identityv1.UserService_ImportUsersClient, file io.Reader, bar *progress) error {
	req := &identityv1.ImportUsersRequest{
		OrganizationId: c.Organization, Format: c.of(c.File), ValidateOnly: c.ValidateOnly, SendActivation: c.SendActivation,
	}
	piece := make([]byte, pieceSize)
	for first := true; ; first = false {
		n, err := file.Read(piece)
		if n > 0 || first {
			req.Data = piece[:n]
			if stream.Send(req) != nil {
				return nil
			}
			bar.add(0, int64(n))
			req = &identityv1.ImportUsersRequest{}
		}
		if errors.Is(err, io.EOF) {
			return stream.CloseSend()
		}
		if err != nil {
			return err
		}
	}
}

func (c *usersImportCmd) receive(stream identityv1.UserService_ImportUsersClient, o output, bar *progress) (sum *identityv1.ImportUsersResponse_Summary, err error) {
	for {
		resp, err := stream.Recv()
		if err != nil {
			return sum, notEOF(err)
		}
		for _, row := range resp.GetRows() {
			if err := c.show(o.out, row); err != nil {
				return nil, err
			}
		}
		bar.add(int64(len(resp.GetRows())), 0)
		sum = resp.GetSummary()
	}
}

func (c *usersImportCmd) show(out io.Writer, row *identityv1.ImportUsersResponse_Row) error {
	refused := row.GetOutcome() == identityv1.ImportUsersResponse_Row_REFUSED
	if c.JSON {
		text, err := protojson.Marshal(row)
		if err == nil {
			_, err = fmt.Fprintf(out, "%s\n", text)
		}
		return err
	}
	if !c.All && !refused {
		return nil
	}
	line := fmt.Sprintf("line %d, row %d  %s  %s", row.GetLine(), row.GetRow(), plain(row.GetEmail()), row.GetOutcome())
	if refused {
		line += "  " + row.GetReason()
		if len(row.GetViolations()) > 0 {
			line += "  " + plain(strings.Join(row.GetViolations(), ", "))
		}
	}
	_, err := fmt.Fprintln(out, line)
	return err
}

// tellUnread says how many rows are left where a file cannot be read any further.
func (c *usersImportCmd) tellUnread(o output, err error) {
	out := o.out
	if c.JSON {
		out = o.err
	}
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetMetadata()["unread"] != "" {
			fmt.Fprintf(out, "%s rows from line %s on were not read; those before are settled\n", info.GetMetadata()["unread"], info.GetMetadata()["line"])
		}
	}
}

// summarize says how it went, beside the statuses where those are for programs.
func (c *usersImportCmd) summarize(o output, sum *identityv1.ImportUsersResponse_Summary) error {
	if sum == nil {
		return errors.New("the service ended the import without a summary")
	}
	out, verb := o.out, "created"
	if c.JSON {
		out = o.err
	}
	if c.ValidateOnly {
		verb = "would be created"
	}
	fmt.Fprintf(out, "%d rows: %d %s, %d there already, %d refused\n",
		sum.GetRows(), sum.GetCreated(), verb, sum.GetExisting(), sum.GetRefused())
	if sum.GetRefused() > 0 {
		return errRowsRefused
	}
	return nil
}
