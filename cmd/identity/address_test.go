package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bizmetry/identity/service/answer"
)

func TestAddress(t *testing.T) {
	for _, row := range []struct{ rule, text, want string }{
		{"host and port", "id.example.com:443", "id.example.com:443 TLS"},
		{"this machine", "localhost:9090", "localhost:9090 plain"},
		{"this machine in upper case", "LOCALHOST:9090", "localhost:9090 plain"},
		{"this machine by address", "127.0.0.1:9090", "127.0.0.1:9090 plain"},
		{"this machine by IPv6", "[::1]:9090", "[::1]:9090 plain"},
		{"a trailing newline", "localhost:9090\n", "localhost:9090 plain"},
		{"http on this machine", "http://localhost:9090", "localhost:9090 plain"},
		{"http with a slash", "HTTP://127.0.0.1:9090/", "127.0.0.1:9090 plain"},
		{"https", "https://id.example.com", "id.example.com:443 TLS"},
		{"https on this machine", "https://localhost:9090", "localhost:9090 TLS"},
		{"an umlaut", "bücher.example:443", "xn--bcher-kva.example:443 TLS"},
		{"http elsewhere", "http://id.example.com:9090", ""},
		{"another scheme", "ftp://localhost:9090", ""},
		{"a path", "https://id.example.com/identity", ""},
		{"a user", "https://ann@id.example.com", ""},
		{"no port", "localhost", ""},
		{"no host", ":9090", ""},
		{"nothing", "", ""},
	} {
		var a address
		err := a.UnmarshalText([]byte(row.text))
		got := a.hostPort + map[bool]string{true: " plain", false: " TLS"}[a.plain]
		if (err != nil) != (row.want == "") || (err == nil && got != row.want) {
			t.Errorf("%s: %q is %s, %v, want %s", row.rule, row.text, got, err, row.want)
		}
	}
}

func TestGivenToken(t *testing.T) {
	for text, want := range map[string]string{"abc": "abc", "abc\n": "abc", " abc\r\n": "abc", "Bearer abc": "abc", "bearer  abc\n": "abc", "": "", "\n": ""} {
		t.Setenv(tokenEnv, text)
		if got := givenToken(); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func TestReadable(t *testing.T) {
	refused := answer.Of(answer.Invalid("user.email", "email", "must be an e-mail address")).Err()
	away := status.Error(codes.Unavailable, `connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:9: connect: connection refused"`)
	for _, row := range []struct {
		rule string
		err  error
		want []string
	}{
		{"a refusal", refused, []string{"INVALID_FIELDS", "user.email: must be an e-mail address"}},
		{"a refusal that is wrapped", fmt.Errorf("the file: %w", refused), []string{"INVALID_FIELDS", "user.email: must be an e-mail address"}},
		{"a refusal beside another error", errors.Join(io.ErrUnexpectedEOF, refused), []string{"unexpected EOF", "INVALID_FIELDS", "user.email: "}},
		{"no service", away, []string{"the service cannot be reached: ", "connection refused"}},
		{"no answer", status.Error(codes.DeadlineExceeded, "context deadline exceeded"), []string{"did not answer in time"}},
		{"one in another", status.Error(codes.Unavailable, "rpc error: code = Unavailable desc = gone"), []string{"cannot be reached: gone"}},
		{"another service", status.Error(codes.Unimplemented, "unknown service"), []string{"does not know this call"}},
	} {
		got := readable(row.err).Error()
		for _, want := range row.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q, want %q", row.rule, got, want)
			}
		}
		if strings.Contains(got, "rpc error") || strings.Contains(got, "desc =") {
			t.Errorf("%s: %q", row.rule, got)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	for args, want := range map[string]string{
		"--version": "identity " + version, "version": "identity " + version, "help": "serve", "": "serve", "--help": "serve",
		"help users list": "--state", "users list --help": "--state", "help users": "users import",
	} {
		expect(t, want, 0, "", strings.Fields(args)...)
	}
	expect(t, "pending", 2, "", "users", "list", "--state=gone")
}
