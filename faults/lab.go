package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/rig"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/store"
)

// lab is two servers of the real binary on one private PostgreSQL, each behind
// proxies of its own.
type lab struct {
	folder   string // of this run; removed at the end
	program  string
	env      []string
	cluster  *rig.Cluster
	servers  [2]*server
	store    *store.Store // past the proxies: to seed and to check
	db       *sql.DB      // likewise
	ring     *secret.KeyRing
	platform string
	root     *rig.Machine // of the platform: what may be done in any organization
	serial   atomic.Int64
}

// server is one of the two, across its restarts.
type server struct {
	name      string
	lab       *lab
	wire      *proxy // to the database
	listening *proxy // likewise, for LISTEN alone
	proc      *rig.Server
	addrs     []string     // flags: the same ports after every restart
	down      atomic.Int64 // raised when it goes and when it is back: odd while it is away
	conns     []*grpc.ClientConn
	calls     atomic.Uint64
	users     identityv1.UserServiceClient
	roles     identityv1.RoleServiceClient
	apps      identityv1.ServiceAccountServiceClient
	logins    identityv1.SessionServiceClient
}

// connsEach lets a client have more calls in flight than one connection takes.
const connsEach = 4

// newLab starts everything. What it returns has to be closed, also where it fails.
func newLab(ctx context.Context, program string) (*lab, error) {
	l := &lab{program: program}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{{"start PostgreSQL", l.startDatabase}, {"prepare the database", l.prepare}, {"start the servers", l.startServers}} {
		if err := step.do(ctx); err != nil {
			return l, fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return l, nil
}

func (l *lab) close() {
	for _, s := range l.servers {
		if s != nil {
			s.close()
		}
	}
	if l.db != nil {
		_ = l.db.Close()
	}
	if l.store != nil {
		_ = l.store.Close()
	}
	if l.cluster != nil {
		l.cluster.Stop()
	}
	if l.folder != "" {
		_ = os.RemoveAll(l.folder)
	}
}

func (l *lab) startDatabase(ctx context.Context) (err error) {
	if l.folder, err = rig.NewFolder("faults"); err != nil {
		return err
	}
	l.cluster, err = rig.StartCluster(ctx, "fsync=on", "synchronous_commit=on", "max_connections=100")
	return err
}

func (l *lab) prepare(ctx context.Context) (err error) {
	url := l.cluster.URL("postgres")
	if l.env, err = rig.Prepare(ctx, l.folder, l.program, url); err != nil {
		return err
	}
	l.env = append(l.env, "IDENTITY_TRUSTED_PROXIES=127.0.0.0/8", "IDENTITY_LOG_LEVEL=warn")
	text, err := os.ReadFile(filepath.Join(l.folder, "master.key"))
	if err != nil {
		return err
	}
	if l.ring, err = secret.ParseKeyRing(text); err != nil {
		return err
	}
	if l.store, err = store.Open(ctx, store.Config{URL: url + "&application_name=faults", MaxConns: 16}); err != nil {
		return err
	}
	if l.db, err = sql.Open("postgres", url); err != nil {
		return err
	}
	platform, err := l.store.Platform(ctx)
	l.platform = platform.ID
	return err
}

func (l *lab) startServers(ctx context.Context) (err error) {
	for i, name := range []string{"A", "B"} {
		s := &server{name: name, lab: l, addrs: []string{"--grpc-addr=127.0.0.1:0", "--http-addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0"}}
		l.servers[i] = s
		if s.wire, err = newProxy(l.cluster.Socket()); err != nil {
			return err
		}
		if s.listening, err = newProxy(l.cluster.Socket()); err != nil {
			return err
		}
		if err := s.start(ctx); err != nil {
			return err
		}
		s.addrs = []string{"--grpc-addr=" + s.proc.GRPC, "--http-addr=" + s.proc.REST[len("http://"):], "--admin-addr=" + s.proc.Admin[len("http://"):]}
		if err := s.dial(); err != nil {
			return err
		}
	}
	return l.renewRoot(ctx)
}

// renewRoot makes the platform's machine, or gives it a new token.
func (l *lab) renewRoot(ctx context.Context) (err error) {
	a := l.servers[0]
	if l.root != nil {
		l.root.Token, err = l.root.NewToken(ctx, a.apps)
		return err
	}
	founder, err := rig.SignIn(ctx, a.conns[0])
	if err == nil {
		l.root, err = rig.NewMachine(founder, a.conns[0], l.platform, "Root", rig.SuperUser, rig.PlatformOperator)
	}
	return err
}

// other is the server beside this one.
func (l *lab) other(s *server) *server {
	return l.servers[1-l.number(s)]
}

// number is the place of a server.
func (l *lab) number(s *server) int {
	if s == l.servers[0] {
		return 0
	}
	return 1
}

func (s *server) start(ctx context.Context) (err error) {
	env := append([]string{}, s.lab.env...)
	env = append(env, "IDENTITY_DATABASE_URL="+s.wire.url(), "IDENTITY_DATABASE_LISTEN_URL="+s.listening.url())
	s.proc, err = rig.StartServer(ctx, filepath.Join(s.lab.folder, s.name+".log"), nil, env, s.lab.program, append([]string{"serve"}, s.addrs...)...)
	return err
}

// dial makes clients that come back soon after their server does.
func (s *server) dial() error {
	soon := backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1.2, MaxDelay: 100 * time.Millisecond}
	for range connsEach {
		conn, err := rig.Dial(s.proc.GRPC, grpc.WithConnectParams(grpc.ConnectParams{Backoff: soon, MinConnectTimeout: time.Second}))
		if err != nil {
			return err
		}
		s.conns = append(s.conns, conn)
	}
	s.users, s.roles = identityv1.NewUserServiceClient(s), identityv1.NewRoleServiceClient(s)
	s.apps, s.logins = identityv1.NewServiceAccountServiceClient(s), identityv1.NewSessionServiceClient(s)
	return nil
}

// Invoke implements grpc.ClientConnInterface over all connections in turn.
func (s *server) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return s.conns[s.calls.Add(1)%connsEach].Invoke(ctx, method, args, reply, opts...)
}

