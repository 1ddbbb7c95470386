package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

func init() { sqlx.BindDriver("sqlite", sqlx.QUESTION) }

// Config says which database and how much of it to use.
type Config struct {
	// URL is "sqlite:FILE" or "postgres://…" with an explicit sslmode.
	URL string
	// ListenURL reaches PostgreSQL itself where URL leads through a pooler; empty: URL.
	ListenURL string
	// Unprepared sends every statement plain, for poolers that cannot keep them prepared.
	Unprepared bool
	// MaxConns bounds the connections to PostgreSQL, or the readers of SQLite; 0 means 10.
	MaxConns int
	// Patient lets statements take their time: for migrations, which may build
	// indexes of large tables.
	Patient bool
}

// How long a statement may take, and how long a connection may be silent while
// it is waited for.
const (
	statementTimeout = 8 * time.Second
	silence          = statementTimeout + 2*time.Second
)

// Embedded tells whether the URL names the embedded database.
func Embedded(address string) bool { return strings.HasPrefix(address, "sqlite:") }

// Open connects to the database; it neither makes nor changes a schema.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.MaxConns <= 0 {
		cfg.MaxConns = 10
	}
	switch {
	case Embedded(cfg.URL):
		return openSQLite(ctx, strings.TrimPrefix(cfg.URL, "sqlite:"), cfg)
	case strings.HasPrefix(cfg.URL, "postgres://"), strings.HasPrefix(cfg.URL, "postgresql://"):
		return openPostgres(ctx, cfg)
	}
	return nil, errors.New("the database URL must begin with sqlite: or postgres://")
}

// openSQLite opens one connection that writes and several that only read: a
// second writer would wait in SQLite, which does not honour deadlines.
// synchronous(FULL): an acknowledged revocation survives a power cut.
func openSQLite(ctx context.Context, path string, cfg Config) (*Store, error) {
	if path == "" {
		return nil, errors.New("sqlite: names no file")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)" +
		"&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)"
	write, err := sqlx.ConnectContext(ctx, "sqlite", dsn+"&_txlock=immediate")
	if err != nil {
		return nil, translate(err)
	}
	write.SetMaxOpenConns(1)
	read, err := sqlx.ConnectContext(ctx, "sqlite", dsn+"&_pragma=query_only(1)")
	if err != nil {
		return nil, errors.Join(translate(err), write.Close())
	}
	read.SetMaxOpenConns(cfg.MaxConns)
	read.SetMaxIdleConns(cfg.MaxConns)
	reserved, err := sqlx.ConnectContext(ctx, "sqlite", dsn+"&_pragma=query_only(1)")
	if err != nil {
		return nil, errors.Join(translate(err), read.Close(), write.Close())
	}
	reserved.SetMaxOpenConns(reservedConns)
	reserved.SetMaxIdleConns(reservedConns)
	return newStore("sqlite", pools{write, read, reserved}, cfg), nil
}

func openPostgres(ctx context.Context, cfg Config) (*Store, error) {
	dsn, err := postgresDSN(cfg.URL, cfg.Patient)
	if err != nil {
		return nil, err
	}
	db, err := dialPostgres(ctx, dsn, cfg.Patient)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(cfg.MaxConns)
	db.SetMaxIdleConns(cfg.MaxConns) // the default of two costs ten times the database's CPU
	db.SetConnMaxLifetime(30 * time.Minute)
	var commit string
	if err := db.GetContext(ctx, &commit, "SHOW synchronous_commit"); err != nil {
		return nil, errors.Join(translate(err), db.Close())
	}
	if commit == "off" {
		return nil, errors.Join(errors.New("synchronous_commit is off for this role: acknowledged changes could be lost"), db.Close())
	}
	reserved, err := dialPostgres(ctx, dsn, cfg.Patient)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	reserved.SetMaxOpenConns(reservedConns)
	reserved.SetMaxIdleConns(reservedConns)
	reserved.SetConnMaxLifetime(30 * time.Minute)
	s := newStore("postgres", pools{db, db, reserved}, cfg)
	s.listenURL = dsn
	if cfg.ListenURL != "" {
		s.listenURL, err = postgresDSN(cfg.ListenURL, cfg.Patient)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func dialPostgres(ctx context.Context, dsn string, patient bool) (*sqlx.DB, error) {
	connector, err := pq.NewConnector(dsn)
	if err != nil {
		return nil, translate(err)
	}
	if patient {
		connector.Dialer(newWire(0))
	} else {
		connector.Dialer(newWire(silence))
	}
	db := sqlx.NewDb(sql.OpenDB(connector), "postgres")
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(translate(err), db.Close())
	}
	return db, nil
}

// plans has PostgreSQL plan a statement once and for all values, so that
// nothing depends on how fresh statistics are or whom the first calls asked
// for; follow keys from row to row, never read all of a table beside; expect
// pages in memory or on a disk without a head; and compile nothing.
var plans = map[string]string{
	"plan_cache_mode": "force_generic_plan", "enable_hashjoin": "off", "enable_mergejoin": "off", "random_page_cost": "1.1", "jit": "off",
}

// postgresDSN refuses connections that would not be verified and adds limits.
func postgresDSN(text string, patient bool) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", errors.New("the database URL cannot be read") // the cause would show the password
	}
	q := u.Query()
	mode := q.Get("sslmode")
	switch {
	case mode == "":
		return "", errors.New("the database URL must name an sslmode: verify-full, or disable for this machine")
	case mode != "verify-full" && mode != "verify-ca" && !onThisMachine(u.Host, q["host"], q["hostaddr"], []string{os.Getenv("PGHOSTADDR")}):
		return "", fmt.Errorf("sslmode=%s does not verify the database's certificate: use verify-full", mode)
	}
	limits := map[string]string{
		"application_name":                    "identity",
		"connect_timeout":                     "5",
		"lock_timeout":                        "3000",
		"statement_timeout":                   strconv.FormatInt(statementTimeout.Milliseconds(), 10),
		"idle_in_transaction_session_timeout": strconv.FormatInt(silence.Milliseconds(), 10),
	}
	if patient {
		limits["statement_timeout"] = "0"
	}
	maps.Copy(limits, plans)
	for name, value := range limits {
		if !q.Has(name) {
			q.Set(name, value)
		}
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// onThisMachine tells whether every host that the driver could try, of the
// list before the path and of the parameters host and hostaddr, is a Unix
// socket or loopback.
func onThisMachine(authority string, params ...[]string) bool {
	named := 0
	for part := range strings.SplitSeq(authority, ",") {
		host, _, err := net.SplitHostPort(part)
		if err != nil {
			host = strings.Trim(part, "[]")
		}
		params = append(params, []string{host})
	}
	for _, host := range strings.Split(strings.Join(slices.Concat(params...), ","), ",") {
		if host == "" {
			continue
		}
		named++
		ip := net.ParseIP(host)
		if !strings.HasPrefix(host, "/") && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return false
		}
	}
	return named > 0
}
