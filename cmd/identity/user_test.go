package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/store/storetest"
)

// command runs a command and returns what it printed.
func command(t *testing.T, input string, args ...string) (out string, err error) {
	t.Helper()
	var b bytes.Buffer
	err = runWith(context.WithoutCancel(t.Context()), args, output{&b, t.Output(), strings.NewReader(input)})
	return b.String(), err
}

// expect runs a command that has to print a text, or to fail with it.
func expect(t *testing.T, want string, status int, input string, args ...string) string {
	t.Helper()
	out, err := command(t, input, args...)
	text, got := out, 0
	if err != nil {
		text, got = out+err.Error(), exitStatus(err)
	}
	if !strings.Contains(text, want) || got != status {
		t.Errorf("identity %s: exit status %d, want %d with %q:\n%s", strings.Join(args, " "), got, status, want, text)
	}
	return out
}

func TestUsers(t *testing.T) {
	t.Setenv("IDENTITY_DATABASE_URL", storetest.SQLite(t))
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	t.Setenv(tokenEnv, "")
	s := serve(t)
	t.Setenv("IDENTITY_ADDR", s.grpc)
	dir := t.TempDir()

	expect(t, "not signed in", 1, "", "users", "list")
	expect(t, "CREDENTIALS_INVALID", 1, "admin@example.com\nwrong\n", "login")
	expect(t, "nothing was entered", 1, "", "login")
	expect(t, "signed in", 0, "admin@example.com\n"+s.password+"\n", "login")
	tokens, err := keptFile()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(tokens); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("tokens: %v, %v", info.Mode(), err)
	}

	table := expect(t, "EMAIL", 0, "", "users", "list")
	if lines := strings.Split(table, "\n"); len(lines) != 3 || strings.Index(lines[0], "EMAIL") != strings.Index(lines[1], "admin@example.com") {
		t.Errorf("not aligned:\n%s", table)
	}
	var file strings.Builder
	file.WriteString("email,first_name,last_name,roles\n")
	for i := range 1200 {
		fmt.Fprintf(&file, "person%d@example.com,Ann,Ng,Monitoring User\n", i)
	}
	people := filepath.Join(dir, "people.csv")
	if err := os.WriteFile(people, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, "1200 rows: 1200 would be created, 0 there already, 0 refused", 0, "", "users", "import", "--validate-only", people)
	expect(t, "1200 rows: 1200 created, 0 there already, 0 refused", 0, "", "users", "import", people)
	expect(t, "1200 rows: 0 created, 1200 there already, 0 refused", 0, file.String(), "users", "import", "-")
	expect(t, "row 2  x  REFUSED  INVALID_FIELDS  email: email", 3, `{"email":"jo@example.com","first_name":"Jo","last_name":"Ng","roles":["Agent"]}
{"email":"x","first_name":"Jo","last_name":"Ng","roles":["Agent"]}`, "users", "import", "--format=jsonl", "-")
	expect(t, `"outcome":"EXISTS"`, 0, "email,first_name,last_name,roles\njo@example.com,Jo,Ng,Agent\n", "users", "import", "--json", "-")
	expect(t, `there is no column "colour"`, 1, "email,colour\n", "users", "import", "-")
	expect(t, "no such file", 1, "", "users", "import", filepath.Join(dir, "none.csv"))

	if all := expect(t, "person1199@example.com", 0, "", "users", "list"); strings.Count(all, "\n") != 1203 {
		t.Errorf("%d lines", strings.Count(all, "\n"))
	}
	if some := expect(t, `"email":`, 0, "", "users", "list", "--json", "--email=person", "--state=PENDING", "--limit=7", "--order-by=create_time desc"); strings.Count(some, "\n") != 7 {
		t.Errorf("%d lines", strings.Count(some, "\n"))
	}
	expect(t, "NOT_FOUND", 1, "", "users", "list", "--role-id=00000000-0000-7000-8000-00000000ffff")
	expect(t, "INVALID_FIELDS", 1, "", "users", "list", "--role-id=x")

	copied := filepath.Join(dir, "copy.jsonl")
	expect(t, "", 0, "", "users", "export", "--email=person", copied)
	if text, err := os.ReadFile(copied); err != nil || bytes.Count(text, []byte("\n")) != 1200 || text[0] != '{' {
		t.Errorf("%d lines, %v", bytes.Count(text, []byte("\n")), err)
	}
	expect(t, "id,email,first_name", 0, "", "users", "export")
	expect(t, "1200 rows: 0 created, 1200 there already, 0 refused", 0, "", "users", "import", copied)

	t.Setenv(tokenEnv, "garbage")
	expect(t, "TOKEN_INVALID", 1, "", "users", "list")
	expect(t, "TOKEN_INVALID", 1, "", "users", "export", filepath.Join(dir, "nothing.csv"))
	if left, err := filepath.Glob(filepath.Join(dir, "nothing*")); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	expect(t, "unknown flag", 2, "", "users", "list", "--nothing")
}

