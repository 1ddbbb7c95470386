package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/bizmetry/identity/service"
	"github.com/bizmetry/identity/service/door"
)

// Config is what the port is made of. Service is required.
type Config struct {
	Service *service.Service
	// Log gets a line for each request that is refused before it reaches the
	// door, and one for each panic; nil: none.
	Log *slog.Logger
	// Now is the clock; nil: the system's.
	Now func() time.Time
}

// port is the handler of all requests.
type port struct {
	svc     *service.Service
	log     *slog.Logger
	now     func() time.Time
	base    string // path of the issuer, without a slash at the end
	origin  string // of the issuer
	secure  bool   // the issuer is https
	fixed   map[string]endpoint
	routes  routes
	gateway http.Handler
	conn    *channel // that the gateway calls
}

// endpoint has a handler for each method that a path takes.
type endpoint map[string]http.HandlerFunc

// New makes the handler of the HTTP port.
func New(cfg Config) (http.Handler, error) {
	if cfg.Service == nil {
		return nil, errors.New("the service is required")
	}
	issuer, err := url.Parse(cfg.Service.Authority.Issuer())
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	p := &port{
		svc: cfg.Service, log: cfg.Log, now: cfg.Now,
		base: strings.TrimSuffix(issuer.Path, "/"), secure: issuer.Scheme == "https",
		origin: issuer.Scheme + "://" + issuer.Host,
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.now == nil {
		p.now = time.Now
	}
	if p.routes, err = readRoutes(); err != nil {
		return nil, err
	}
	if p.gateway, err = p.newGateway(); err != nil {
		return nil, err
	}
	p.fixed = p.endpoints()
	return p, nil
}

// endpoints are the paths that are not in the contract.
func (p *port) endpoints() map[string]endpoint {
	fixed := map[string]endpoint{
		"/healthz":                          {http.MethodGet: p.healthz},
		"/readyz":                           {http.MethodGet: p.readyz},
		"/docs":                             {http.MethodGet: p.docs},
		"/docs.css":                         {http.MethodGet: p.docsStyle},
		"/openapi.yaml":                     {http.MethodGet: p.openAPI},
		"/activate":                         {http.MethodGet: p.showActivation, http.MethodPost: p.activate},
		"/page.css":                         {http.MethodGet: p.pageStyle},
		"/oauth2/token":                     {http.MethodPost: p.token},
		"/oauth2/introspect":                {http.MethodPost: p.introspect},
		"/oauth2/revoke":                    {http.MethodPost: p.revoke},
		"/.well-known/jwks.json":            {http.MethodGet: p.jwks},
		"/.well-known/openid-configuration": {http.MethodGet: p.openIDConfiguration},
	}
	// RFC 8414 section 3.1 puts the issuer's path behind, OpenID Connect
	// Discovery before the well-known part; underBase sees to the latter.
	metadata := endpoint{http.MethodGet: p.authorizationServer}
	fixed["/.well-known/oauth-authorization-server"] = metadata
	fixed["/.well-known/oauth-authorization-server"+p.base] = metadata
	fixed["/.well-known/openid-configuration"+p.base] = fixed["/.well-known/openid-configuration"]
	return fixed
}

// Server wraps a handler with the limits of a port that strangers reach.
func Server(h http.Handler) *http.Server {
	return &http.Server{
		Handler:                      h,
		ReadHeaderTimeout:            5 * time.Second,
		ReadTimeout:                  door.MaxDeadline,
		WriteTimeout:                 30 * time.Second,
		IdleTimeout:                  2 * time.Minute,
		MaxHeaderBytes:               door.MaxTransportHeaders,
		DisableGeneralOptionsHandler: true,
	}
}

// ServeHTTP implements http.Handler. Paths are compared, never cleaned, so
// that nothing redirects.
func (p *port) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer hearOut(w, r)
	defer p.recovered(w)
	p.harden(w.Header())
	if headerSize(r.Header) > door.MaxHeaders {
		p.refused("", origin(r).Peer, tooManyHeaders)
		refuse(w, tooManyHeaders)
		return
	}
	r = p.underBase(r)
	methods, ok := p.fixed[r.URL.Path]
	if !ok {
		p.rest(w, r)
		return
	}
	if handle := methods[asked(r)]; handle != nil {
		handle(w, r)
		return
	}
	w.Header().Set("Allow", allow(slices.Sorted(maps.Keys(methods))))
	if strings.HasPrefix(r.URL.Path, "/oauth2/") {
		writeOAuthError(w, oauthMethod)
		return
	}
	refuse(w, wrongMethod)
}

