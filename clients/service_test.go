package clients

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	rootEmail    = "root@platform.test"
	rootPassword = "Correct#Horse7battery"

	// audience is a resource that the client may ask tokens for. Every character
	// in it that a form or a URL could lose is there.
	audience = "https://billing.test/api%20v1/caf%C3%A9;a=b/~x!$'()*,?tier=a+b%2Bc&x=1:2@3"
)

// scope is what the client holds, sorted.
var scope = []string{"agents.read", "platform.users.read"}

// binary is the program, built by TestMain.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "clients")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	binary = filepath.Join(folder, "identity")
	build := exec.CommandContext(context.Background(), "go", "build", "-o", binary, "./cmd/identity")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// service is a running program with a client registered.
type service struct {
	issuer     string
	env        []string
	root       string // access token of the administrator
	id, secret string // of a service account
}

// start runs the program on an empty database, with an issuer whose path is
// given, and registers a client with it, until the test ends.
func start(t *testing.T, path string) *service {
	t.Helper()
	address := freeAddress(t)
	s := &service{issuer: "http://" + address + path}
	s.env = append(environment(),
		"IDENTITY_DATABASE_URL=sqlite:"+filepath.Join(t.TempDir(), "identity.db"), "IDENTITY_PUBLIC_URL="+s.issuer,
		"IDENTITY_HTTP_ADDR="+address, "IDENTITY_GRPC_ADDR=127.0.0.1:0", "IDENTITY_ADMIN_ADDR=127.0.0.1:0", "IDENTITY_LOG_LEVEL=warn",
		"IDENTITY_BOOTSTRAP_EMAIL="+rootEmail, "IDENTITY_BOOTSTRAP_PASSWORD="+rootPassword, "IDENTITY_SMTP_URL=file:"+filepath.Join(t.TempDir(), "outbox"),
	)
	s.serve(t)
	s.register(t)
	return s
}

// environment is ours without settings of a service that this machine may have.
func environment() (env []string) {
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "IDENTITY_") {
			env = append(env, variable)
		}
	}
	return env
}

// freeAddress is one on loopback that nobody listens at. The issuer has to be
// known before the service starts, so port 0 would not do.
func freeAddress(t *testing.T) string {
	t.Helper()
	var config net.ListenConfig
	port, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	return port.Addr().String()
}

func (s *service) serve(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	cmd := s.command(ctx, "serve")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait() // an error says only that it was asked to stop
		if code := cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("serve ended with status %d", code)
		}
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() == "ready" {
			return
		}
	}
	t.Fatal("serve did not start")
}

func (s *service) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = s.env
	return cmd
}

// register makes a service account with a secret, over REST.
func (s *service) register(t *testing.T) {
	t.Helper()
	var session struct{ Tokens struct{ AccessToken string } }
	s.rest(t, "/v1/sessions", map[string]string{"email": rootEmail, "password": rootPassword}, &session)
	s.root = session.Tokens.AccessToken
	var account struct{ ID string }
	s.rest(t, "/v1/serviceAccounts", map[string]any{
		"displayName": "Client", "permissionKeys": scope, "audiences": []string{audience},
	}, &account)
	var credential struct{ Secret string }
	s.rest(t, "/v1/serviceAccounts/"+account.ID+"/credentials", map[string]string{"displayName": "first"}, &credential)
	s.id, s.secret = account.ID, credential.Secret
}

// rest calls the REST API as the administrator: with a body by POST, else by GET.
func (s *service) rest(t *testing.T, path string, body, answer any) {
	t.Helper()
	method, reader := http.MethodGet, io.Reader(http.NoBody)
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		method, reader = http.MethodPost, bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, s.issuer+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if s.root != "" {
		r.Header.Set("Authorization", "Bearer "+s.root)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || json.Unmarshal(text, answer) != nil {
		t.Fatalf("%s %s: %d %s %v", method, path, resp.StatusCode, text, err)
	}
}

// rotate makes a new signing key, as an operator would.
func (s *service) rotate(t *testing.T, flags ...string) {
	t.Helper()
	if out, err := s.command(t.Context(), append([]string{"keys", "rotate"}, flags...)...).CombinedOutput(); err != nil {
		t.Fatalf("identity keys rotate: %v\n%s", err, out)
	}
}

// keys are the ids of the published keys.
func (s *service) keys(t *testing.T) []string {
	t.Helper()
	var set struct{ Keys []struct{ Kid string } }
	s.rest(t, "/.well-known/jwks.json", nil, &set)
	var ids []string
	for _, key := range set.Keys {
		ids = append(ids, key.Kid)
	}
	return ids
}

// header is that of a token.
type header struct{ Alg, Kid, Typ string }

func headerOf(t *testing.T, token string) (h header) {
	t.Helper()
	first, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil || json.Unmarshal(text, &h) != nil {
		t.Fatalf("no token: %q", token)
	}
	return h
}

// eventually waits until the service has noticed what was done to its database.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if done() {
			return
		}
	}
	t.Fatalf("%s: not within a minute", what)
}
