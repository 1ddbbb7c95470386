package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/rig"
)

// search is a filter that is measured, beside the bare statement for its page.
type search struct {
	name   string
	filter *identityv1.ListUsersRequest_Filter
	bare   string // the condition
}

var searches = []search{
	{"name quartz", &identityv1.ListUsersRequest_Filter{Name: "quartz"}, `name_key LIKE '%quartz%'`},
	{"name marko", &identityv1.ListUsersRequest_Filter{Name: "marko"}, `name_key LIKE '%marko%'`},
	{"name mar ", &identityv1.ListUsersRequest_Filter{Name: "mar "}, `name_key LIKE '%mar %'`},
	{"name ber", &identityv1.ListUsersRequest_Filter{Name: "ber"}, `name_key LIKE '%ber%'`},
	{"name ko (two letters)", &identityv1.ListUsersRequest_Filter{Name: "ko"}, `(name_key LIKE 'ko%' OR name_key LIKE '% ko%')`},
	{"e-mail 777777@", &identityv1.ListUsersRequest_Filter{Email: "777777@"}, `email_key LIKE '%777777@%'`},
	{"e-mail partner.example", &identityv1.ListUsersRequest_Filter{Email: "partner.example"}, `email_key LIKE '%partner.example%'`},
	{"e-mail .example", &identityv1.ListUsersRequest_Filter{Email: ".example"}, `email_key LIKE '%.example%'`},
	{"pending", &identityv1.ListUsersRequest_Filter{State: identityv1.User_PENDING}, `enabled AND NOT confirmed`},
	{"disabled", &identityv1.ListUsersRequest_Filter{State: identityv1.User_DISABLED}, `NOT enabled`},
	{"role of a tenth", &identityv1.ListUsersRequest_Filter{RoleId: rig.Integration}, `EXISTS (SELECT 1 FROM grants g
		WHERE g.organization_id = users.organization_id AND g.principal_id = users.id AND g.role_id = '` + rig.Integration + `')`},
}

// Names of the jobs of a million.
const (
	jobFirstREST  = jobListREST
	jobDeepREST   = "list 50 users, deep, REST"
	jobBadges     = "list 1 user, badges"
	floorBadges   = "SQL, badges of the clock row"
	searchPrefix  = "search: "
	searchMostMs  = 10.0
	badgesMostMs  = 0.2
	bulkMost      = 4.0
	pageMost      = 0.85
	pageRESTMost  = 1.3
	pageOfMillion = 10_000
)

// buffersOfMillion hold all that is seeded, as an operator would see to; the
// default is 128 MB.
const buffersOfMillion = "4GB"

// pageGoals are what pages may cost at 64 clients.
var pageGoals = []struct {
	job  string
	most float64
}{{jobList, pageMost}, {jobDeep, pageMost}, {jobFirstREST, pageRESTMost}, {jobDeepREST, pageRESTMost}}

// measureMillion measures what a million people cost, and prints it.
func (b *bench) measureMillion(ctx context.Context, out io.Writer) error {
	conn, err := rig.Dial(b.server.GRPC)
	if err != nil {
		return err
	}
	defer conn.Close()
	version, err := b.postgres.version(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %d cores (%s), Go %s, PostgreSQL %s with fsync and %s of buffers over a Unix socket, %d users in one organization, %d in each of %d others.\n\n",
		time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), processor(), strings.TrimPrefix(runtime.Version(), "go"), version, buffersOfMillion,
		millionUsers, smallUsers, smallOrgs)
	if err := b.millionJobs(ctx, conn); err != nil {
		return err
	}
	if b.profile != "" {
		return b.profileAll(ctx)
	}
	if err := b.measureAll(ctx); err != nil {
		return err
	}
	var wholes []whole
	for _, one := range []func(context.Context, *grpc.ClientConn) (whole, error){b.exportAll, b.importSome, b.disableMany, b.enableMany} {
		w, err := one(ctx, conn)
		if err != nil {
			return err
		}
		wholes = append(wholes, w)
	}
	b.printMillion(out, wholes)
	return nil
}

