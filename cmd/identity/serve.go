package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/bizmetry/identity/service"
	"github.com/bizmetry/identity/service/organization"
	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/web"
)

// Help lists the settings that come from the environment only.
func (c *serveCmd) Help() string {
	return c.databaseSettings.Help() + `  IDENTITY_SMTP_URL            smtp://user:password@host:587 (TLS by STARTTLS is a
                               must unless the host is this machine),
                               smtps://user:password@host:465, or file:FOLDER
  IDENTITY_SMS_URL             twilio://SID:TOKEN@api.twilio.com?from=+15550100,
                               webhook:https://…, or file:FOLDER
                               (both required with PostgreSQL; otherwise
                               file:outbox)
`
}

type serveCmd struct {
	databaseSettings
	GRPCAddr        string        `name:"grpc-addr" env:"IDENTITY_GRPC_ADDR" default:"127.0.0.1:9090" help:"Address of the gRPC port. One that other machines reach needs IDENTITY_INSECURE=behind-proxy."`
	HTTPAddr        string        `name:"http-addr" env:"IDENTITY_HTTP_ADDR" default:"127.0.0.1:8080" help:"Address of the HTTP port: REST, OAuth 2.0, docs."`
	AdminAddr       string        `name:"admin-addr" env:"IDENTITY_ADMIN_ADDR" default:"127.0.0.1:9091" help:"Address of /metrics and profiles; never on the public ports."`
	PublicURL       string        `name:"public-url" env:"IDENTITY_PUBLIC_URL" default:"http://localhost:8080" help:"Issuer and audience of tokens, and where links in mails lead; never taken from a request."`
	MailFrom        string        `name:"mail-from" env:"IDENTITY_MAIL_FROM" placeholder:"ADDRESS" help:"Sender of mails (default: noreply at the host of the public URL)."`
	Insecure        string        `name:"insecure" env:"IDENTITY_INSECURE" enum:",behind-proxy" default:"" help:"behind-proxy: other machines may connect without TLS, because a proxy provides it."`
	TrustedProxies  []string      `name:"trusted-proxies" env:"IDENTITY_TRUSTED_PROXIES" placeholder:"CIDR,…" help:"Networks or addresses whose X-Forwarded-For is believed, or none. IDENTITY_INSECURE=behind-proxy needs it."`
	BootstrapEmail  string        `name:"bootstrap-email" env:"IDENTITY_BOOTSTRAP_EMAIL" placeholder:"ADDRESS" help:"First administrator of an empty database (embedded database: admin@example.com). On PostgreSQL an empty database is refused without."`
	Reflection      *bool         `name:"reflection" env:"IDENTITY_REFLECTION" negatable:"" help:"gRPC reflection (default: on with the embedded database)."`
	StalenessBudget time.Duration `name:"staleness-budget" env:"IDENTITY_STALENESS_BUDGET" default:"5s" help:"How long tokens are verified and permissions checked from memory when the database cannot be asked (at most 60s)."`
	LogLevel        slog.Level    `name:"log-level" env:"IDENTITY_LOG_LEVEL" default:"info" help:"debug, info, warn or error; JSON lines on standard error."`
}

// Run serves until the context ends, then lets calls in flight finish.
func (c *serveCmd) Run(ctx context.Context, o output) error {
	if err := c.check(); err != nil {
		return err
	}
	out, err := c.senders()
	if err != nil {
		return err
	}
	log, flush := newLog(o.err, c.LogLevel)
	defer flush()
	st, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	svc, err := c.prepare(ctx, o, st, out, log, metrics)
	if err != nil {
		return err
	}
	handler, err := web.New(web.Config{Service: svc, Log: log})
	if err != nil {
		return err
	}
	rpc := grpc.NewServer(svc.Door.ServerOptions()...)
	svc.Register(rpc)
	if c.reflects() {
		reflection.Register(rpc)
	}
	state := addHealth(rpc)
	stop := func() {
		state.Shutdown() // NOT_SERVING before anything closes
		svc.Door.EndStreams()
	}
	return c.listen(ctx, o, svc, rpc, stop, web.Server(handler), adminServer(metrics))
}

// addHealth has gRPC's health check know every service that a server has, by name.
func addHealth(rpc *grpc.Server) *health.Server {
	state := health.NewServer()
	grpc_health_v1.RegisterHealthServer(rpc, state)
	for name := range rpc.GetServiceInfo() {
		state.SetServingStatus(name, grpc_health_v1.HealthCheckResponse_SERVING)
	}
	return state
}

