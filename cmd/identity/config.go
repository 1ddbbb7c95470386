package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/bizmetry/identity/service/organization"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/store"
)

// databaseSettings are shared by all commands that open the database.
type databaseSettings struct {
	DatabaseMaxConns int    `name:"database-max-conns" env:"IDENTITY_DATABASE_MAX_CONNS" default:"10" help:"Connections to the database at most."`
	DatabasePrepare  onOff  `name:"database-prepare" env:"IDENTITY_DATABASE_PREPARE" placeholder:"on|off" default:"on" help:"off: send every statement plain, for poolers that cannot keep prepared ones."`
	MasterKeyFile    string `name:"master-key-file" env:"IDENTITY_MASTER_KEY_FILE" placeholder:"FILE" help:"Key ring: base64 of 32 bytes a line, the first one seals. Made beside an SQLite database; required with PostgreSQL."`
}

// Settings that may hold secrets come from the environment only.
const (
	databaseURLEnv       = "IDENTITY_DATABASE_URL"
	listenURLEnv         = "IDENTITY_DATABASE_LISTEN_URL"
	bootstrapPasswordEnv = "IDENTITY_BOOTSTRAP_PASSWORD"
	smtpURLEnv           = "IDENTITY_SMTP_URL"
	smsURLEnv            = "IDENTITY_SMS_URL"
	defaultDatabaseURL   = "sqlite:identity.db"
)

// Help lists them for the commands that read them.
func (databaseSettings) Help() string {
	return `From the environment only, because they may hold secrets:

  IDENTITY_DATABASE_URL        sqlite:FILE, or postgres://… with an explicit
                               sslmode (default sqlite:identity.db)
  IDENTITY_DATABASE_LISTEN_URL for notifications between replicas where the first
                               URL leads through a pooler (default: the same)
  IDENTITY_BOOTSTRAP_PASSWORD  password of the first administrator (default:
                               generated and printed once)
`
}

func databaseURL() string {
	if address := strings.TrimSpace(os.Getenv(databaseURLEnv)); address != "" {
		return address
	}
	return defaultDatabaseURL
}

func (d databaseSettings) open(ctx context.Context) (*store.Store, error) {
	return d.connect(ctx, false)
}

// connect opens the database; patiently for statements that may take long.
func (d databaseSettings) connect(ctx context.Context, patient bool) (*store.Store, error) {
	st, err := store.Open(ctx, store.Config{
		URL: databaseURL(), ListenURL: strings.TrimSpace(os.Getenv(listenURLEnv)), MaxConns: d.DatabaseMaxConns, Unprepared: !bool(d.DatabasePrepare),
		Patient: patient,
	})
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	return st, nil
}

// keyRing reads the master keys. It makes new ones only beside an embedded
// database that is still empty: anywhere else a missing key is a mistake that
// new ones would hide.
func (d databaseSettings) keyRing(ctx context.Context, st *store.Store) (*secret.KeyRing, error) {
	path := d.MasterKeyFile
	if path == "" {
		if !store.Embedded(databaseURL()) {
			return nil, errors.New("IDENTITY_MASTER_KEY_FILE is required with PostgreSQL")
		}
		path = strings.TrimPrefix(databaseURL(), "sqlite:") + ".key"
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return d.newKeyRing(ctx, st, path)
	}
	if err != nil {
		return nil, err
	}
	ring, err := secret.ParseKeyRing(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return ring, nil
}

func (d databaseSettings) newKeyRing(ctx context.Context, st *store.Store, path string) (*secret.KeyRing, error) {
	empty, err := organization.Empty(ctx, st)
	if err != nil {
		return nil, err
	}
	if !empty || !store.Embedded(databaseURL()) {
		return nil, fmt.Errorf("the master key file %s is not there", path)
	}
	line, err := secret.NewKeyLine(rand.Reader)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(path, []byte(line+"\n"), 0o600); err != nil {
		return nil, err
	}
	return secret.ParseKeyRing([]byte(line))
}

// checkAddr refuses to listen beyond this machine without TLS, unless a proxy
// is said to provide it.
func checkAddr(name, addr, insecure string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	ip, err := netip.ParseAddr(host)
	if host == "localhost" || (err == nil && ip.IsLoopback()) || insecure == "behind-proxy" {
		return nil
	}
	return fmt.Errorf("%s=%s is reachable from other machines without TLS: set IDENTITY_INSECURE=behind-proxy if a proxy provides it", name, addr)
}