// millionJobs replaces the jobs by those of a million people.
func (b *bench) millionJobs(ctx context.Context, conn *grpc.ClientConn) error {
	r := rpc{identityv1.NewRoleServiceClient(conn), identityv1.NewUserServiceClient(conn)}
	var err error
	if b.deep, err = b.turnTo(ctx, r, pageOfMillion); err != nil {
		return err
	}
	first := b.server.REST + "/v1/users"
	some := [3]int{24, 48, 64}
	b.jobs = []*job{
		{name: jobList, calls: callsOfPage, floor: []string{floorPage, floorRows}, call: b.list(r, "")},
		{name: jobDeep, calls: callsOfPage, floor: []string{floorPage, floorRows}, call: b.list(r, b.deep)},
		{name: jobFirstREST, calls: callsOfPage, floor: []string{jobList}, call: b.get(first, func(int) string { return "" })},
		{name: jobDeepREST, calls: callsOfPage, floor: []string{jobDeep}, call: b.get(first+"?pageToken=", func(int) string { return b.deep })},
		{name: jobBadges, calls: callsOfRow, floor: []string{floorBadges}, call: b.find(r, &identityv1.ListUsersRequest{PageSize: 1, WithSummary: true})},
		{name: jobGet, calls: callsOfRow, floor: []string{floorUser, floorRow}, call: b.getUser(r, func(n int) string { return b.users[n%len(b.users)].id })},
	}
	for _, s := range searches {
		where := ` FROM users WHERE organization_id = $1 AND delete_time = 0 AND ` + s.bare
		var matches int
		if err := b.postgres.db.QueryRowContext(ctx, `SELECT COUNT(*)`+where, b.org).Scan(&matches); err != nil {
			return err
		}
		s.name += fmt.Sprintf(" (%d match)", matches)
		bare := "SQL, " + s.name
		b.jobs = append(b.jobs, &job{
			name: searchPrefix + s.name, calls: some, floor: []string{bare},
			call: b.find(r, &identityv1.ListUsersRequest{Filter: s.filter, WithSummary: true}),
		})
		b.floors = append(b.floors, b.bare(bare, some, `SELECT `+personColumns+where+` ORDER BY email_key, id LIMIT 51`))
	}
	for _, j := range b.jobs {
		j.pid = b.server.PID
	}
	b.floors = append(b.floors,
		b.bare(floorBadges, callsOfRow, `SELECT users_active, users_pending, users_disabled FROM organization_clock WHERE organization_id = $1`))
	return nil
}

// bare is a statement as it would be written without any thought, by the planner's choice.
func (b *bench) bare(name string, calls [3]int, text string) *job {
	return &job{name: name, calls: calls, pid: os.Getpid(), call: func(ctx context.Context, _ int) error {
		rows, err := b.postgres.db.QueryContext(ctx, text, b.org)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
		}
		return rows.Err()
	}}
}

// turnTo goes through the list to a page, a thousand people at a time, and
// returns its token.
func (b *bench) turnTo(ctx context.Context, r rpc, page int) (string, error) {
	progress("go to page %d", page)
	token := ""
	for range page * 50 / 1000 {
		resp, err := r.user.ListUsers(rig.Bearing(ctx, b.admin.Token), &identityv1.ListUsersRequest{PageSize: 1000, PageToken: token})
		if err != nil {
			return "", err
		}
		token = resp.GetNextPageToken()
	}
	return token, nil
}

// find lists people; that there are some is not asked for.
func (b *bench) find(r rpc, req *identityv1.ListUsersRequest) func(context.Context, int) error {
	return func(ctx context.Context, _ int) error {
		_, err := r.user.ListUsers(rig.Bearing(ctx, b.admin.Token), req)
		return err
	}
}

// whole is one thing done to very many people.
type whole struct {
	name     string
	rows     int
	took     time.Duration
	server   time.Duration
	database time.Duration
	peak     int64 // memory of the service
	note     string
}

