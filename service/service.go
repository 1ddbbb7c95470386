package service

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/authority"
	"github.com/bizmetry/identity/service/change"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/event"
	"github.com/bizmetry/identity/service/fair"
	"github.com/bizmetry/identity/service/keys"
	"github.com/bizmetry/identity/service/kit"
	"github.com/bizmetry/identity/service/letter"
	"github.com/bizmetry/identity/service/limit"
	"github.com/bizmetry/identity/service/notify"
	"github.com/bizmetry/identity/service/organization"
	"github.com/bizmetry/identity/service/outbox"
	"github.com/bizmetry/identity/service/page"
	"github.com/bizmetry/identity/service/password"
	"github.com/bizmetry/identity/service/phone"
	"github.com/bizmetry/identity/service/role"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/service/serviceaccount"
	"github.com/bizmetry/identity/service/session"
	"github.com/bizmetry/identity/service/user"
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
	// database cannot be asked; 0: authority.DefaultBudget, at most authority.MaxBudget.
	StalenessBudget time.Duration
	// TrustedProxies are the networks whose forwarding headers are believed.
	TrustedProxies []netip.Prefix
	// Mail and SMS send what is in the outbox; nil: it stays there.
	Mail, SMS notify.Sender
}

// Service is all rooms of a replica. Those that other packages use are exported.
type Service struct {
	kit.Kit

	Door      *door.Door
	Authority *authority.Authority
	Users     *user.Users
	Accounts  *serviceaccount.Accounts

	store   *store.Store
	limits  *limit.Limits
	keeper  *keys.Keeper
	outbox  *outbox.Outbox
	nouns   nouns
	running atomic.Bool
}

// nouns implement the services of the contract.
type nouns struct {
	users         *userService
	roles         *role.Roles
	sessions      *session.Sessions
	organizations *organization.Organizations
	events        *event.Events
}

// New makes the service. The database must be migrated and bootstrapped.
func New(ctx context.Context, cfg Config) (*Service, error) {
	if cfg.Store == nil || cfg.Ring == nil || cfg.Issuer == "" {
		return nil, errors.New("store, key ring and issuer are required")
	}
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	incarnation, err := cfg.Store.Incarnation(ctx)
	if err != nil {
		return nil, err
	}
	s := &Service{Kit: kit.Kit{Now: cfg.Now, Elapsed: cfg.Elapsed, Rand: cfg.Rand, Log: cfg.Log, Meter: fair.NewMeter(cfg.Metrics)}, store: cfg.Store}
	s.Authority = authority.New(authority.Config{
		Kit: s.Kit, Store: cfg.Store, Ring: cfg.Ring, Issuer: cfg.Issuer, Incarnation: incarnation,
		StalenessBudget: cfg.StalenessBudget, Metrics: cfg.Metrics,
	})
	s.showGates(cfg.Store.Gates(), cfg.Passwords.Gates())
	s.limits = limit.New(s.Kit, cfg.Store, cfg.Ring)
	s.Door, err = door.New(door.Config{
		Kit: s.Kit, Authenticator: s.Authority, Refused: s.limits.NoteRefused, TrustedProxies: cfg.TrustedProxies, Metrics: cfg.Metrics,
	})
	if err != nil {
		return nil, err
	}
	s.outbox = outbox.New(s.Kit, cfg.Store, cfg.Ring, cfg.Mail, cfg.SMS, cfg.Metrics)
	s.keeper = keys.NewKeeper(s.Kit, cfg.Store, cfg.Ring, s.Authority)
	s.makeNouns(cfg, incarnation)
	return s, s.Authority.Begin(ctx, s.keeper.Load)
}

// showGates shows in the metrics what is let in where calls wait.
func (s *Service) showGates(gates ...map[string]*fair.Gate) {
	for _, some := range gates {
		for name, gate := range some {
			s.Meter.Show(name, &gate.Count)
		}
	}
}

