package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/google/uuid"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the schema to the newest version, forward only. Of several
// at once one does the work and the others wait.
func (s *Store) Migrate(ctx context.Context) error {
	p, err := s.provider()
	if err != nil {
		return err
	}
	if err := s.up(ctx, p); err != nil {
		return fmt.Errorf("migrate: %w", translate(err))
	}
	return s.Short(ctx, func(t *ShortTx) error {
		_, err := t.exec(ctx, `
			INSERT INTO store_incarnation (only_row, incarnation, create_time) VALUES (TRUE, ?, ?)
			ON CONFLICT DO NOTHING`, uuid.NewString(), At(time.Now()))
		return err
	})
}

// up runs the migrations. PostgreSQL has a lock for it; on SQLite whoever
// came second fails at what the first one did, and looks again.
func (s *Store) up(ctx context.Context, p *goose.Provider) error {
	const tries = 10
	for try := 1; ; try++ {
		_, err := p.Up(ctx)
		if err == nil || s.dialect != "sqlite" || try == tries {
			return err
		}
		select {
		case <-time.After(time.Duration(try) * 20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Pending tells how many migrations are still to be done, without doing any.
func (s *Store) Pending(ctx context.Context) (int, error) {
	p, err := s.provider()
	if err != nil {
		return 0, err
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return 0, translate(err)
	}
	if current > target {
		return 0, errors.New("the database was migrated by a newer version of this program")
	}
	return int(target - current), nil
}

func (s *Store) provider() (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	if s.dialect == "sqlite" {
		return goose.NewProvider(goose.DialectSQLite3, s.write.DB, files, goose.WithLogger(goose.NopLogger()))
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, s.write.DB, files,
		goose.WithSessionLocker(locker), goose.WithLogger(goose.NopLogger()),
		goose.WithGoMigrations(
			goose.NewGoMigration(3, &goose.GoFunc{RunTx: tunePostgres}, nil),
			goose.NewGoMigration(12, &goose.GoFunc{RunTx: searchPostgres}, nil),
			goose.NewGoMigration(13, &goose.GoFunc{RunTx: freeRows}, nil),
			goose.NewGoMigration(14, &goose.GoFunc{RunTx: freePeople}, nil),
			goose.NewGoMigration(18, &goose.GoFunc{RunTx: searchAccounts}, nil),
		))
}

// freeRows has events and grants refer to their organization no more.
// PostgreSQL looks that up for every single row, which costs a bulk change a
// third of its events; the clock row refers to it already, and whoever writes
// them holds that one's lock.
func freeRows(ctx context.Context, tx *sql.Tx) error {
	return inTurn(ctx, tx,
		`ALTER TABLE events DROP CONSTRAINT IF EXISTS events_organization_id_fkey`,
		`ALTER TABLE grants DROP CONSTRAINT IF EXISTS grants_organization_id_fkey`,
	)
}

// freePeople does the same for people and their links, for whom nobody deletes
// an organization either.
func freePeople(ctx context.Context, tx *sql.Tx) error {
	return inTurn(ctx, tx,
		`ALTER TABLE users DROP CONSTRAINT IF EXISTS users_organization_id_fkey`,
		`ALTER TABLE links DROP CONSTRAINT IF EXISTS links_organization_id_fkey`,
	)
}

// searchPostgres adds the index for parts of names and addresses, which leads
// with the organization like all others. Of what is still to be put into it no
// more than 512 kB are left lying, because every search reads that too. SQLite
// scans the organization.
func searchPostgres(ctx context.Context, tx *sql.Tx) error {
	return inTurn(ctx, tx,
		`CREATE EXTENSION IF NOT EXISTS pg_trgm`,
		`CREATE EXTENSION IF NOT EXISTS btree_gin`,
		`CREATE INDEX users__search ON users USING gin (organization_id, name_key gin_trgm_ops, email_key gin_trgm_ops)
			WITH (gin_pending_list_limit = 512) WHERE delete_time = 0`,
	)
}

// searchAccounts adds the same for the names of machines.
func searchAccounts(ctx context.Context, tx *sql.Tx) error {
	return inTurn(ctx, tx,
		`CREATE INDEX service_accounts__search ON service_accounts USING gin (organization_id, name_key gin_trgm_ops)
			WITH (gin_pending_list_limit = 512) WHERE delete_time = 0`,
	)
}

// tunePostgres leaves room in the pages of rows that change often, so that
// PostgreSQL updates them in place. SQLite has no such thing.
func tunePostgres(ctx context.Context, tx *sql.Tx) error {
	return inTurn(ctx, tx,
		`ALTER TABLE organization_clock SET (fillfactor = 50)`,
		`ALTER TABLE users SET (fillfactor = 85)`,
		`ALTER TABLE service_accounts SET (fillfactor = 85)`,
		`ALTER TABLE credentials SET (fillfactor = 85)`,
		`ALTER TABLE sessions SET (fillfactor = 85)`,
	)
}

// inTurn runs statements of a migration.
func inTurn(ctx context.Context, tx *sql.Tx, statements ...string) error {
	for _, statement := range statements {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// Incarnation names this copy of the data; a restore makes a new one.
func (r Reads) Incarnation(ctx context.Context) (id string, err error) {
	err = r.one(ctx, &id, `SELECT incarnation FROM store_incarnation`)
	return id, err
}
