package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
)

// Built-in roles, by the migration that makes them.
const (
	superUser   = "00000000-0000-7000-8000-000000000001"
	developer   = "00000000-0000-7000-8000-000000000006"
	agent       = "00000000-0000-7000-8000-000000000009"
	integration = "00000000-0000-7000-8000-000000000011"
)

const (
	founder  = "founder@example.com"
	password = "Plum!Harbour_93?quartz" //nolint:gosec // of a database that lives for minutes
)

// bench is everything that runs, and what is known of it.
type bench struct {
	options
	folder   string // of this run; removed at the end
	program  string // the binary that is measured
	env      []string
	postgres *postgres
	server   *child
	echo     *child
	http     *http.Client

	org, floorOrg string       // the customer, and one whose rows only floors write
	users         []seededUser // of the customer
	admin         *machine     // Super User of the customer
	checker       *machine     // a service that asks what others may do
	agent         *machine     // whose tokens are asked about
	deep          string       // token of a page far down the list
	tokens        []string     // fresh ones, each for one introspection

	floors, jobs []*job
	used         map[string]int // serial numbers that are spent, by job
	rounds       map[cell][]measurement
	crypto       []cryptoCost
}

// machine is a service account with its secret and a token of it.
type machine struct{ id, secret, token string }

// setUp starts and fills everything. What it returns has to be closed, also
// where it fails.
func setUp(ctx context.Context, o options) (*bench, error) {
	b := &bench{options: o, used: map[string]int{}, rounds: map[cell][]measurement{}}
	b.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: levels[2], DisableCompression: true}, Timeout: 20 * time.Second}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"build the service", b.build},
		{"start PostgreSQL", b.startDatabase},
		{"start the service", b.startServer},
		{"make organizations, users and service accounts", b.fill},
		{"start the floors", b.startFloors},
	} {
		progress("%s", step.what)
		if err := step.do(ctx); err != nil {
			return b, fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return b, nil
}

func (b *bench) close() {
	b.echo.stop()
	b.server.stop()
	b.postgres.stop()
	if b.folder != "" {
		_ = os.RemoveAll(b.folder)
	}
}

func (b *bench) build(ctx context.Context) error {
	var err error
	// In /tmp whatever TMPDIR says: the path of a socket is short, and the
	// user that the database runs as must be able to reach it.
	if b.folder, err = os.MkdirTemp("/tmp", "identity-bench-"); err != nil {
		return err
	}
	if err := os.Chmod(b.folder, 0o711); err != nil { //nolint:gosec // as above
		return err
	}
	if b.program = b.binary; b.program != "" {
		return nil
	}
	b.program = filepath.Join(b.folder, "identity")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", b.program, "./cmd/identity") //nolint:gosec // ours
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

func (b *bench) startDatabase(ctx context.Context) (err error) {
	b.postgres, err = startPostgres(ctx, filepath.Join(b.folder, "pg"))
	return err
}

// startServer does what an operator does: a key, migrate, bootstrap, serve.
func (b *bench) startServer(ctx context.Context) error {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	keyFile := filepath.Join(b.folder, "master.key")
	if err := os.WriteFile(keyFile, []byte(base64.StdEncoding.EncodeToString(key)+"\n"), 0o600); err != nil {
		return err
	}
	b.env = []string{
		"IDENTITY_DATABASE_URL=" + b.postgres.url(), "IDENTITY_MASTER_KEY_FILE=" + keyFile,
		"IDENTITY_BOOTSTRAP_PASSWORD=" + password,
		"IDENTITY_SMTP_URL=file:" + filepath.Join(b.folder, "outbox"), "IDENTITY_SMS_URL=file:" + filepath.Join(b.folder, "outbox"),
	}
	if _, err := call(ctx, b.env, nil, b.program, "migrate"); err != nil {
		return err
	}
	if _, err := call(ctx, b.env, nil, b.program, "bootstrap", "--email", founder); err != nil {
		return err
	}
	var err error
	b.server, err = b.serve(ctx)
	return err
}

// serve starts the service on free ports, with its defaults for everything else.
func (b *bench) serve(ctx context.Context) (*child, error) {
	return startChild(ctx, filepath.Join(b.folder, "server.log"), nil, b.env, b.program, "serve",
		"--grpc-addr=127.0.0.1:0", "--http-addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0")
}

// fill makes what the jobs need: through the API, but for the users.
func (b *bench) fill(ctx context.Context) error {
	conn, err := dial(b.server.grpc)
	if err != nil {
		return err
	}
	defer conn.Close()
	in, err := identityv1.NewSessionServiceClient(conn).SignIn(ctx, &identityv1.SignInRequest{Email: founder, Password: password})
	if err != nil {
		return err
	}
	ctx = bearing(ctx, in.GetTokens().GetAccessToken())
	if b.org, err = newOrganization(ctx, conn, "Customer", "customer"); err != nil {
		return err
	}
	if b.floorOrg, err = newOrganization(ctx, conn, "Floor", "floor"); err != nil {
		return err
	}
	if err := b.seed(ctx); err != nil {
		return err
	}
	if b.admin, err = b.newMachine(ctx, conn, "Administration", superUser); err != nil {
		return err
	}
	if b.checker, err = b.newMachine(ctx, conn, "A service", integration); err != nil {
		return err
	}
	if b.agent, err = b.newMachine(ctx, conn, "An agent", agent); err != nil {
		return err
	}
	ctx = bearing(context.WithoutCancel(ctx), b.admin.token)
	page, err := identityv1.NewUserServiceClient(conn).ListUsers(ctx, &identityv1.ListUsersRequest{Skip: int32(len(b.users) * 3 / 5)}) //nolint:gosec // at most 100,000 users
	b.deep = page.GetNextPageToken()
	return err
}

func newOrganization(ctx context.Context, conn *grpc.ClientConn, name, mailbox string) (string, error) {
	email, first, last, secret := mailbox+"@example.com", "First", "Administrator", password
	made, err := identityv1.NewOrganizationServiceClient(conn).CreateOrganization(ctx, &identityv1.CreateOrganizationRequest{
		Organization:  &identityv1.Organization{DisplayName: &name},
		Administrator: &identityv1.User{Email: &email, FirstName: &first, LastName: &last, Password: &secret},
	})
	return made.GetOrganization().GetId(), err
}

func (b *bench) newMachine(ctx context.Context, conn *grpc.ClientConn, name, role string) (*machine, error) {
	client := identityv1.NewServiceAccountServiceClient(conn)
	account, err := client.CreateServiceAccount(ctx, &identityv1.CreateServiceAccountRequest{
		OrganizationId: b.org, ServiceAccount: &identityv1.ServiceAccount{DisplayName: &name, RoleIds: []string{role}},
	})
	if err != nil {
		return nil, err
	}
	made, err := client.CreateCredential(ctx, &identityv1.CreateCredentialRequest{OrganizationId: b.org, ServiceAccountId: account.GetId()})
	if err != nil {
		return nil, err
	}
	m := &machine{id: account.GetId(), secret: made.GetSecret()}
	m.token, err = m.newToken(ctx, client)
	return m, err
}

func (m *machine) newToken(ctx context.Context, client identityv1.ServiceAccountServiceClient) (string, error) {
	issued, err := client.IssueToken(ctx, &identityv1.IssueTokenRequest{ClientId: m.id, ClientSecret: m.secret})
	return issued.GetAccessToken(), err
}

func dial(addr string) (*grpc.ClientConn, error) {
	return grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
}

// bearing is a context of calls with this token, and with no other.
func bearing(ctx context.Context, token string) context.Context {
	return metadata.NewOutgoingContext(ctx, metadata.Pairs("authorization", "Bearer "+token))
}