// account does something once, and says what it cost.
func (b *bench) account(ctx context.Context, name string, do func(context.Context) (rows int, err error)) (whole, error) {
	progress("%s", name)
	w := whole{name: name}
	var err error
	if b.admin.Token, err = b.renewed(ctx); err != nil {
		return w, err
	}
	watching, stop := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for watching.Err() == nil {
			if now, err := resident(b.server.PID); err == nil {
				w.peak = max(w.peak, now)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
	server, database, start := spent(b.server.PID), spentByAll(b.postgres.PID()), time.Now()
	w.rows, err = do(ctx)
	w.took = time.Since(start)
	w.server, w.database = spent(b.server.PID)-server, spentByAll(b.postgres.PID())-database
	stop()
	<-watched
	return w, err
}

// renewed is a fresh token of the administration.
func (b *bench) renewed(ctx context.Context) (string, error) {
	conn, err := rig.Dial(b.server.GRPC)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return b.admin.NewToken(ctx, identityv1.NewServiceAccountServiceClient(conn))
}

func (b *bench) exportAll(ctx context.Context, conn *grpc.ClientConn) (whole, error) {
	return b.account(ctx, "export of all", func(ctx context.Context) (rows int, err error) {
		stream, err := identityv1.NewUserServiceClient(conn).ExportUsers(rig.Bearing(ctx, b.admin.Token), &identityv1.ExportUsersRequest{})
		if err != nil {
			return 0, err
		}
		for {
			piece, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return rows - 1, nil // the first line names the columns
			}
			if err != nil {
				return rows, err
			}
			rows += bytes.Count(piece.GetData(), []byte("\n"))
		}
	})
}

const imported = 100_000

func (b *bench) importSome(ctx context.Context, conn *grpc.ClientConn) (whole, error) {
	return b.account(ctx, fmt.Sprintf("import of %d", imported), func(ctx context.Context) (int, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := identityv1.NewUserServiceClient(conn).ImportUsers(rig.Bearing(ctx, b.admin.Token))
		if err != nil {
			return 0, err
		}
		sent := make(chan error, 1)
		go func() { sent <- sendFile(stream) }()
		var sum *identityv1.ImportUsersResponse_Summary
		for {
			resp, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return 0, err
			}
			if resp.GetSummary() != nil {
				sum = resp.GetSummary()
			}
		}
		err = <-sent
		if err == nil && sum.GetCreated() != imported {
			err = fmt.Errorf("%w: %v", errAnswer, sum)
		}
		return int(sum.GetCreated()), err
	})
}

func sendFile(stream grpc.BidiStreamingClient[identityv1.ImportUsersRequest, identityv1.ImportUsersResponse]) error {
	send := bufio.NewWriterSize(uploader{stream}, 64<<10)
	fmt.Fprintln(send, "email,first_name,last_name,roles")
	for n := range imported {
		first, last := firstNames[n%len(firstNames)], lastNames[n%len(lastNames)]
		fmt.Fprintf(send, "imported.%06d@customer.example,%s,%s,Developer\n", n, first, last)
	}
	return errors.Join(send.Flush(), stream.CloseSend())
}

// uploader sends what is written as pieces of a file.
type uploader struct {
	stream grpc.BidiStreamingClient[identityv1.ImportUsersRequest, identityv1.ImportUsersResponse]
}

func (u uploader) Write(p []byte) (int, error) {
	return len(p), u.stream.Send(&identityv1.ImportUsersRequest{Data: bytes.Clone(p)})
}

func (b *bench) disableMany(ctx context.Context, conn *grpc.ClientConn) (whole, error) {
	filter := &identityv1.ListUsersRequest_Filter{RoleId: rig.Integration}
	return b.besideReads(ctx, conn, "bulk disable", func(ctx context.Context, c identityv1.UserServiceClient) (*identityv1.BulkUsersResponse, error) {
		resp, err := c.BulkDisableUsers(rig.Bearing(ctx, b.admin.Token), &identityv1.BulkDisableUsersRequest{Filter: filter})
		return resp, err
	})
}

func (b *bench) enableMany(ctx context.Context, conn *grpc.ClientConn) (whole, error) {
	filter := &identityv1.ListUsersRequest_Filter{RoleId: rig.Integration}
	return b.besideReads(ctx, conn, "bulk enable", func(ctx context.Context, c identityv1.UserServiceClient) (*identityv1.BulkUsersResponse, error) {
		resp, err := c.BulkEnableUsers(rig.Bearing(ctx, b.admin.Token), &identityv1.BulkEnableUsersRequest{Filter: filter})
		return resp, err
	})
}

