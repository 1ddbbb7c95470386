package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/rig"
)

// What the large mode adds.
const (
	million      = 1_000_000
	neighbours   = 1_000 // smaller organizations
	theirPeople  = 10
	searches     = 40 // of each kind
	importedRows = 100_000
)

// seedNeighbours fills smaller organizations beside the large one.
func (b *bench) seedNeighbours(ctx context.Context) error {
	tx, err := b.postgres.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, statement := range []string{
		`CREATE TEMPORARY TABLE neighbours ON COMMIT DROP AS SELECT gen_random_uuid() AS id, n FROM generate_series(1, $1) AS n`,
		`INSERT INTO organizations (id, display_name, epoch, create_time, update_time) SELECT id, 'Neighbour ' || n, 1, 1, 1 FROM neighbours LIMIT $1`,
		`INSERT INTO organization_clock (organization_id, users_active) SELECT id, 10 FROM neighbours LIMIT $1`,
		`INSERT INTO users (organization_id, id, email, email_key, first_name, last_name, display_name, name_key, confirmed, enabled, epoch, create_time, update_time)
			SELECT id, gen_random_uuid(), 'ann.' || p || '@n' || n || '.example', 'ann.' || p || '@n' || n || '.example', 'Ann', 'Berg', 'Ann Berg', 'ann berg', TRUE, TRUE, 1, p, p
			FROM (SELECT * FROM neighbours LIMIT $1) AS o, generate_series(1, 10) AS p`,
	} {
		if _, err := tx.ExecContext(ctx, statement, neighbours); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// feat is something large that is done once, or some times, and timed.
type feat struct {
	name   string
	most   float64 // of the figure; 0: no goal
	figure float64
	unit   string
	beside string // the bare SQL, or what else there is to say
}

// doFeats does what only a large organization shows, and prints it.
func (b *bench) doFeats(ctx context.Context, out io.Writer) error {
	conn, err := rig.Dial(b.server.GRPC)
	if err != nil {
		return err
	}
	defer conn.Close()
	users := identityv1.NewUserServiceClient(conn)
	ctx = rig.Bearing(ctx, b.admin.Token)
	var feats []feat
	for _, step := range []func(context.Context, identityv1.UserServiceClient) ([]feat, error){
		b.searchFeats, b.badgeFeats, b.bulkFeat, b.exportFeat, b.importFeat,
	} {
		done, err := step(ctx, users)
		if feats = append(feats, done...); err != nil {
			feats = append(feats, feat{name: "not done: " + err.Error()})
		}
		progress("%s", feats[len(feats)-1].name)
	}
	fmt.Fprintf(out, "\n%d users in one organization, %d organizations of %d beside it.\n\n| what | at most | measured | | beside |\n|---|--:|--:|---|---|\n", b.options.users, neighbours, theirPeople)
	for _, f := range feats {
		most, verdict := "", ""
		if f.most > 0 {
			most, verdict = fmt.Sprintf("%.3g %s", f.most, f.unit), "met"
			if f.figure > f.most {
				verdict = "**missed**"
			}
		}
		fmt.Fprintf(out, "| %s | %s | %.3g %s | %s | %s |\n", f.name, most, f.figure, f.unit, verdict, f.beside)
	}
	return nil
}

// middling times a call some times, in milliseconds.
func middling(times int, call func(n int) error) (float64, error) {
	took := make([]float64, times)
	for n := range took {
		start := time.Now()
		if err := call(n); err != nil {
			return 0, err
		}
		took[n] = time.Since(start).Seconds() * 1000
	}
	slices.Sort(took)
	return took[times/2], nil
}

func (b *bench) searchFeats(ctx context.Context, users identityv1.UserServiceClient) (feats []feat, err error) {
	type filter = identityv1.ListUsersRequest_Filter
	for _, search := range []struct {
		name string
		of   func(n int) *filter
		bare string
	}{
		{"rare e-mail part", func(n int) *filter { return &filter{Email: fmt.Sprintf(".%06d@", n*7919)} }, `email_key LIKE '%.000017@%'`},
		{"frequent e-mail part", func(int) *filter { return &filter{Email: "customer.example"} }, `email_key LIKE '%customer.example%'`},
		{"name part, one in thirteen", func(n int) *filter { return &filter{Name: strings.ToLower(lastNames[n%len(lastNames)])} }, `name_key LIKE '%moreau%'`},
		{"name that is rare with an e-mail part", func(n int) *filter {
			return &filter{Name: "ann abel", Email: fmt.Sprintf("%05d@", n*131)}
		}, `name_key LIKE '%ann abel%' AND email_key LIKE '%00143@%'`},
		{"name that nobody has", func(int) *filter { return &filter{Name: "nobodyatall"} }, `name_key LIKE '%nobodyatall%'`},
		{"beginning of a word", func(int) *filter { return &filter{Name: "mo"} }, `name_key LIKE 'mo%'`},
	} {
		took, err := middling(searches, func(n int) error {
			_, err := users.ListUsers(ctx, &identityv1.ListUsersRequest{Filter: search.of(n)})
			return err
		})
		if err != nil {
			return feats, err
		}
		bare, err := middling(5, func(int) error {
			rows, err := b.postgres.db.QueryContext(ctx, `SELECT id FROM users WHERE organization_id = $1 AND delete_time = 0 AND `+search.bare+` ORDER BY email_key, id LIMIT 50`, b.org) //nolint:gosec // constants of ours
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
			}
			return rows.Err()
		})
		if err != nil {
			return feats, err
		}
		feats = append(feats, feat{"search, page of 50 and total, p50: " + search.name, 10, took, "ms", fmt.Sprintf("page alone by bare SQL %.1f ms", bare)})
	}
	return feats, nil
}

func (b *bench) badgeFeats(ctx context.Context, users identityv1.UserServiceClient) ([]feat, error) {
	page, err := middling(searches, func(int) error {
		_, err := users.ListUsers(ctx, &identityv1.ListUsersRequest{PageSize: 1})
		return err
	})
	if err != nil {
		return nil, err
	}
	badges, err := middling(searches, func(int) error {
		_, err := users.ListUsers(ctx, &identityv1.ListUsersRequest{PageSize: 1, WithSummary: true})
		return err
	})
	if err != nil {
		return nil, err
	}
	bare, err := middling(searches, func(int) error {
		var n int64
		return b.postgres.db.QueryRowContext(ctx, `SELECT users_active FROM organization_clock WHERE organization_id = $1`, b.org).Scan(&n)
	})
	return []feat{{"badges of everybody, p50, beyond the page itself", 0.2, max(badges-page, 0), "ms", fmt.Sprintf("bare SQL, not prepared %.2f ms", bare)}}, err
}

// bulkFeat disables everybody of some names while pages are read.
func (b *bench) bulkFeat(ctx context.Context, users identityv1.UserServiceClient) ([]feat, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	reading, stop := context.WithCancel(ctx)
	slowest := make(chan time.Duration)
	go func() {
		var most time.Duration
		for reading.Err() == nil {
			start := time.Now()
			_, err := users.ListUsers(ctx, &identityv1.ListUsersRequest{})
			if most = max(most, time.Since(start)); err != nil {
				most = time.Hour
			}
			time.Sleep(10 * time.Millisecond)
		}
		slowest <- most
	}()
	start := time.Now()
	done, err := users.BulkDisableUsers(ctx, &identityv1.BulkDisableUsersRequest{Filter: &identityv1.ListUsersRequest_Filter{Email: disabledPart}})
	took := time.Since(start).Seconds()
	stop()
	most := <-slowest
	if err != nil {
		return nil, err
	}
	if most == time.Hour {
		return nil, errors.New("reading failed meanwhile")
	}
	return []feat{{fmt.Sprintf("bulk disable of %d with an event each, pages read meanwhile", done.GetChanged()), 4, took, "s", fmt.Sprintf("slowest page meanwhile %d ms", most.Milliseconds())}}, nil
}

// disabledPart is in the addresses of one user in ten.
const disabledPart = "7@customer"

func (b *bench) exportFeat(ctx context.Context, users identityv1.UserServiceClient) ([]feat, error) {
	before := b.memory()
	start := time.Now()
	stream, err := users.ExportUsers(ctx, &identityv1.ExportUsersRequest{})
	if err != nil {
		return nil, err
	}
	rows := 0
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		rows += strings.Count(string(part.GetData()), "\n")
	}
	took := time.Since(start).Seconds()
	return []feat{{fmt.Sprintf("export of %d rows as CSV", rows-1), 0, took, "s", fmt.Sprintf("%.0f rows a second; memory %.0f MiB before, %.0f after", float64(rows)/took, before, b.memory())}}, nil
}

