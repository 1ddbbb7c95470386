package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/rig"
	"github.com/bizmetry/identity/store"
)

// tablesOfCreate are those that a new person has rows in, with the column that
// names the person. The outbox comes first: a message is soon sent and erased.
var tablesOfCreate = [...]struct{ table, whose string }{
	{"outbox", "principal_id"}, {"users", "id"}, {"grants", "principal_id"}, {"links", "user_id"}, {"events", "target_id"}, {"directory", "id"},
}

// writtenRow is a row that the service wrote.
type writtenRow struct {
	table   string
	columns []string
	values  []any
}

// recordedCreate is what one CreateUser wrote, to be written again for others.
type recordedCreate struct {
	person  *identityv1.User
	rows    []writtenRow
	budgets []writtenRow
}

// recordCreate has the service create a few people, and reads what the last of them is made of.
func (b *bench) recordCreate(ctx context.Context, conn *grpc.ClientConn) (c recordedCreate, err error) {
	r := rpc{user: identityv1.NewUserServiceClient(conn)}
	for n := range 20 {
		var before int64
		if err = b.postgres.db.QueryRowContext(ctx, `SELECT txid_snapshot_xmax(txid_current_snapshot())`).Scan(&before); err != nil {
			return c, err
		}
		c = recordedCreate{}
		if c.person, err = r.user.CreateUser(rig.Bearing(ctx, b.admin.Token), &identityv1.CreateUserRequest{User: newcomer("recorded", n, "")}); err != nil {
			return c, err
		}
		for _, t := range tablesOfCreate {
			rows, err := b.writtenRows(ctx, t.table, t.whose+` = $1`, c.person.GetId())
			if err != nil {
				return c, err
			}
			c.rows = append(c.rows, rows...)
		}
		if c.budgets, err = b.writtenRows(ctx, "budgets", `CAST(CAST(xmin AS TEXT) AS BIGINT) >= $1`, before); err != nil {
			return c, err
		}
		if n > 0 && c.whole() { // from the second on, budgets of the caller are those that are used again
			return c, nil
		}
	}
	return c, errors.New("what the service writes for a new person could not be read before its mail was sent")
}

// whole tells whether the message was read before it was erased.
func (c recordedCreate) whole() bool {
	for _, r := range c.rows {
		for i, column := range r.columns {
			if r.table == "outbox" && column == "sealed" && r.values[i] != nil {
				return true
			}
		}
	}
	return false
}