// besideReads changes many people while four clients go on reading pages, each ten times a second.
func (b *bench) besideReads(ctx context.Context, conn *grpc.ClientConn, name string, change func(context.Context, identityv1.UserServiceClient) (*identityv1.BulkUsersResponse, error)) (whole, error) {
	r := rpc{identityv1.NewRoleServiceClient(conn), identityv1.NewUserServiceClient(conn)}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan measurement, 1)
	var begun atomic.Bool
	read := b.list(r, "")
	go func() {
		ended <- load(reading, &job{call: func(ctx context.Context, n int) error {
			time.Sleep(100 * time.Millisecond)
			begun.Store(true)
			return read(ctx, n)
		}}, 4, 1_000_000, 0)
	}()
	for !begun.Load() {
		time.Sleep(10 * time.Millisecond)
	}
	w, err := b.account(ctx, name, func(ctx context.Context) (int, error) {
		resp, err := change(ctx, r.user)
		return int(resp.GetChanged()), err
	})
	stop()
	m := merge([]measurement{<-ended})
	w.note = fmt.Sprintf("pages read meanwhile: p50 %.0f ms, p99 %.0f ms, %d failed",
		quantile(m.took, 0.5).Seconds()*1000-100, quantile(m.took, 0.99).Seconds()*1000-100, m.failed)
	return w, err
}

func (b *bench) printMillion(out io.Writer, wholes []whole) {
	fmt.Fprint(out, "| goal | at most | measured | |\n|---|---|---|---|\n")
	for _, g := range pageGoals {
		if m := merge(b.rounds[cell{g.job, levels[2]}]); m.calls > 0 {
			server, database := m.perThousand()
			goal(out, fmt.Sprintf("%s, 64 clients: CPU-s per 1,000 (bare message and rows: %.2f)", g.job, b.bareOfPage()), g.most, server+database, "%.2f")
		}
	}
	for _, j := range b.jobs {
		if m := merge(b.rounds[cell{j.name, levels[0]}]); strings.HasPrefix(j.name, searchPrefix) && m.calls > 0 {
			goal(out, j.name+", p50 ms", searchMostMs, quantile(m.took, 0.5).Seconds()*1000, "%.1f")
		}
	}
	if m := merge(b.rounds[cell{floorBadges, levels[0]}]); m.calls > 0 {
		goal(out, "unfiltered badges in the database, p50 ms", badgesMostMs, quantile(m.took, 0.5).Seconds()*1000, "%.2f")
	}
	for _, w := range wholes {
		if w.name == "bulk disable" {
			goal(out, fmt.Sprintf("bulk disable of %d, with reads going on, s", w.rows), bulkMost, w.took.Seconds(), "%.1f")
		}
	}
	fmt.Fprintln(out)
	b.printJobs(out, map[string]float64{})
	fmt.Fprint(out, "| at once | rows | s | rows a second | server CPU s | database CPU s | memory of the service, MiB | |\n|---|--:|--:|--:|--:|--:|--:|---|\n")
	for _, w := range wholes {
		fmt.Fprintf(out, "| %s | %d | %.1f | %.0f | %.1f | %.1f | %.0f | %s |\n", w.name, w.rows, w.took.Seconds(), float64(w.rows)/w.took.Seconds(),
			w.server.Seconds(), w.database.Seconds(), mebibytes(w.peak), w.note)
	}
	fmt.Fprintln(out)
	b.printFloors(out)
	b.printFailures(out)
}

// bareOfPage is what a page costs at 64 clients that is only carried by gRPC
// and read from the database by a bare statement.
func (b *bench) bareOfPage() (sum float64) {
	for _, name := range []string{floorPage, floorRows} {
		if m := merge(b.rounds[cell{name, levels[2]}]); m.calls > 0 {
			server, database := m.perThousand()
			sum += server + database
		}
	}
	return sum
}