// Whoever has an initial password gives themselves another one at login; the
// tokens that are kept are renewed.
func TestLogin_ChangesPassword(t *testing.T) {
	t.Setenv("IDENTITY_DATABASE_URL", storetest.SQLite(t))
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv(tokenEnv, "")
	s := serve(t)
	t.Setenv("IDENTITY_ADDR", s.grpc)
	c := connection{Addr: address{hostPort: s.grpc, plain: true}}
	expect(t, "signed in", 0, s.password+"\n", "login", "--email=admin@example.com")
	addInitial(t, c, "jo@example.com", "Initial#Staple4paper")
	expect(t, "WEAK_PASSWORD", 1, "Initial#Staple4paper\nshort\n", "login", "--email=jo@example.com")
	expect(t, "signed in", 0, "Initial#Staple4paper\nAnother#Horse7battery\n", "login", "--email=jo@example.com")

	all, err := readKept()
	if err != nil {
		t.Fatal(err)
	}
	old := all[s.grpc]
	all[s.grpc] = kept{Access: "over", Refresh: old.Refresh}
	if err := writeKept(all); err != nil {
		t.Fatal(err)
	}
	expect(t, "jo@example.com", 0, "", "users", "list")
	if all, err = readKept(); err != nil || all[s.grpc].Access == "over" || all[s.grpc].Refresh == old.Refresh {
		t.Errorf("not renewed: %v", err)
	}
	all[s.grpc] = kept{Access: "over", Refresh: "over"}
	if err := writeKept(all); err != nil {
		t.Fatal(err)
	}
	expect(t, "run identity login", 1, "", "users", "list")
}

func addInitial(t *testing.T, c connection, email, password string) {
	t.Helper()
	err := c.as(t.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
		first, last, yes := "Jo", "Ng", true
		_, err := identityv1.NewUserServiceClient(conn).CreateUser(ctx, &identityv1.CreateUserRequest{User: &identityv1.User{
			Email: &email, FirstName: &first, LastName: &last, Password: &password, Confirmed: &yes, RoleIds: []string{"00000000-0000-7000-8000-000000000005"},
		}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Addresses of other machines get TLS, and nothing else.
func TestConnection_TLS(t *testing.T) {
	t.Setenv(tokenEnv, "token")
	port := plainPort(t)
	err := connection{Addr: address{hostPort: port}}.as(t.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		_, err := identityv1.NewUserServiceClient(conn).GetMe(ctx, &identityv1.GetMeRequest{})
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "handshake") {
		t.Errorf("got %v", err)
	}
}

// plainPort is an address that is not loopback by its name, where nobody speaks TLS.
func plainPort(t *testing.T) string {
	t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			_ = conn.Close()
		}
	}()
	_, number, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return "0.0.0.0:" + number
}