// check refuses settings that cannot be, all at once, and brings the public URL to its one form.
func (c *serveCmd) check() error {
	_, proxies := trustedProxies(c.TrustedProxies, c.Insecure)
	public, noURL := publicURL(c.PublicURL)
	c.PublicURL = public
	return errors.Join(
		proxies,
		noURL,
		checkAddr("IDENTITY_GRPC_ADDR", c.GRPCAddr, c.Insecure),
		checkAddr("IDENTITY_HTTP_ADDR", c.HTTPAddr, c.Insecure),
		checkAddr("IDENTITY_ADMIN_ADDR", c.AdminAddr, c.Insecure),
	)
}

func (c *serveCmd) reflects() bool {
	if c.Reflection != nil {
		return *c.Reflection
	}
	return store.Embedded(databaseURL())
}

// prepare brings the database to where it can be served, and makes the service.
func (c *serveCmd) prepare(ctx context.Context, o output, st *store.Store, out senders, log *slog.Logger, metrics prometheus.Registerer) (*service.Service, error) {
	pending, err := st.Pending(ctx)
	if err != nil {
		return nil, err
	}
	if pending > 0 {
		if !store.Embedded(databaseURL()) {
			return nil, fmt.Errorf("%d migrations are to be done: run identity migrate first", pending)
		}
		if err := st.Migrate(ctx); err != nil {
			return nil, err
		}
	}
	ring, err := c.keyRing(ctx, st)
	if err != nil {
		return nil, err
	}
	empty, err := organization.Empty(ctx, st)
	if err != nil {
		return nil, err
	}
	if empty {
		founder, err := c.founder()
		if err != nil {
			return nil, err
		}
		if err := bootstrap(ctx, o, st, ring, founder); err != nil {
			return nil, err
		}
	}
	proxies, err := trustedProxies(c.TrustedProxies, c.Insecure)
	if err != nil {
		return nil, err
	}
	return service.New(ctx, service.Config{
		Store: st, Ring: ring, Issuer: c.PublicURL, Log: log, Metrics: metrics, TrustedProxies: proxies,
		StalenessBudget: c.StalenessBudget, Mail: out.mail, SMS: out.sms,
	})
}

func (c *serveCmd) founder() (organization.Founder, error) {
	email := c.BootstrapEmail
	if email == "" {
		if !store.Embedded(databaseURL()) {
			return organization.Founder{}, errors.New("the database is empty: set IDENTITY_BOOTSTRAP_EMAIL, or run identity bootstrap")
		}
		email = "admin@example.com"
	}
	return organization.Founder{Email: email, FirstName: "Platform", LastName: "Administrator", Organization: "Platform"}, nil
}

// listen opens all ports before it says so, serves them, and closes them in order.
func (c *serveCmd) listen(ctx context.Context, o output, svc *service.Service, rpc *grpc.Server, stop func(), public, admin *http.Server) error {
	var config net.ListenConfig
	var ports [3]net.Listener
	for i, addr := range []string{c.GRPCAddr, c.HTTPAddr, c.AdminAddr} {
		var err error
		if ports[i], err = config.Listen(ctx, "tcp", addr); err != nil {
			return err
		}
		defer ports[i].Close()
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return svc.Run(ctx) })
	g.Go(func() error { return served(rpc.Serve(svc.Door.Listen(ports[0]))) })
	g.Go(func() error { return served(public.Serve(svc.Door.Listen(ports[1]))) })
	g.Go(func() error { return served(admin.Serve(ports[2])) })
	g.Go(func() error {
		<-ctx.Done()
		stop()
		finish(rpc, public, admin)
		return nil
	})
	if folder := mailFolder(); folder != "" {
		fmt.Fprintf(o.out, "mail  is written into %s\n", folder)
	}
	_, err := fmt.Fprintf(o.out, "gRPC  %s\nREST  http://%s\nadmin http://%s/metrics\nready\n", ports[0].Addr(), ports[1].Addr(), ports[2].Addr())
	return errors.Join(err, g.Wait())
}

// drain is how long calls in flight may take to finish.
const drain = 10 * time.Second

func finish(rpc *grpc.Server, servers ...*http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	stop := context.AfterFunc(ctx, rpc.Stop)
	defer stop()
	rpc.GracefulStop()
	for _, s := range servers {
		_ = s.Shutdown(ctx) // what is left after the time is cut off
	}
}

// served tells a server that was asked to stop from one that failed.
func served(err error) error {
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

// adminServer serves metrics and profiles, which may take their time.
func adminServer(metrics *prometheus.Registry) *http.Server {
	s := web.Server(adminHandler(metrics))
	s.WriteTimeout = 0
	return s
}

func adminHandler(metrics *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}
