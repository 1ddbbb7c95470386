package rig

import (
	"bytes"
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
	"sync"
	"syscall"
	"time"

	_ "github.com/bizmetry/identity/store" // brings the driver
)

// clusterPrefix begins the name of every cluster's folder. The folders lie in
// /tmp whatever TMPDIR says: the path of a socket has at most 107 bytes, and
// the user that the server runs as must be able to reach it.
const clusterPrefix = "/tmp/identity-pg-"

// Cluster is a private PostgreSQL server. It listens on a Unix socket in a
// temporary folder, so it cannot collide with another, and ends with the
// process that started it, however that ends. Its methods may be called from
// several goroutines, but for Kill, Shutdown, Restart and Stop.
type Cluster struct {
	bin      string              // the folder of initdb and postgres
	folder   string              // data, log and socket
	lock     *os.File            // held while the owner lives; see sweep
	as       *syscall.Credential // whom the server runs as; nil is ourselves
	settings []string
	admin    *sql.DB

	mu      sync.Mutex
	process *Process
}

// StartCluster makes a new PostgreSQL server, with settings ("fsync=on") beside
// those that keep it private, and waits until it answers. The caller must Stop
// it. It fails where PostgreSQL is not installed.
func StartCluster(ctx context.Context, settings ...string) (*Cluster, error) {
	bin, err := serverPrograms(ctx)
	if err != nil {
		return nil, err
	}
	as, err := serverUser()
	if err != nil {
		return nil, err
	}
	sweep()
	c := &Cluster{bin: bin, as: as, settings: settings}
	if err := c.init(ctx); err != nil {
		c.Stop()
		return nil, fmt.Errorf("make a PostgreSQL cluster: %w", err)
	}
	if err := c.start(ctx); err != nil {
		c.Stop()
		return nil, err
	}
	return c, nil
}

// Socket is the path of the Unix socket that the server listens on.
func (c *Cluster) Socket() string { return filepath.Join(c.folder, ".s.PGSQL.5432") }

// URL is the address of a database of the cluster.
func (c *Cluster) URL(database string) string {
	return "postgres://postgres@/" + database + "?host=" + c.folder + "&sslmode=disable"
}

// Create makes a database, as a copy of the template unless that is empty.
// Nobody may be connected to the template.
func (c *Cluster) Create(ctx context.Context, name, template string) error {
	text := "CREATE DATABASE " + quote(name) //nolint:gosec // a name cannot be a parameter; it is quoted
	if template != "" {
		text += " TEMPLATE " + quote(template)
	}
	if _, err := c.admin.ExecContext(ctx, text); err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}

