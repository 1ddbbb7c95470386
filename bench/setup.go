package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/rig"
)

// bench is everything that runs, and what is known of it.
type bench struct {
	options
	folder   string // of this run; removed at the end
	mail     string // where its mail goes; likewise
	program  string // the binary that is measured
	env      []string
	postgres *postgres
	server   *rig.Server
	echo     *rig.Server
	http     *http.Client

	org, floorOrg string       // the customer, and one whose rows only floors write
	users         []seededUser // of the customer
	admin         *rig.Machine // Super User of the customer
	checker       *rig.Machine // a service that asks what others may do
	agent         *rig.Machine // whose tokens are asked about
	deep          string       // token of a page far down the list
	tokens        []string     // fresh ones, each for one introspection
	recorded      []byte       // answers of the service, as JSON, for the echo

	floors, jobs []*job
	searchAims   []aim          // by how many match
	used         map[string]int // serial numbers that are spent, by job
	rounds       map[cell][]measurement
	crypto       []cryptoCost
}

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
	for _, server := range []*rig.Server{b.echo, b.server} {
		if server != nil {
			server.Stop()
		}
	}
	b.postgres.stop()
	if b.mail != "" {
		_ = os.RemoveAll(b.mail)
	}
	if b.folder != "" {
		_ = os.RemoveAll(b.folder)
	}
}

func (b *bench) build(ctx context.Context) error {
	var err error
	if b.folder, err = rig.NewFolder("bench"); err != nil {
		return err
	}
	if b.program = b.binary; b.program == "" {
		b.program, err = rig.Build(ctx, b.folder, "identity")
	}
	return err
}

func (b *bench) startDatabase(ctx context.Context) (err error) {
	var settings []string
	if b.million { // which do not fit into the default
		settings = []string{"shared_buffers=" + buffersOfMillion, "max_wal_size=4GB"}
	}
	b.postgres, err = startPostgres(ctx, settings...)
	return err
}

func (b *bench) startServer(ctx context.Context) (err error) {
	if b.env, err = rig.Prepare(ctx, b.folder, b.program, b.postgres.URL("postgres")); err != nil {
		return err
	}
	// Mail is carried into memory, so that what the file system costs is not taken for ours.
	if b.mail, err = os.MkdirTemp("/dev/shm", "identity-bench-"); err != nil {
		return err
	}
	b.env = append(b.env, "IDENTITY_SMTP_URL=file:"+b.mail)
	b.server, err = b.serve(ctx)
	return err
}

// serve starts the service on free ports, with its defaults for everything else.
func (b *bench) serve(ctx context.Context) (*rig.Server, error) {
	return rig.StartServer(ctx, filepath.Join(b.folder, "server.log"), nil, b.env, b.program, "serve",
		"--grpc-addr=127.0.0.1:0", "--http-addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0")
}

// fill makes what the jobs need: through the API, but for the users.
func (b *bench) fill(ctx context.Context) error {
	conn, err := rig.Dial(b.server.GRPC)
	if err != nil {
		return err
	}
	defer conn.Close()
	if ctx, err = rig.SignIn(ctx, conn); err != nil {
		return err
	}
	if b.org, err = rig.NewOrganization(ctx, conn, "Customer", "customer"); err != nil {
		return err
	}
	if b.floorOrg, err = rig.NewOrganization(ctx, conn, "Floor", "floor"); err != nil {
		return err
	}
	seed := b.seed
	if b.million {
		seed = b.seedMillion
	}
	if err := seed(ctx); err != nil {
		return err
	}
	if b.admin, err = rig.NewMachine(ctx, conn, b.org, "Administration", rig.SuperUser); err != nil {
		return err
	}
	if b.checker, err = rig.NewMachine(ctx, conn, b.org, "A service", rig.Integration); err != nil {
		return err
	}
	if b.agent, err = rig.NewMachine(ctx, conn, b.org, "An agent", rig.Agent); err != nil {
		return err
	}
	ctx = rig.Bearing(context.WithoutCancel(ctx), b.admin.Token)
	page, err := identityv1.NewUserServiceClient(conn).ListUsers(ctx, &identityv1.ListUsersRequest{Skip: int32(len(b.users) * 3 / 5)}) //nolint:gosec // at most 100,000 users
	b.deep = page.GetNextPageToken()
	return err
}
