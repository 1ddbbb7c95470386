package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/store/storetest"
)

// dialServer connects to a running server.
func dialServer(t *testing.T, s server, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(s.grpc, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestServe_Health(t *testing.T) {
	t.Setenv(databaseURLEnv, storetest.SQLite(t))
	health := grpc_health_v1.NewHealthClient(dialServer(t, serve(t)))
	names := []string{"", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"}
	for _, noun := range []string{"User", "Role", "ServiceAccount", "Session", "Organization", "Event"} {
		names = append(names, "bizmetry.identity.v1."+noun+"Service")
	}
	for _, name := range names {
		got, err := health.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: name})
		if err != nil || got.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("%q: %v, %v", name, got, err)
		}
	}
	for _, name := range []string{"nothing", "bizmetry.identity.v1.userservice", "bizmetry.identity.v1.UserService/GetUser", " "} {
		if _, err := health.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: name}); status.Code(err) != codes.NotFound {
			t.Errorf("%q: %v", name, err)
		}
	}
	list, err := health.List(t.Context(), &grpc_health_v1.HealthListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if list.GetStatuses()[name].GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("the list has %q as %v", name, list.GetStatuses()[name])
		}
	}
}

func TestServe_Gzip(t *testing.T) {
	t.Setenv(databaseURLEnv, storetest.SQLite(t))
	s := serve(t)
	compress := grpc.WithDefaultCallOptions(grpc.CallContentSubtype("proto"), grpc.UseCompressor("gzip"))
	sessions := identityv1.NewSessionServiceClient(dialServer(t, s, compress))
	for password, want := range map[string]codes.Code{
		s.password: codes.OK, "wrong": codes.Unauthenticated, "": codes.InvalidArgument, strings.Repeat("x", 20<<10): codes.ResourceExhausted,
	} {
		_, err := sessions.SignIn(t.Context(), &identityv1.SignInRequest{Email: "admin@example.com", Password: password})
		if status.Code(err) != want {
			t.Errorf("a password of %d bytes: %v, want %v", len(password), err, want)
		}
	}
}

// What is linked for its effect alone (codecs, drivers, resolvers) is linked by the
// program: a test that does it instead would see what nobody else does.
func TestProgram_LinksWhatTestsDo(t *testing.T) {
	registers := func(path string) bool {
		return slices.ContainsFunc([]string{"encoding/", "resolver/", "balancer/", "stats/", "xds"}, func(part string) bool {
			return strings.HasPrefix(path, "google.golang.org/grpc/"+part)
		})
	}
	linked, byTests := map[string]bool{"embed": true}, map[string]string{}
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		inTest := strings.HasSuffix(path, "_test.go") || strings.HasSuffix(filepath.Dir(path), "test")
		for _, i := range file.Imports {
			name := strings.Trim(i.Path.Value, `"`)
			switch ours := strings.HasPrefix(path, "../../service") || strings.HasPrefix(path, "../../store") ||
				strings.HasPrefix(path, "../../web") || strings.HasPrefix(path, "../../cmd"); {
			case !ours:
			case !inTest:
				linked[name] = true
			case (i.Name != nil && i.Name.Name == "_") || registers(name):
				byTests[name] = path
			}
		}
		return nil
	})
	if err != nil || !linked["google.golang.org/grpc/encoding/gzip"] {
		t.Fatalf("gzip is not linked, %v", err)
	}
	for name, path := range byTests {
		if !linked[name] {
			t.Errorf("%s is linked by %s only", name, path)
		}
	}
}