func (b *bench) importFeat(ctx context.Context, users identityv1.UserServiceClient) ([]feat, error) {
	before := b.memory()
	start := time.Now()
	stream, err := users.ImportUsers(ctx)
	if err != nil {
		return nil, err
	}
	sent := make(chan error, 1)
	go func() { sent <- sendRows(stream) }()
	var summary *identityv1.ImportUsersResponse_Summary
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if part.GetSummary() != nil {
			summary = part.GetSummary()
		}
	}
	took := time.Since(start).Seconds()
	if err := <-sent; err != nil {
		return nil, err
	}
	return []feat{{fmt.Sprintf("import of %d rows, %d created", summary.GetRows(), summary.GetCreated()), 0, took, "s", fmt.Sprintf("%.0f rows a second; memory %.0f MiB before, %.0f after", float64(summary.GetRows())/took, before, b.memory())}}, nil
}

func sendRows(stream grpc.BidiStreamingClient[identityv1.ImportUsersRequest, identityv1.ImportUsersResponse]) error {
	text := strings.Builder{}
	text.WriteString("email,first_name,last_name,roles\n")
	for n := range importedRows {
		fmt.Fprintf(&text, "imported.%s@customer.example,%s,%s,%s\n", uuid.NewString(), firstNames[n%len(firstNames)], lastNames[n%len(lastNames)], rig.Developer)
		if text.Len() > 60<<10 || n == importedRows-1 {
			if err := stream.Send(&identityv1.ImportUsersRequest{Data: []byte(text.String())}); err != nil {
				return err
			}
			text.Reset()
		}
	}
	return stream.CloseSend()
}

// memory is what the service holds, in MiB; 0 where it cannot be told.
func (b *bench) memory() float64 {
	n, err := resident(b.server.PID)
	if err != nil {
		return 0
	}
	return mebibytes(n)
}

// printFeats is doFeats for the large mode only.
func (b *bench) printFeats(ctx context.Context) error {
	if b.options.users < million {
		return nil
	}
	return b.doFeats(ctx, os.Stdout)
}
