package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/bizmetry/identity/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// server is a running `identity serve`.
type server struct{ grpc, rest, admin, password string }

// serve starts the program as main does, on free ports, and stops it after the test.
func serve(t *testing.T, args ...string) server {
	t.Helper()
	for _, name := range []string{smtpURLEnv, smsURLEnv} {
		if os.Getenv(name) == "" {
			t.Setenv(name, "file:"+t.TempDir())
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	read, write := io.Pipe()
	done := make(chan error, 1)
	go func() {
		args := append([]string{"serve", "--grpc-addr=127.0.0.1:0", "--http-addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0"}, args...)
		err := run(ctx, args, write, t.Output())
		write.CloseWithError(io.EOF)
		done <- err
	}()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("serve ended with %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("serve did not end")
		}
	})
	return started(t, read, done)
}

// started reads what serve prints until it is ready.
func started(t *testing.T, out io.Reader, done chan error) (s server) {
	t.Helper()
	fields := map[string]*string{
		"gRPC ": &s.grpc, "REST ": &s.rest, "admin ": &s.admin, "password, shown this once:": &s.password,
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		for name, field := range fields {
			if value, ok := strings.CutPrefix(lines.Text(), name); ok {
				*field = strings.TrimSpace(value)
			}
		}
		if lines.Text() == "ready" {
			return s
		}
	}
	err := <-done
	done <- nil
	t.Fatalf("serve did not start: %v", err)
	return s
}

// sessions are the blocks of README that are marked as such.
func sessions(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)<!-- session -->\n```bash\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, m[1])
	}
	if len(blocks) != 2 {
		t.Fatalf("README has %d sessions, want curl and gRPC", len(blocks))
	}
	return blocks
}

// play runs a session line by line in one shell. A line that says "# => text"
// must print the text; blanks do not count, because JSON may have any.
func play(t *testing.T, s server, session string) {
	t.Helper()
	session = strings.NewReplacer(
		"http://localhost:8080", s.rest, "http://localhost:9090", "http://"+s.grpc,
		"the password that make run printed", s.password, "bin/buf", filepath.Join("..", "..", "bin", "buf"),
	).Replace(session)
	var script strings.Builder
	script.WriteString("set -u\n")
	for _, line := range strings.Split(session, "\n") {
		command, want, checked := strings.Cut(line, "# => ")
		if !checked {
			fmt.Fprintln(&script, line)
			continue
		}
		want = strings.ReplaceAll(strings.TrimSpace(want), " ", "")
		fmt.Fprintf(&script, "out=$(%s 2>&1)\ncase \"$(printf '%%s' \"$out\" | tr -d ' \\n')\" in *'%s'*) ;; *) printf 'line: %%s\\nwant: %%s\\ngot: %%s\\n' %s %s \"$out\"; exit 1;; esac\n",
			strings.TrimSpace(command), want, quote(command), quote(want))
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script.String())
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// Whoever watches the health does not hold a server up that stops.
func TestServe_StopEndsHealthStreams(t *testing.T) {
	var conn *grpc.ClientConn
	var watch grpc_health_v1.Health_WatchClient
	t.Run("while it serves", func(t *testing.T) { // the server stops with this test
		t.Setenv("IDENTITY_DATABASE_URL", storetest.SQLite(t))
		s := serve(t)
		var err error
		if conn, err = grpc.NewClient(s.grpc, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
			t.Fatal(err)
		}
		watch, err = grpc_health_v1.NewHealthClient(conn).Watch(context.Background(), &grpc_health_v1.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := watch.Recv(); err != nil || got.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Fatalf("at first %v, %v", got, err)
		}
	})
	defer conn.Close()
	if got, err := watch.Recv(); err != nil || got.GetStatus() != grpc_health_v1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("at last %v, %v", got, err)
	}
	if _, err := watch.Recv(); !strings.Contains(status.Convert(err).Message(), "stopping") {
		t.Errorf("it was cut off: %v", err)
	}
}

func TestReadme_CurlSession(t *testing.T) {
	t.Setenv(databaseURLEnv, storetest.SQLite(t))
	play(t, serve(t), sessions(t)[0])
}
