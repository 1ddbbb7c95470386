package main

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/bizmetry/identity/rig"
)

// postgres is a private server with the settings of a production one as far as
// they matter here: what is committed is on the disk.
type postgres struct {
	*rig.Cluster
	db *sql.DB
}

func startPostgres(ctx context.Context, settings ...string) (*postgres, error) {
	cluster, err := rig.StartCluster(ctx, append(settings, "fsync=on", "synchronous_commit=on", "shared_preload_libraries=pg_stat_statements")...)
	if err != nil {
		return nil, err
	}
	p := &postgres{Cluster: cluster}
	if p.db, err = sql.Open("postgres", p.URL("postgres")); err != nil {
		return p, err
	}
	p.db.SetMaxOpenConns(10) // as many as the service has
	p.db.SetMaxIdleConns(10)
	// It is loaded (contrib has it), but looks only while statements are counted.
	return p, p.exec(ctx, `CREATE EXTENSION pg_stat_statements`, `ALTER SYSTEM SET pg_stat_statements.track = 'none'`,
		`SELECT pg_reload_conf()`)
}

func (p *postgres) exec(ctx context.Context, statements ...string) error {
	for _, s := range statements {
		if _, err := p.db.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

func (p *postgres) version(ctx context.Context) (v string, err error) {
	err = p.db.QueryRowContext(ctx, `SHOW server_version`).Scan(&v)
	v, _, _ = strings.Cut(v, " ")
	return v, err
}

// stop ends the server without a checkpoint: nothing of it is kept.
func (p *postgres) stop() {
	if p == nil {
		return
	}
	if p.db != nil {
		_ = p.db.Close()
	}
	p.Stop()
}