// makeNouns makes the rooms that implement the services of the contract.
func (s *Service) makeNouns(cfg Config, incarnation string) {
	availability := user.NewAvailability(s.Kit, cfg.Store, s.limits)
	changes := change.New(s.Kit, cfg.Store, cfg.Ring, s.Authority)
	pages := page.New(cfg.Ring, incarnation)
	letters := letter.New(s.Kit, cfg.Issuer, s.limits, s.outbox)
	passwords := password.New(s.Kit, cfg.Passwords, s.Authority, s.limits)
	phones := phone.New(s.Kit, cfg.Store, cfg.Ring, s.limits, changes, s.outbox)
	s.nouns.roles = role.New(s.Kit, cfg.Store, s.Authority, changes, pages)
	s.Users = user.New(user.Config{
		Kit: s.Kit, Store: cfg.Store, Ring: cfg.Ring, Hasher: cfg.Passwords, Door: s.Door, Authority: s.Authority, Limits: s.limits,
		Changes: changes, Pages: pages, Letters: letters, Passwords: passwords, Phones: phones, Availability: availability,
	})
	s.nouns.sessions = session.New(session.Config{
		Kit: s.Kit, Store: cfg.Store, Ring: cfg.Ring, Hasher: cfg.Passwords, Incarnation: incarnation,
		Authority: s.Authority, Limits: s.limits, Changes: changes, Letters: letters,
	})
	s.Accounts = serviceaccount.New(s.Kit, cfg.Store, cfg.Ring, s.Door, s.Authority, s.limits, changes, pages)
	s.nouns.users = &userService{Users: s.Users, Phones: phones, Passwords: passwords, accounts: s.Accounts}
	s.nouns.organizations = organization.New(s.Kit, cfg.Store, s.Door, changes, letters, phones, s.Users, availability)
	s.nouns.events = event.New(cfg.Store, pages)
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
		c.StalenessBudget = authority.DefaultBudget
	}
	c.StalenessBudget = min(c.StalenessBudget, authority.MaxBudget)
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
		r = s.Door.Registrar(r)
	}
	identityv1.RegisterUserServiceServer(r, s.nouns.users)
	identityv1.RegisterRoleServiceServer(r, s.nouns.roles)
	identityv1.RegisterServiceAccountServiceServer(r, s.Accounts)
	identityv1.RegisterSessionServiceServer(r, s.nouns.sessions)
	identityv1.RegisterOrganizationServiceServer(r, s.nouns.organizations)
	identityv1.RegisterEventServiceServer(r, s.nouns.events)
}

// Run does the work in the background until the context ends: it writes
// activity and last use, sends messages, follows the signing keys and sweeps. It is
// called once: a second call is refused.
func (s *Service) Run(ctx context.Context) error {
	if !s.running.CompareAndSwap(false, true) {
		return errors.New("the service was run before")
	}
	flush := time.NewTicker(time.Second)
	defer flush.Stop()
	sweep := time.NewTicker(10 * time.Minute)
	defer sweep.Stop()
	look := time.NewTicker(keys.LookEvery)
	defer look.Stop()
	var others sync.WaitGroup
	others.Go(func() { s.Authority.Follow(ctx) })
	others.Go(func() { s.outbox.Run(ctx) })
	others.Go(func() {
		s.Door.CompileRules()
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
		case <-look.C:
			s.Tried(ctx, "tend signing keys", s.keeper.Tend)
		case <-sweep.C:
			s.Tried(ctx, "sweep", func(ctx context.Context) error {
				return s.store.Sweep(ctx, store.At(s.Now()))
			})
			s.Tried(ctx, "purge deleted users", s.Users.Purge)
		}
	}
}

func (s *Service) flush(ctx context.Context) {
	s.Tried(ctx, "write activity", s.limits.WriteActivity)
	s.Tried(ctx, "write last use", s.limits.WriteLastUsed)
}

// Ready tells whether calls can be served: the database answers and a key signs.
func (s *Service) Ready(ctx context.Context) error {
	if err := s.store.Ping(ctx); err != nil {
		return err
	}
	return s.Authority.Ready()
}