func (b *bench) writtenRows(ctx context.Context, table, where string, arg any) (all []writtenRow, err error) {
	rows, err := b.postgres.db.QueryContext(ctx, `SELECT * FROM `+table+` WHERE `+where, arg) //nolint:gosec // both are ours
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		r := writtenRow{table: table, values: make([]any, len(types))}
		into := make([]any, len(types))
		for i := range types {
			r.columns = append(r.columns, types[i].Name())
			into[i] = &r.values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		for i, v := range r.values {
			if text, ok := v.([]byte); ok && types[i].DatabaseTypeName() != "BYTEA" { // the driver's form of a UUID
				r.values[i] = string(text)
			}
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// createFloor writes for each call the rows that the service wrote for a new
// person, with other ids, names and keys, in one transaction of five
// statements: BEGIN, the clock row, the budgets, all other rows, COMMIT. It
// reads nothing, checks nothing and sends no mail.
func (b *bench) createFloor(ctx context.Context, c recordedCreate) (*job, error) {
	clock, err := b.postgres.db.PrepareContext(ctx,
		`UPDATE organization_clock SET event_seq = event_seq + 1, users_pending = users_pending + 1 WHERE organization_id = $1 RETURNING event_seq`)
	if err != nil {
		return nil, err
	}
	rows, err := b.postgres.db.PrepareContext(ctx, insertJoined(c.rows))
	if err != nil {
		return nil, err
	}
	budgets, err := b.postgres.db.PrepareContext(ctx, spendOn(len(c.budgets)))
	if err != nil {
		return nil, err
	}
	var turn sync.Mutex // the service has changes of an organization wait outside the database too
	return &job{name: floorCreate, calls: callsOfCreate, pid: os.Getpid(), call: func(ctx context.Context, n int) error {
		u, spent := c.stranger(b.floorOrg, n), c.freshBudgets()
		turn.Lock()
		defer turn.Unlock()
		tx, err := b.postgres.db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		var seq, used int64
		if err := tx.StmtContext(ctx, clock).QueryRowContext(ctx, b.floorOrg).Scan(&seq); err != nil { //nolint:sqlclosecheck // the transaction closes it
			return err
		}
		if err := tx.StmtContext(ctx, budgets).QueryRowContext(ctx, spent...).Scan(&used); err != nil { //nolint:sqlclosecheck // as above
			return err
		}
		if _, err := tx.StmtContext(ctx, rows).ExecContext(ctx, c.renamed(u, seq)...); err != nil { //nolint:sqlclosecheck // as above
			return err
		}
		return tx.Commit()
	}}, nil
}

// insertJoined is one statement that writes rows of several tables.
func insertJoined(rows []writtenRow) string {
	var text strings.Builder
	parameters := 0
	for i, r := range rows {
		switch {
		case i == len(rows)-1:
			text.WriteString(" ")
		case i == 0:
			text.WriteString("WITH part_0 AS (")
		default:
			fmt.Fprintf(&text, ", part_%d AS (", i)
		}
		fmt.Fprintf(&text, "INSERT INTO %s (%s) VALUES (%s)", r.table, strings.Join(r.columns, ", "), marks(&parameters, len(r.columns)))
		if i < len(rows)-1 {
			text.WriteString(")")
		}
	}
	return text.String()
}

func spendOn(budgets int) string {
	var values []string
	parameters := 0
	for range budgets {
		values = append(values, "("+marks(&parameters, 3)+")")
	}
	return `INSERT INTO budgets (key, used, end_time) VALUES ` + strings.Join(values, ", ") +
		` ON CONFLICT (key) DO UPDATE SET used = budgets.used + excluded.used RETURNING used`
}

// marks are the next n parameters.
func marks(used *int, n int) string {
	var all []string
	for range n {
		*used++
		all = append(all, fmt.Sprintf("$%d", *used))
	}
	return strings.Join(all, ", ")
}

// stranger is what takes the place of each text of the person who was recorded.
func (c recordedCreate) stranger(org string, n int) map[any]string {
	in, u := newcomer("floor", n, ""), person(org, n, store.At(time.Now()))
	return map[any]string{
		c.person.GetOrganizationId(): org, c.person.GetId(): u.ID, c.person.GetEmail(): in.GetEmail(),
		c.person.GetFirstName(): u.FirstName, c.person.GetLastName(): u.LastName,
		c.person.GetDisplayName(): u.DisplayName, strings.ToLower(c.person.GetDisplayName()): u.NameKey,
	}
}

// renamed are the values of all rows for another person.
func (c recordedCreate) renamed(u map[any]string, seq int64) (values []any) {
	for _, r := range c.rows {
		for i, v := range r.values {
			switch r.table + "." + r.columns[i] {
			case "events.seq":
				v = seq
			case "links.digest":
				v = digest()
			case "outbox.id":
				v = uuid.Must(uuid.NewV7()).String()
			case "outbox.channel":
				v = "none" // the service looks for what it has to send by channel
			default:
				if text, ok := v.(string); ok {
					if other, ok := u[text]; ok {
						v = other
					}
				}
			}
			values = append(values, v)
		}
	}
	return values
}

// freshBudgets are the parameters for the budgets of another person: those
// that were used before are of the caller and the organization, and stay.
func (c recordedCreate) freshBudgets() (args []any) {
	for _, r := range c.budgets {
		var key, used, end any
		for i, column := range r.columns {
			switch column {
			case "key":
				key = r.values[i]
			case "used":
				used = r.values[i]
			case "end_time":
				end = r.values[i]
			}
		}
		if used == int64(1) {
			key = digest()
		}
		args = append(args, key, 1, end)
	}
	return args
}

// digest is as long as one, and falls anywhere in an index like one.
func digest() string {
	sum := make([]byte, 32)
	_, _ = rand.Read(sum) // never fails
	return hex.EncodeToString(sum)
}
