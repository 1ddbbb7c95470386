package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/rig"
	"github.com/bizmetry/identity/store"
)

// Names of the floors.
const (
	floorCheck         = "gRPC echo, check"
	floorAuthorize     = "gRPC echo, authorize"
	floorUser          = "gRPC echo, user"
	floorPage          = "gRPC echo, 50 users"
	floorToken         = "HTTP echo, token" //nolint:gosec // a name
	floorIntrospection = "HTTP echo, introspection"
	floorRow           = "SQL, one row by key"
	floorRows          = "SQL, 50 rows by keyset"
	floorCreate        = "SQL, all rows of a new person and commit"
	floorSign          = "ES256 JWT, sign"
	floorVerify        = "ES256 JWT, verify"
	floorHash          = "argon2id, 19 MiB, 2 passes"
)

// startFloors records what the service answers, starts the servers that repeat
// it, and makes all jobs.
func (b *bench) startFloors(ctx context.Context) error {
	conn, err := rig.Dial(b.server.GRPC)
	if err != nil {
		return err
	}
	recorded, err := b.record(ctx, conn)
	if err != nil {
		return err
	}
	if b.recorded, err = json.Marshal(recorded); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if b.echo, err = rig.StartServer(ctx, filepath.Join(b.folder, "echo.log"), bytes.NewReader(b.recorded), nil, self, "echo"); err != nil {
		return err
	}
	echoConn, err := rig.Dial(b.echo.GRPC)
	if err != nil {
		return err
	}
	statements, err := b.statementFloors(ctx)
	if err != nil {
		return err
	}
	written, err := b.recordCreate(ctx, conn)
	if err != nil {
		return err
	}
	create, err := b.createFloor(ctx, written)
	b.floors = append(append(b.echoFloors(echoConn), statements...), create)
	b.jobs = b.serviceJobs(conn)
	return err
}

func (b *bench) echoFloors(conn *grpc.ClientConn) []*job {
	r := rpc{identityv1.NewRoleServiceClient(conn), identityv1.NewUserServiceClient(conn)}
	user := func(n int) string { return b.users[n%len(b.users)].id }
	floors := []*job{
		{name: floorCheck, calls: callsOfEcho, call: b.check(r, user)},
		{name: floorAuthorize, calls: callsOfEcho, call: b.authorize(r)},
		{name: floorUser, calls: callsOfEcho, call: b.getUser(r, user)},
		{name: floorPage, calls: callsOfRow, call: b.list(r, "")},
		{name: floorToken, calls: callsOfHTTP, call: b.issue(b.echo.REST)},
		{name: floorIntrospection, calls: callsOfHTTP, call: b.introspect(b.echo.REST, func(int) string { return b.agent.Token })},
	}
	for _, f := range floors {
		f.pid = b.echo.PID
	}
	return floors
}

// record asks everything once.
func (b *bench) record(ctx context.Context, conn *grpc.ClientConn) (a answers, err error) {
	r := rpc{identityv1.NewRoleServiceClient(conn), identityv1.NewUserServiceClient(conn)}
	byChecker, byAdmin := rig.Bearing(ctx, b.checker.Token), rig.Bearing(ctx, b.admin.Token)
	header := metadata.MD{}
	check, err := r.role.CheckPermission(byChecker, &identityv1.CheckPermissionRequest{PrincipalId: b.users[0].id, Permission: "templates.write"}, grpc.Header(&header))
	if err != nil {
		return a, err
	}
	authorize, err := r.role.Authorize(byChecker, &identityv1.AuthorizeRequest{AccessToken: b.agent.Token, Permission: "agents.report"})
	if err != nil {
		return a, err
	}
	user, err := r.user.GetUser(byAdmin, &identityv1.GetUserRequest{Id: b.users[0].id})
	if err != nil {
		return a, err
	}
	page, err := r.user.ListUsers(byAdmin, &identityv1.ListUsersRequest{})
	if err != nil {
		return a, err
	}
	a.Metadata = metadata.MD{}
	for name, values := range header {
		if name != "content-type" { // gRPC's own
			a.Metadata[name] = values
		}
	}
	for _, part := range []struct {
		from proto.Message
		to   *[]byte
	}{{check, &a.Check}, {authorize, &a.Authorize}, {user, &a.User}, {page, &a.Page}} {
		if *part.to, err = proto.Marshal(part.from); err != nil {
			return a, err
		}
	}
	return a, b.recordHTTP(ctx, &a)
}

func (b *bench) recordHTTP(ctx context.Context, a *answers) error {
	r, err := formRequest(ctx, b.server.REST+"/oauth2/token", b.agent, url.Values{"grant_type": {"client_credentials"}})
	if err != nil {
		return err
	}
	body, err := b.do(r, "access_token")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, &a.Token); err != nil {
		return err
	}
	if r, err = formRequest(ctx, b.server.REST+"/oauth2/introspect", b.checker, url.Values{"token": {b.agent.Token}}); err != nil {
		return err
	}
	resp, err := b.http.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	a.Header = http.Header{}
	for name, values := range resp.Header {
		if name != "Date" && name != "Content-Length" { // the server's own
			a.Header[name] = values
		}
	}
	return json.NewDecoder(resp.Body).Decode(&a.Introspection)
}

// statementFloors are the statements that no implementation can do without,
// each prepared once. This process is the client of the database here.
func (b *bench) statementFloors(ctx context.Context) ([]*job, error) {
	row, err := b.postgres.db.PrepareContext(ctx, `SELECT `+personColumns+` FROM users WHERE organization_id = $1 AND id = $2 AND delete_time = 0`) //nolint:sqlclosecheck // as long as the database is
	if err != nil {
		return nil, err
	}
	rows, err := b.postgres.db.PrepareContext(ctx, `SELECT `+personColumns+` FROM users WHERE organization_id = $1 AND delete_time = 0
		AND (email_key, id) > ($2, $3) ORDER BY email_key, id LIMIT 50`)
	if err != nil {
		return nil, err
	}
	floors := []*job{
		{name: floorRow, calls: callsOfRow, call: func(ctx context.Context, n int) error {
			var u store.User
			return row.QueryRowContext(ctx, b.org, b.users[n%len(b.users)].id).Scan(personTargets(&u)...)
		}},
		{name: floorRows, calls: callsOfPage, call: func(ctx context.Context, n int) error {
			at := b.users[n%len(b.users)]
			return readRows(ctx, rows, b.org, at.email, at.id)
		}},
	}
	for _, f := range floors {
		f.pid = os.Getpid()
	}
	return floors, nil
}

func readRows(ctx context.Context, stmt *sql.Stmt, args ...any) error {
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	users := make([]store.User, 50)
	for i := 0; rows.Next(); i++ {
		if err := rows.Scan(personTargets(&users[i])...); err != nil {
			return err
		}
	}
	return rows.Err()
}
