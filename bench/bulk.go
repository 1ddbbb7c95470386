package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/rig"
	"github.com/bizmetry/identity/store"
)

// Names of the bulk changes. The bare ones are their floors.
const (
	bulkDisable = "bulk disable"
	bulkEnable  = "bulk enable"
	bareOf      = "bare "
)

// doWholes does what is done once to very many people.
func (b *bench) doWholes(ctx context.Context, conn *grpc.ClientConn) (wholes []whole, err error) {
	client := identityv1.NewUserServiceClient(conn)
	filter := &identityv1.ListUsersRequest_Filter{RoleId: new(rig.Integration)}
	disable := func(ctx context.Context) (int, error) {
		resp, err := client.BulkDisableUsers(rig.Bearing(ctx, b.admin.Token), &identityv1.BulkDisableUsersRequest{Filter: filter})
		return int(resp.GetChanged()), err
	}
	enable := func(ctx context.Context) (int, error) {
		resp, err := client.BulkEnableUsers(rig.Bearing(ctx, b.admin.Token), &identityv1.BulkEnableUsersRequest{Filter: filter})
		return int(resp.GetChanged()), err
	}
	bareDisable := func(ctx context.Context) (int, error) { return b.bareBulk(ctx, false) }
	bareEnable := func(ctx context.Context) (int, error) { return b.bareBulk(ctx, true) }
	for _, one := range []func(context.Context, *grpc.ClientConn) (whole, error){b.exportAll, b.importSome} {
		w, err := one(ctx, conn)
		if err != nil {
			return nil, err
		}
		wholes = append(wholes, w)
	}
	// The first change finds another table than all that follow: it does not count.
	for _, change := range []func(context.Context) (int, error){bareDisable, bareEnable} {
		if _, err := change(ctx); err != nil {
			return nil, err
		}
	}
	for _, one := range []struct {
		name   string
		change func(context.Context) (int, error)
	}{{bareOf + bulkDisable, bareDisable}, {bareOf + bulkEnable, bareEnable}, {bulkDisable, disable}, {bulkEnable, enable}} {
		w, err := b.besideReads(ctx, conn, one.name, one.change)
		if err != nil {
			return nil, err
		}
		wholes = append(wholes, w)
	}
	return wholes, nil
}

// bareBulk changes the same people by one statement, with an event each. The
// events belong to an organization that there is not, so that no service reads them.
func (b *bench) bareBulk(ctx context.Context, enable bool) (int, error) {
	kind := store.EventUserDisabled
	if enable {
		kind = store.EventUserEnabled
	}
	operation := uuid.Must(uuid.NewV7()).String()
	done, err := b.postgres.db.ExecContext(ctx, `
		WITH changed AS (
			UPDATE users SET enabled = $2, version = version + 1, update_time = $3, epoch = $3
			WHERE organization_id = $1 AND delete_time = 0 AND enabled <> $2 AND EXISTS (SELECT 1 FROM grants g
				WHERE g.organization_id = users.organization_id AND g.principal_id = users.id AND g.role_id = $4)
			RETURNING id)
		INSERT INTO events (organization_id, seq, time, type, actor_id, credential_id, target_id, data, request_id, source, operation_id)
		SELECT CAST($5 AS UUID), ROW_NUMBER() OVER (), $3, $6, $7, $8, CAST(id AS TEXT), '{}', $9, '127.0.0.1', $9 FROM changed`,
		b.org, enable, int64(store.At(time.Now())), rig.Integration, operation, kind, b.admin.ID, b.admin.Credential, operation)
	if err != nil {
		return 0, err
	}
	n, err := done.RowsAffected()
	return int(n), err
}

// besideReads changes many people while four clients go on reading pages, each
// ten times a second. Each change finds tables without dead rows, and writes
// after a checkpoint, as the others do.
func (b *bench) besideReads(ctx context.Context, conn *grpc.ClientConn, name string, change func(context.Context) (int, error)) (whole, error) {
	if err := b.postgres.exec(ctx, `VACUUM users`, `CHECKPOINT`); err != nil {
		return whole{}, err
	}
	r := rpc{identityv1.NewRoleServiceClient(conn), identityv1.NewUserServiceClient(conn)}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan measurement, 1)
	var begun atomic.Bool
	read := b.list(r, "")
	go func() {
		ended <- load(reading, &job{call: func(ctx context.Context, n int) error {
			time.Sleep(pause)
			begun.Store(true)
			return read(ctx, n)
		}}, 4, 1_000_000, 0)
	}()
	for !begun.Load() {
		time.Sleep(10 * time.Millisecond)
	}
	w, err := b.account(ctx, name, change)
	stop()
	m := merge([]measurement{<-ended})
	w.read = quantile(m.took, 0.9) - pause
	w.note = fmt.Sprintf("pages read meanwhile: p50 %.0f ms, p90 %.0f ms, p99 %.0f ms, %d failed",
		(quantile(m.took, 0.5)-pause).Seconds()*1000, w.read.Seconds()*1000, (quantile(m.took, 0.99)-pause).Seconds()*1000, m.failed)
	return w, err
}

// pause is between two reads of a client beside a bulk change.
const pause = 100 * time.Millisecond

// printBulkGoals compares the bulk changes with the bare ones.
func printBulkGoals(out io.Writer, wholes []whole) {
	for _, w := range wholes {
		i := slices.IndexFunc(wholes, func(other whole) bool { return other.name == bareOf+w.name })
		if i < 0 {
			continue
		}
		floor := wholes[i]
		goal(out, fmt.Sprintf("%s of %d, with reads going on: CPU / (one bare UPDATE with its events)", w.name, w.rows),
			bulkMost, (w.server+w.database).Seconds()/(floor.server+floor.database).Seconds(), "%.2f")
		goal(out, fmt.Sprintf("pages read meanwhile: p90 / (p90 beside the bare UPDATE, %.0f ms)", floor.read.Seconds()*1000),
			readMost, w.read.Seconds()/floor.read.Seconds(), "%.2f")
	}
}