// asked is the method that a request is answered by: HEAD gets the headers of GET.
// What is written after them net/http drops.
func asked(r *http.Request) string {
	if r.Method == http.MethodHead {
		return http.MethodGet
	}
	return r.Method
}

// allow is the header of the methods that a path takes.
func allow(methods []string) string {
	if slices.Contains(methods, http.MethodGet) {
		methods = append(methods, http.MethodHead)
	}
	return strings.Join(methods, ", ")
}

// What is still read of a body after its request was answered.
const (
	hearAtMost = 64 << 20
	hearFor    = 5 * time.Second
)

// hearOut reads on, for a while, after an answer that closes the connection. Many
// clients send all of a body before they look for an answer; if the connection were
// closed on them they would never see it.
func hearOut(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	if w.Header().Get("Connection") != "close" || rc.Flush() != nil || rc.SetReadDeadline(time.Now().Add(hearFor)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, r.Body, hearAtMost) // it ends as it does: the answer is sent
}

func headerSize(h http.Header) (n int) {
	for name, values := range h {
		for _, value := range values {
			n += len(name) + len(value) + 32 // as HTTP/2 counts them
		}
	}
	return n
}

// underBase takes the issuer's path off, for proxies that leave it on.
func (p *port) underBase(r *http.Request) *http.Request {
	path, ok := strings.CutPrefix(r.URL.Path, p.base)
	if p.base == "" || !ok || !strings.HasPrefix(path, "/") {
		return r
	}
	raw, ok := strings.CutPrefix(r.URL.RawPath, p.base)
	if !ok && r.URL.RawPath != "" {
		return r
	}
	under := *r.URL
	under.Path, under.RawPath = path, raw
	r = r.WithContext(r.Context())
	r.URL = &under
	return r
}

// harden sets the headers that every answer has. There is no CORS header:
// browsers of other origins have no business here.
func (p *port) harden(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	if p.secure {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// recovered answers a panic. Its value may hold a secret; the stack does not.
func (p *port) recovered(w http.ResponseWriter) {
	v := recover()
	if v == nil {
		return
	}
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v)
	}
	p.log.Error("panic", "type", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
	refuse(w, broken)
}

// refused notes a request that did not reach the door: neither its path nor
// anything else that a secret could have slipped into.
func (p *port) refused(route, source string, no *refusal) {
	level := slog.LevelInfo
	if no == broken {
		level = slog.LevelError
	}
	p.log.Log(context.Background(), level, "refused", "route", route, "status", no.http, "reason", no.reason.String(),
		"text", no.text, "source", source)
}

// origin is what the rules may know about where a request comes from.
func origin(r *http.Request) door.Origin {
	return door.Origin{Peer: r.RemoteAddr, Forwarded: r.Header.Values("X-Forwarded-For"), UserAgent: r.UserAgent()}
}

// healthz tells that the process answers.
func (p *port) healthz(w http.ResponseWriter, _ *http.Request) {
	write(w, http.StatusOK, typeText, []byte("ok\n"))
}

// readyz tells whether calls can be served; not why not, because anybody asks.
func (p *port) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), time.Second)
	defer cancel()
	if err := p.svc.Ready(ctx); err != nil {
		p.log.Warn("not ready", "error", err.Error())
		write(w, http.StatusServiceUnavailable, typeText, []byte("not ready\n"))
		return
	}
	write(w, http.StatusOK, typeText, []byte("ok\n"))
}
