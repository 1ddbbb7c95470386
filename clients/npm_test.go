package clients

import (
	"bufio"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// node starts a script that asserts what it finds; done waits for its end.
func (s *service) node(t *testing.T, script string) (in io.Writer, out *bufio.Scanner, done func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", script)
	cmd.Env = append(environment(),
		"ISSUER="+s.issuer, "CLIENT_ID="+s.id, "CLIENT_SECRET="+s.secret, "AUDIENCE="+audience, "SCOPE="+strings.Join(scope, " "),
		"OTHER_TOKEN="+s.root,
	)
	cmd.WaitDelay = 5 * time.Second
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out = bufio.NewScanner(pipe)
	return in, out, func() {
		t.Helper()
		last := ""
		for out.Scan() {
			last = out.Text()
		}
		if err := cmd.Wait(); err != nil || last != "done" {
			t.Errorf("node %s: %v, its last line is %q", script, err, last)
		}
	}
}

func TestOpenIDClient(t *testing.T) { onBothIssuers(t, "openid-client.mjs") }

func TestOAuth4WebAPI(t *testing.T) { onBothIssuers(t, "oauth4webapi.mjs") }

// onBothIssuers runs a script with an issuer that has no path and with one that does.
func onBothIssuers(t *testing.T, script string) {
	t.Helper()
	for _, path := range []string{"", "/identity/eu"} {
		s := start(t, path)
		_, _, done := s.node(t, script)
		done()
		var me struct{ User struct{ Email string } }
		if s.rest(t, "/v1/me", nil, &me); me.User.Email != rootEmail {
			t.Errorf("the administrator's token, which was not the client's to revoke, is %q's", me.User.Email)
		}
	}
}

// TestJose rotates the signing key when the script asks for it.
func TestJose(t *testing.T) {
	s := start(t, "")
	in, out, done := s.node(t, "jose.mjs")
	for out.Scan() && out.Text() != "rotate" {
	}
	s.rotate(t, "--now")
	if _, err := io.WriteString(in, "rotated\n"); err != nil {
		t.Error(err)
	}
	done()
}
