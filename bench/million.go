package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
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
	{"name quartz", &identityv1.ListUsersRequest_Filter{Name: new("quartz")}, `name_key LIKE '%quartz%'`},
	{"name marko", &identityv1.ListUsersRequest_Filter{Name: new("marko")}, `name_key LIKE '%marko%'`},
	{"name mar ", &identityv1.ListUsersRequest_Filter{Name: new("mar ")}, `name_key LIKE '%mar %'`},
	{"name ber", &identityv1.ListUsersRequest_Filter{Name: new("ber")}, `name_key LIKE '%ber%'`},
	{"name ko (two letters)", &identityv1.ListUsersRequest_Filter{Name: new("ko")}, `(name_key LIKE 'ko%' OR name_key LIKE '% ko%')`},
	{"e-mail 777777@", &identityv1.ListUsersRequest_Filter{Email: new("777777@")}, `email_key LIKE '%777777@%'`},
	{"e-mail partner.example", &identityv1.ListUsersRequest_Filter{Email: new("partner.example")}, `email_key LIKE '%partner.example%'`},
	{"e-mail .example", &identityv1.ListUsersRequest_Filter{Email: new(".example")}, `email_key LIKE '%.example%'`},
	{"pending", &identityv1.ListUsersRequest_Filter{State: identityv1.User_PENDING}, `enabled AND NOT confirmed`},
	{"disabled", &identityv1.ListUsersRequest_Filter{State: identityv1.User_DISABLED}, `NOT enabled`},
	{"role of a tenth", &identityv1.ListUsersRequest_Filter{RoleId: new(rig.Integration)}, `EXISTS (SELECT 1 FROM grants g
		WHERE g.organization_id = users.organization_id AND g.principal_id = users.id AND g.role_id = '` + rig.Integration + `')`},
}

// Names of the jobs of a million.
const (
	jobFirstREST = jobListREST
	jobDeepREST  = "list 50 users, deep, REST"
	jobBadges    = "list 1 user, badges"
	floorBadges  = "SQL, badges of the clock row"
	searchPrefix = "search: "
	// deepPage is how far down a million people the deep page is.
	deepPage = 10_000
)

// manyMatch is from how many on a search costs what counting them does: up to
// 10,001 are visited, and the floor reads a page.
const manyMatch = 1_000

// buffersOfMillion hold all that is seeded, as an operator would see to; the
// default is 128 MB.
const buffersOfMillion = "4GB"

// aimsOfMillion are those of pages; pages deep down may cost what the first does.
var aimsOfMillion = []aim{
	{jobList, 64, pageMost, nil},
	{jobDeep, 64, pageMost, nil},
	{jobFirstREST, 64, restMost, nil},
	{jobDeepREST, 64, restMost, nil},
	{jobBadges, 64, pageMost, nil},
}

// What searches may cost over the bare statement for their page, and a bulk
// change over the bare one; and the reads beside the two.
const (
	fewMost  = 1.5
	manyMost = 25.0
	bulkMost = 1.2
	readMost = 2.0
)

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
		b.part(millionUsers), smallUsers, b.part(smallOrgs))
	if err := b.millionJobs(ctx, conn); err != nil {
		return err
	}
	if b.profile != "" {
		return b.profileAll(ctx)
	}
	if err := b.measureAll(ctx); err != nil {
		return err
	}
	wholes, err := b.doWholes(ctx, conn)
	if err != nil {
		return err
	}
	b.printMillion(out, wholes)
	return nil
}

// millionJobs replaces the jobs by those of a million people.
func (b *bench) millionJobs(ctx context.Context, conn *grpc.ClientConn) error {
	r := rpc{identityv1.NewRoleServiceClient(conn), identityv1.NewUserServiceClient(conn)}
	var err error
	if b.deep, err = b.turnTo(ctx, r, b.part(deepPage)); err != nil {
		return err
	}
	first := b.server.REST + "/v1/users"
	some := [3]int{24, 48, 64}
	b.jobs = []*job{
		{name: jobList, calls: callsOfPage, floor: []string{floorPage, floorRows}, call: b.list(r, "")},
		{name: jobDeep, calls: callsOfPage, floor: []string{floorPage, floorRows}, call: b.list(r, b.deep)},
		{name: jobFirstREST, calls: callsOfPage, floor: []string{jobList}, call: b.get(first, func(int) string { return "" })},
		{name: jobDeepREST, calls: callsOfPage, floor: []string{jobDeep}, call: b.get(first+"?pageToken=", func(int) string { return b.deep })},
		{name: jobBadges, calls: callsOfRow, floor: []string{floorUser, floorRow, floorBadges}, call: b.find(r, &identityv1.ListUsersRequest{PageSize: 1, WithSummary: true})},
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
		most := fewMost
		if matches >= manyMatch {
			most = manyMost
		}
		b.searchAims = append(b.searchAims, aim{searchPrefix + s.name, 64, most, nil})
		b.floors = append(b.floors, b.bare(bare, some, `SELECT `+personColumns+where+` ORDER BY email_key, id LIMIT 51`))
	}
	for _, j := range b.jobs {
		j.pid = b.server.PID
	}
	badges, err := b.postgres.db.PrepareContext(ctx, //nolint:sqlclosecheck // as long as the database is
		`SELECT users_active, users_pending, users_disabled FROM organization_clock WHERE organization_id = $1`)
	b.floors = append(b.floors, &job{name: floorBadges, calls: callsOfRow, pid: os.Getpid(), call: func(ctx context.Context, _ int) error {
		var active, pending, disabled int
		return badges.QueryRowContext(ctx, b.org).Scan(&active, &pending, &disabled)
	}})
	return err
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

func (b *bench) printMillion(out io.Writer, wholes []whole) {
	goalsBegin(out)
	b.printAims(out, aimsOfMillion)
	b.printAims(out, b.searchAims)
	printBulkGoals(out, wholes)
	fmt.Fprintln(out)
	b.printJobs(out, map[string]float64{})
	fmt.Fprint(out, "| at once | rows | s | rows a second | server CPU s | database CPU s | memory of the service, MiB | |\n|---|--:|--:|--:|--:|--:|--:|---|\n")
	for _, w := range wholes {
		fmt.Fprintf(out, "| %s | %d | %.2f | %.0f | %.2f | %.2f | %.0f | %s |\n", w.name, w.rows, w.took.Seconds(), float64(w.rows)/w.took.Seconds(),
			w.server.Seconds(), w.database.Seconds(), mebibytes(w.peak), w.note)
	}
	fmt.Fprintln(out)
	b.printFloors(out)
	b.printFailures(out)
}
