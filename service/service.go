package service

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"buf.build/go/protovalidate"
	"github.com/maypok86/otter/v2"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/notify"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/service/token"
	"github.com/bizmetry/identity/store"
)

// Config is what the service is made of. Store, Ring and Issuer are required.
type Config struct {
	Store *store.Store
	// Ring holds the master keys: it seals signing keys and page tokens and derives refresh tokens.
	Ring *secret.KeyRing
	// Issuer is the public URL: issuer and own audience of tokens.
	Issuer string
	// Passwords hashes; nil: with the default parameters.
	Passwords *secret.Passwords
	// Now and Rand are the clock and the randomness; nil: the system's.
	Now  func() time.Time
	Rand io.Reader
	// Elapsed is the monotonic clock, which goes on while the process is frozen: how
	// long ago it began to measure; nil: the system's.
	Elapsed func() time.Duration
	// Log gets one line a call; nil: none.
	Log *slog.Logger
	// Metrics gets the counters; nil: none.
	Metrics prometheus.Registerer
	// StalenessBudget is how long verify and check go on from memory when the
	// database cannot be asked; 0: DefaultBudget.
	StalenessBudget time.Duration
	// TrustedProxies are the networks whose forwarding headers are believed.
	TrustedProxies []netip.Prefix
	// Mail and SMS send what is in the outbox; nil: it stays there.
	Mail, SMS notify.Sender
}

// Service implements all services of the contract.
type Service struct {
	identityv1.UnsafeUserServiceServer
	identityv1.UnsafeRoleServiceServer
	identityv1.UnsafeServiceAccountServiceServer
	identityv1.UnsafeSessionServiceServer
	identityv1.UnsafeOrganizationServiceServer
	identityv1.UnsafeEventServiceServer

	kit

	store       *store.Store
	ring        *secret.KeyRing
	issuer      string
	passwords   *secret.Passwords
	metrics     *metrics
	proxies     []netip.Prefix
	methods     map[string]*method
	validator   protovalidate.Validator
	auth        authenticator
	refused     func(*call)
	meanings    map[protoreflect.FullName]meaning
	incarnation string
	signing     atomic.Pointer[token.Ring]
	keyLoads    atomic.Uint64 // loads of signing keys begun
	keysMu      sync.Mutex
	keysLoaded  uint64 // the load that signing is of
	sources     *sources
	blockedNow  atomic.Pointer[blocked]
	asking      singleflight.Group
	onKeys      func(context.Context) error
	onTaken     func(context.Context, error) error
	learners    *otter.Cache[string, store.Micros] // who was told of too many taken addresses, until when
	memory      *memory
	rope        chan struct{} // pulled after a change, rings the bell
	stopping    chan struct{} // closed when streams have to end
	activity    *activity
	lastUsed    *lastUsed
	streams     *streams
	courier     *courier
}

// New makes the service. The database must be migrated and bootstrapped.
func New(ctx context.Context, cfg Config) (*Service, error) {
	if cfg.Store == nil || cfg.Ring == nil || cfg.Issuer == "" {
		return nil, errors.New("store, key ring and issuer are required")
	}
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	s := &Service{
		store: cfg.Store, ring: cfg.Ring, issuer: cfg.Issuer, passwords: cfg.Passwords,
		kit: kit{now: cfg.Now, elapsed: cfg.Elapsed, rand: cfg.Rand, log: cfg.Log}, proxies: cfg.TrustedProxies,
		sources: newSources(cfg.Now), learners: newLearners(),
		activity: newActivity(), lastUsed: newLastUsed(), streams: newStreams(),
		memory: newMemory(cfg.Store, cfg.Now, cfg.Elapsed, cfg.StalenessBudget), rope: make(chan struct{}, 1), stopping: make(chan struct{}),
	}
	s.auth, s.refused, s.onKeys, s.onTaken = s, s.noteRefused, s.loadKeys, s.tellTaken
	s.meanings = map[protoreflect.FullName]meaning{}
	s.checkPeople()
	s.metrics = newMetrics(cfg.Metrics)
	s.measure(cfg.Metrics)
	s.courier = newCourier(s.kit, s.store, s.ring, cfg.Mail, cfg.SMS, cfg.Metrics)
	var err error
	if s.methods, err = readMethods(); err != nil {
		return nil, err
	}
	if s.validator, err = protovalidate.New(
		protovalidate.WithNowFunc(func() *timestamppb.Timestamp { return timestamppb.New(s.now()) }),
	); err != nil {
		return nil, err
	}
	if s.incarnation, err = s.store.Incarnation(ctx); err != nil {
		return nil, err
	}
	platform, err := s.store.Platform(ctx)
	if err != nil {
		return nil, fmt.Errorf("the platform organization: %w", err)
	}
	if _, err := s.memory.follow(ctx, platform.ID); err != nil { // before the keys are read: its events tell of new ones
		return nil, err
	}
	return s, s.loadKeys(ctx)
}