// Drop removes a database, if it is there, and ends the connections to it.
func (c *Cluster) Drop(ctx context.Context, name string) error {
	text := "DROP DATABASE IF EXISTS " + quote(name) + " WITH (FORCE)" //nolint:gosec // as above
	if _, err := c.admin.ExecContext(ctx, text); err != nil {
		return fmt.Errorf("drop database %s: %w", name, err)
	}
	return nil
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// PID is the process of the server (the postmaster), 0 when none runs.
func (c *Cluster) PID() int {
	if p := c.running(); p != nil {
		return p.PID
	}
	return 0
}

// Kill ends the server and all its backends at once, as a power cut would,
// and returns when they are gone. Restart brings it back.
func (c *Cluster) Kill() {
	p := c.running()
	if p == nil {
		return
	}
	// A stopped postmaster makes no new backends. Each backend leads a process
	// group of its own, so a signal to the postmaster's would miss them.
	p.Signal(syscall.SIGSTOP)
	victims := children(p.PID)
	for _, pid := range victims {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	p.Kill()
	for _, pid := range victims {
		for range 500 {
			if _, _, ok := procStat(pid); !ok {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// Shutdown ends the server by a fast shutdown, as pg_ctl does: transactions
// are rolled back, and it writes a checkpoint. Restart brings it back.
func (c *Cluster) Shutdown() { c.end(syscall.SIGINT) }

// Restart ends the server, if it runs, without a checkpoint and starts it
// again on the same data. What was committed is there after it.
func (c *Cluster) Restart(ctx context.Context) error {
	c.end(syscall.SIGQUIT)
	return c.start(ctx)
}

// Stop ends the server and removes all it has written. It may be called twice.
func (c *Cluster) Stop() {
	if c.admin != nil {
		_ = c.admin.Close()
	}
	c.end(syscall.SIGQUIT)
	if c.folder != "" {
		_ = os.RemoveAll(c.folder)
	}
	if c.lock != nil {
		_ = c.lock.Close()
	}
}

// init makes the folder and the data in it.
func (c *Cluster) init(ctx context.Context) error {
	var err error
	if c.folder, err = os.MkdirTemp(filepath.Dir(clusterPrefix), filepath.Base(clusterPrefix)); err != nil {
		return err
	}
	if c.lock, err = os.Create(filepath.Join(c.folder, "lock")); err != nil {
		return err
	}
	if err := syscall.Flock(int(c.lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	if c.as != nil {
		if err := os.Chown(c.folder, int(c.as.Uid), int(c.as.Gid)); err != nil {
			return err
		}
	}
	cmd := c.command(ctx, "initdb", "-D", c.data(), "-U", "postgres", "-A", "trust",
		"-E", "UTF8", "--locale=C", "--no-sync")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	c.admin, err = sql.Open("postgres", c.URL("postgres"))
	return err
}

// start runs the server on the data folder and waits until it answers.
// The context bounds the waiting, not the life of the server.
func (c *Cluster) start(ctx context.Context) error {
	log, err := os.OpenFile(c.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	args := []string{"-D", c.data(), "-k", c.folder, "-c", "listen_addresses=", "-c", "timezone=UTC", "-c", "log_timezone=UTC"}
	for _, setting := range c.settings {
		args = append(args, "-c", setting)
	}
	cmd := c.command(context.WithoutCancel(ctx), "postgres", args...)
	cmd.Stdout, cmd.Stderr = log, log
	p, err := begin(cmd)
	if err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	c.mu.Lock()
	c.process = p
	c.mu.Unlock()
	return c.ready(ctx, p)
}

// ready waits until the server takes connections, for at most half a minute.
func (c *Cluster) ready(ctx context.Context, p *Process) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		err := c.admin.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.Exited:
			return fmt.Errorf("PostgreSQL ended at once:\n%s", c.logTail())
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL does not answer: %w\n%s", err, c.logTail())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// end asks the server to end, by force if that hangs.
func (c *Cluster) end(how syscall.Signal) {
	p := c.running()
	if p == nil {
		return
	}
	p.Signal(how)
	select {
	case <-p.Exited:
	case <-time.After(10 * time.Second):
		c.Kill()
	}
}

// running is the process of the server, nil when it has ended.
func (c *Cluster) running() *Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process == nil || !c.process.Running() {
		return nil
	}
	return c.process
}

func (c *Cluster) data() string    { return filepath.Join(c.folder, "data") }
func (c *Cluster) logFile() string { return filepath.Join(c.folder, "log") }

func (c *Cluster) logTail() []byte {
	text, err := os.ReadFile(c.logFile())
	if err != nil {
		return []byte(err.Error())
	}
	return text[max(0, len(text)-4096):]
}

// command is a program of the server that dies with us and runs as its user.
func (c *Cluster) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, program), args...) //nolint:gosec // the folder is the distribution's, the arguments are ours
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: c.as,
		Setpgid:    true, // a ^C at the terminal is ours to handle
		Pdeathsig:  syscall.SIGQUIT,
	}
	return cmd
}

// serverPrograms finds the folder that holds initdb and postgres.
func serverPrograms(ctx context.Context) (string, error) {
	var folders []string
	if path, err := exec.LookPath("postgres"); err == nil {
		folders = append(folders, filepath.Dir(path))
	}
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		folders = append(folders, strings.TrimSpace(string(out)))
	}
	versions, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // Debian keeps them off PATH
	slices.SortFunc(versions, func(a, b string) int { return version(b) - version(a) })
	folders = append(folders, versions...)

	for _, folder := range folders {
		_, err := exec.LookPath(filepath.Join(folder, "postgres"))
		_, err2 := exec.LookPath(filepath.Join(folder, "initdb"))
		if err == nil && err2 == nil {
			return folder, nil
		}
	}
	return "", errors.New("PostgreSQL's server programs (initdb and postgres) are needed, and are neither on PATH" +
		" nor where pg_config says nor under /usr/lib/postgresql: on Debian install the package postgresql")
}

// version is the 15 of /usr/lib/postgresql/15/bin.
func version(folder string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(folder)))
	return n
}

// serverUser is whom the server runs as when we are root, which it refuses to be.
func serverUser() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root, and there is neither a user postgres nor nobody: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// sweep removes what killed test binaries have left behind. A cluster whose
// lock is free has no owner any more; one just being made is left alone.
func sweep() {
	folders, _ := filepath.Glob(clusterPrefix + "*")
	for _, folder := range folders {
		info, err := os.Lstat(folder)
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		lock, err := os.Open(filepath.Join(folder, "lock"))
		if err != nil {
			continue
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(folder)
		}
		_ = lock.Close()
	}
}

// children are the live processes whose parent is the given one.
func children(parent int) []int {
	entries, _ := os.ReadDir("/proc")
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if _, ppid, ok := procStat(pid); ok && ppid == parent {
			pids = append(pids, pid)
		}
	}
	return pids
}

// procStat tells the state and the parent of a process; not ok when it has ended.
func procStat(pid int) (state string, parent int, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0, false
	}
	// The second field, the program's name in parentheses, may hold anything.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 2 {
		return "", 0, false
	}
	state = string(fields[0])
	parent, err = strconv.Atoi(string(fields[1]))
	return state, parent, err == nil && state != "Z" && state != "X"
}