// NewStream implements grpc.ClientConnInterface.
func (s *server) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return s.conns[0].NewStream(ctx, desc, method, opts...)
}

// kill ends the server as kill -9 does, and starts it again. It returns how
// long it took from the start of the process to the first answered call.
func (s *server) kill(ctx context.Context) (time.Duration, error) {
	s.down.Add(1)
	defer s.down.Add(1)
	s.proc.Kill()
	return s.restart(ctx)
}

func (s *server) restart(ctx context.Context) (time.Duration, error) {
	begin := time.Now()
	if err := s.start(ctx); err != nil {
		return 0, err
	}
	var took time.Duration
	for _, conn := range s.conns { // each of which has still to notice
		me := identityv1.NewUserServiceClient(conn)
		_, err := until(ctx, func(ctx context.Context) error {
			_, err := me.GetMe(rig.Bearing(ctx, s.lab.root.Token), &identityv1.GetMeRequest{})
			return err
		})
		if err != nil {
			return 0, err
		}
		if took == 0 {
			took = time.Since(begin)
		}
	}
	return took, nil
}

func (s *server) close() {
	for _, conn := range s.conns {
		_ = conn.Close()
	}
	for _, p := range []*proxy{s.wire, s.listening} {
		if p != nil {
			p.close()
		}
	}
	if s.proc != nil {
		s.proc.Kill()
	}
}

// until repeats a call until it is answered, for at most half a minute, and
// returns how long that took.
func until(ctx context.Context, call func(context.Context) error) (time.Duration, error) {
	begin := time.Now()
	for {
		one, cancel := context.WithTimeout(ctx, patience)
		err := call(one)
		cancel()
		if err == nil || time.Since(begin) > 30*time.Second || ctx.Err() != nil {
			return time.Since(begin), err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// patience is how long a client waits for an answer.
const patience = 10 * time.Second
