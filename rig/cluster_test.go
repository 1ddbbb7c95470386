package rig_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bizmetry/identity/rig"
)

func TestCluster(t *testing.T) {
	ctx := t.Context()
	c, err := rig.StartCluster(ctx, "fsync=off")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()

	if err := c.Create(ctx, "template", ""); err != nil {
		t.Fatal(err)
	}
	// Nobody may stay connected to a template.
	template := open(t, c, "template")
	exec1(t, template, `CREATE TABLE things (id BIGINT PRIMARY KEY)`)
	exec1(t, template, `INSERT INTO things VALUES (1)`)
	_ = template.Close()
	if err := c.Create(ctx, "copy", "template"); err != nil {
		t.Fatal(err)
	}
	db := open(t, c, "copy")
	for setting, want := range map[string]string{
		"listen_addresses": "", "synchronous_commit": "on", "fsync": "off", "server_encoding": "UTF8", "lc_collate": "C",
	} {
		var got string
		if err := db.QueryRowContext(ctx, `SELECT current_setting($1)`, setting).Scan(&got); err != nil || got != want {
			t.Errorf("%s = %q, %v, want %q", setting, got, err, want)
		}
	}

	exec1(t, db, `INSERT INTO things VALUES (2)`)
	before := c.PID()
	c.Kill()
	if pid := c.PID(); pid != 0 {
		t.Errorf("PID after Kill = %d, want 0", pid)
	}
	if err := db.PingContext(ctx); err == nil {
		t.Error("a killed server answers")
	}
	if err := c.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.Restart(ctx); err != nil { // a running one too
		t.Fatal(err)
	}
	if pid := c.PID(); pid == 0 || pid == before {
		t.Errorf("PID after Restart = %d, before it was %d", pid, before)
	}
	var n int
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM things`).Scan(&n); err != nil || n != 2 {
		t.Errorf("rows after the kill = %d, %v, want 2", n, err)
	}

	if err := c.Drop(ctx, "copy"); err != nil {
		t.Error(err)
	}
	folder := strings.TrimSuffix(strings.TrimPrefix(c.URL("x"), "postgres://postgres@/x?host="), "&sslmode=disable")
	c.Stop()
	c.Stop()
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("%s is still there after Stop: %v", folder, err)
	}
}

// TestClusterDiesWithItsOwner kills a process that owns a cluster and watches
// the server go. The process is this test again, told so by its environment.
func TestClusterDiesWithItsOwner(t *testing.T) {
	const role = "RIG_OWNER"
	if os.Getenv(role) != "" {
		own(t)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestClusterDiesWithItsOwner$")
	cmd.Env = append(os.Environ(), role+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	var url string
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		_, err = fmt.Sscan(line, &pid, &url)
	}
	if err != nil {
		t.Fatalf("the owner said %q: %v", line, err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()

	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for deadline := time.Now().Add(10 * time.Second); db.PingContext(t.Context()) == nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			_ = syscall.Kill(pid, syscall.SIGQUIT)
			t.Fatalf("server %d outlives its owner", pid)
		}
	}
	folder, _, _ := strings.Cut(strings.TrimPrefix(url, "postgres://postgres@/postgres?host="), "&")
	_ = os.RemoveAll(folder) // a killed owner cannot
}

// own starts a cluster, tells of it, and waits to be killed.
func own(t *testing.T) {
	c, err := rig.StartCluster(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(c.PID(), c.URL("postgres"))
	select {}
}

func open(t *testing.T, c *rig.Cluster, database string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", c.URL(database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func exec1(t *testing.T, db *sql.DB, text string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}