func (c *Config) setDefaults() error {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Elapsed == nil {
		start := time.Now()
		c.Elapsed = func() time.Duration { return time.Since(start) }
	}
	if c.StalenessBudget <= 0 {
		c.StalenessBudget = DefaultBudget
	}
	c.StalenessBudget = min(c.StalenessBudget, MaxBudget)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Passwords == nil {
		var err error
		c.Passwords, err = secret.NewPasswords(secret.PasswordsConfig{Rand: c.Rand})
		return err
	}
	return nil
}

// Register adds all services to a gRPC server or to the in-process channel.
// Messages that cannot be read are answered like every other error.
func (s *Service) Register(r grpc.ServiceRegistrar) {
	if _, ok := r.(*grpc.Server); ok {
		r = registrar{r}
	}
	identityv1.RegisterUserServiceServer(r, s)
	identityv1.RegisterRoleServiceServer(r, s)
	identityv1.RegisterServiceAccountServiceServer(r, s)
	identityv1.RegisterSessionServiceServer(r, s)
	identityv1.RegisterOrganizationServiceServer(r, s)
	identityv1.RegisterEventServiceServer(r, s)
}

// Run does the work in the background until the context ends: it writes
// activity and last use, sends messages, follows the signing keys and sweeps.
func (s *Service) Run(ctx context.Context) error {
	flush := time.NewTicker(time.Second)
	defer flush.Stop()
	sweep := time.NewTicker(10 * time.Minute)
	defer sweep.Stop()
	keys := time.NewTicker(keysEvery)
	defer keys.Stop()
	var others sync.WaitGroup
	others.Go(func() { s.followFeed(ctx) })
	others.Go(func() { s.courier.run(ctx) })
	others.Go(func() {
		s.compileRules()
		debug.FreeOSMemory() // a start leaves as much behind as the service keeps
	})
	defer others.Wait()
	for {
		select {
		case <-ctx.Done():
			s.flush(context.WithoutCancel(ctx))
			return nil
		case <-flush.C:
			s.flush(ctx)
		case <-keys.C:
			s.tried(ctx, "tend signing keys", s.tendKeys)
		case <-sweep.C:
			s.tried(ctx, "sweep", func(ctx context.Context) error {
				return s.store.Short(ctx, func(t *store.ShortTx) error { return t.Sweep(ctx, store.At(s.now())) })
			})
			s.tried(ctx, "purge deleted users", s.purge)
		}
	}
}

func (s *Service) flush(ctx context.Context) {
	s.tried(ctx, "write activity", s.writeActivity)
	s.tried(ctx, "write last use", s.writeLastUsed)
}

// Ready tells whether calls can be served: the database answers and a key signs.
func (s *Service) Ready(ctx context.Context) error {
	if err := s.store.Ping(ctx); err != nil {
		return err
	}
	if s.signing.Load() == nil {
		return errors.New("no signing key")
	}
	return nil
}
