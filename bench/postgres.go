package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	_ "github.com/bizmetry/identity/store" // brings the driver
)

// postgres is a private server with the settings of a production one as far as
// they matter here: what is committed is on the disk.
type postgres struct {
	folder string // data and socket
	bin    string
	as     *syscall.Credential // nil: ourselves
	cmd    *exec.Cmd
	db     *sql.DB
}

// startPostgres makes a server with an empty database in a folder.
func startPostgres(ctx context.Context, folder string) (*postgres, error) {
	p := &postgres{folder: folder}
	var err error
	if p.bin, err = serverPrograms(); err != nil {
		return p, err
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		return p, err
	}
	if os.Getuid() == 0 { // the server refuses to be root
		if p.as, err = credential("postgres"); err != nil {
			return p, err
		}
		if err := os.Chown(folder, int(p.as.Uid), int(p.as.Gid)); err != nil {
			return p, err
		}
	}
	data := filepath.Join(folder, "data")
	if out, err := p.command(ctx, "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C").CombinedOutput(); err != nil {
		return p, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	log, err := os.Create(folder + ".log")
	if err != nil {
		return p, err
	}
	defer log.Close()
	p.cmd = p.command(context.WithoutCancel(ctx), "postgres", "-D", data, "-k", folder,
		"-c", "listen_addresses=", "-c", "fsync=on", "-c", "synchronous_commit=on",
		"-c", "shared_preload_libraries=pg_stat_statements", "-c", "timezone=UTC")
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return p, err
	}
	if p.db, err = sql.Open("postgres", p.url()); err != nil {
		return p, err
	}
	p.db.SetMaxOpenConns(10) // as many as the service has
	p.db.SetMaxIdleConns(10)
	return p, p.ready(ctx)
}

func (p *postgres) url() string {
	return "postgres://postgres@/postgres?host=" + p.folder + "&sslmode=disable"
}

func (p *postgres) ready(ctx context.Context) error {
	var err error
	for range 300 {
		if err = p.db.PingContext(ctx); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err == nil {
		// It is loaded, but looks only while statements are counted.
		err = p.exec(ctx, `CREATE EXTENSION pg_stat_statements`, `ALTER SYSTEM SET pg_stat_statements.track = 'none'`,
			`SELECT pg_reload_conf()`)
	}
	if err != nil {
		text, _ := os.ReadFile(p.folder + ".log")
		return fmt.Errorf("PostgreSQL (with contrib) does not answer: %w\n%s", err, text)
	}
	return nil
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
	if p.cmd != nil && p.cmd.Process != nil {
		_ = p.cmd.Process.Signal(syscall.SIGQUIT)
		_ = p.cmd.Wait()
	}
}

// command is a program of the server that runs as its user.
func (p *postgres) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, program), args...) //nolint:gosec // the folder is the distribution's, the arguments are ours
	cmd.Dir, cmd.Env = "/", []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.as, Setpgid: true, Pdeathsig: syscall.SIGQUIT}
	return cmd
}

// serverPrograms finds the folder of initdb and postgres, the newest on Debian.
func serverPrograms() (string, error) {
	if path, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(path), nil
	}
	folders, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(folders) == 0 {
		return "", errors.New("PostgreSQL's server programs are neither on PATH nor under /usr/lib/postgresql")
	}
	slices.SortFunc(folders, func(a, b string) int { return major(a) - major(b) })
	return folders[len(folders)-1], nil
}

func major(folder string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(folder)))
	return n
}

func credential(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
}
