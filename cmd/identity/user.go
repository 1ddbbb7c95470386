package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
)

type usersCmd struct {
	List   usersListCmd   `cmd:"" help:"List people."`
	Import usersImportCmd `cmd:"" help:"Add the people of a file; a status for each row."`
	Export usersExportCmd `cmd:"" help:"Write people to a file."`
}

// userFilter narrows what is listed or exported.
type userFilter struct {
	Organization string  `placeholder:"ID" help:"Organization (default: your own)."`
	Name         *string `help:"Part of the name."`
	Email        *string `help:"Part of the e-mail address."`
	State        anyCase `enum:",active,pending,disabled" default:"" help:"active, pending or disabled."`
	RoleID       *string `placeholder:"ID" help:"Role that they have."`
}

func (f userFilter) filter() *identityv1.ListUsersRequest_Filter {
	state := identityv1.User_State_value[strings.ToUpper(string(f.State))]
	return &identityv1.ListUsersRequest_Filter{Name: f.Name, Email: f.Email, State: identityv1.User_State(state), RoleId: f.RoleID}
}

type usersListCmd struct {
	connection
	userFilter
	OrderBy anyCase `enum:"email,display_name,create_time,email desc,display_name desc,create_time desc" default:"email" help:"email, display_name or create_time, with ' desc' the other way round."`
	Limit   int     `default:"0" help:"How many at most (default: all)."`
	JSON    bool    `name:"json" help:"A JSON object a line instead of a table."`
}

// Run lists page by page.
func (c *usersListCmd) Run(ctx context.Context, o output) error {
	return c.as(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		users := identityv1.NewUserServiceClient(conn)
		show := newUserTable(o.out)
		if c.JSON {
			show = userLines(o.out)
		}
		req := &identityv1.ListUsersRequest{OrganizationId: c.Organization, Filter: c.filter(), OrderBy: string(c.OrderBy), PageSize: 500}
		for left := c.Limit; ; left -= int(req.GetPageSize()) {
			if c.Limit > 0 {
				req.PageSize = int32(min(left, 500))
			}
			page, err := listPage(ctx, users, req)
			if err != nil {
				return err
			}
			if err := show(page.GetUsers()); err != nil {
				return err
			}
			req.PageToken = page.GetNextPageToken()
			if req.PageToken == "" || (c.Limit > 0 && left <= int(req.GetPageSize())) {
				return nil
			}
		}
	})
}

func listPage(ctx context.Context, users identityv1.UserServiceClient, req *identityv1.ListUsersRequest) (*identityv1.ListUsersResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return users.ListUsers(ctx, req)
}

// newUserTable writes people as an aligned table; each page is aligned on its
// own, so that the first one need not wait for the last.
func newUserTable(out io.Writer) func([]*identityv1.User) error {
	header := true
	return func(us []*identityv1.User) error {
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		if header {
			fmt.Fprintln(w, "ID\tEMAIL\tNAME\tSTATE\tROLES\tCREATED")
			header = false
		}
		for _, u := range us {
			var roles []string
			for _, r := range u.GetRoles() {
				roles = append(roles, r.GetName())
			}
			for _, p := range u.GetPermissions() {
				roles = append(roles, p.GetKey())
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", u.GetId(), plain(u.GetEmail()), plain(u.GetDisplayName()), u.GetState(),
				plain(strings.Join(roles, ", ")), u.GetCreateTime().AsTime().Format(time.DateOnly))
		}
		return w.Flush()
	}
}

// plain keeps what could steer a terminal out of a table.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || (r >= 0x7f && r < 0xa0) {
			return '?'
		}
		return r
	}, text)
}

func userLines(out io.Writer) func([]*identityv1.User) error {
	return func(us []*identityv1.User) error {
		for _, u := range us {
			text, err := protojson.Marshal(u)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(out, "%s\n", text); err != nil {
				return err
			}
		}
		return nil
	}
}

// fileFormat is how a file of people is written.
type fileFormat struct {
	Format anyCase `enum:",csv,jsonl" default:"" help:"csv or jsonl (default: what the file's name ends in, otherwise csv)."`
}

func (f fileFormat) of(file string) identityv1.UserFile_Format {
	end := strings.ToLower(strings.TrimPrefix(filepath.Ext(file), "."))
	if f.Format == "jsonl" || (f.Format == "" && (end == "jsonl" || end == "ndjson")) {
		return identityv1.UserFile_JSON_LINES
	}
	return identityv1.UserFile_CSV
}
