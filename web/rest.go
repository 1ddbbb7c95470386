package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/door"
)

// headersIn are all headers that reach the door.
var headersIn = []string{"Authorization", "Idempotency-Key", "If-Match", "X-Forwarded-For", "User-Agent"}

// headersOut are all headers of the door that reach the client.
var headersOut = map[string]string{"request-id": "Request-Id", "identity-revision": "Identity-Revision"}

// newGateway makes the REST mirror. Its requests are made by rest alone.
func (p *port) newGateway() (http.Handler, error) {
	conn := &channel{
		methods: map[string]method{}, streams: map[string]streamMethod{}, unary: p.svc.Door.Unary, stream: p.svc.Door.Stream,
	}
	p.svc.Register(conn)
	p.conn = conn
	none := func(string) (string, bool) { return "", false }
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, codec),
		runtime.WithErrorHandler(p.gatewayError),
		runtime.WithRoutingErrorHandler(func(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, _ *http.Request, _ int) {
			refuse(w, noSuchPath)
		}),
		runtime.WithIncomingHeaderMatcher(none),
		runtime.WithOutgoingTrailerMatcher(none),
		runtime.WithOutgoingHeaderMatcher(func(name string) (string, bool) {
			out, ok := headersOut[name]
			return out, ok
		}),
		runtime.WithWriteContentLength(),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
	)
	ctx := context.Background()
	return mux, errors.Join(
		identityv1.RegisterUserServiceHandlerClient(ctx, mux, identityv1.NewUserServiceClient(conn)),
		identityv1.RegisterRoleServiceHandlerClient(ctx, mux, identityv1.NewRoleServiceClient(conn)),
		identityv1.RegisterServiceAccountServiceHandlerClient(ctx, mux, identityv1.NewServiceAccountServiceClient(conn)),
		identityv1.RegisterSessionServiceHandlerClient(ctx, mux, identityv1.NewSessionServiceClient(conn)),
		identityv1.RegisterOrganizationServiceHandlerClient(ctx, mux, identityv1.NewOrganizationServiceClient(conn)),
		identityv1.RegisterEventServiceHandlerClient(ctx, mux, identityv1.NewEventServiceClient(conn)),
	)
}

// rest reads a request of the contract and hands the gateway a new one that
// has only what was read. The gateway takes Grpc-Timeout, Grpc-Metadata-*,
// X-Forwarded-* and more from its request; this one has none of them.
func (p *port) rest(w http.ResponseWriter, r *http.Request) {
	rt, others, no := p.routes.find(r)
	if len(others) > 0 {
		w.Header().Set("Allow", allow(others))
	}
	if no == nil {
		no = checkQuery(&rt, r.URL.RawQuery)
	}
	var md metadata.MD
	if no == nil {
		md, no = headers(r.Header)
	}
	if no == nil && rt.streams() {
		p.file(w, r, &rt, md)
		return
	}
	if no != nil {
		p.refuseRest(w, r, &rt, no)
		return
	}
	outside := peer.NewContext(metadata.NewOutgoingContext(r.Context(), md), peerOf(r))
	inside, leave := enter(outside)
	defer leave()
	inside, call, err := p.svc.Door.Arrive(inside, rt.fullMethod())
	w.Header().Set("Request-Id", call.RequestID)
	if err == nil {
		defer call.Leave()
		err = p.expect(inside, call, w, r)
	}
	if err != nil {
		p.gatewayError(outside, nil, nil, w, r.WithContext(outside), err)
		return
	}
	body, no := readBody(w, r, &rt, call.MaxRequest())
	read := &reading{&rt, bytes.TrimLeft(body, " \t\r\n")}
	if no == nil {
		no = read.halves()
	}
	if no == nil {
		no = checkBody(&rt, body)
	}
	if no != nil {
		p.refuseRest(w, r, &rt, no)
		return
	}
	in := r.WithContext(context.WithValue(context.WithValue(outside, arrivedKey{}, inside), readingKey{}, read))
	in.Method, in.Header, in.Host, in.RemoteAddr = rt.method, http.Header{}, "", ""
	in.Body, in.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	p.gateway.ServeHTTP(w, in)
}

// expect takes room for a body before it is read, and has it read in time.
func (p *port) expect(ctx context.Context, call *door.Call, w http.ResponseWriter, r *http.Request) error {
	size := r.ContentLength
	if size < 0 || size > call.MaxRequest() { // unknown, or to be cut off there
		size = call.MaxRequest()
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(door.MaxDeadline)) // of tests that record answers there is none
	return p.svc.Door.Expect(ctx, size)
}

// refuseRest answers and notes a request that does not reach the door.
func (p *port) refuseRest(w http.ResponseWriter, r *http.Request, rt *route, no *refusal) {
	from := origin(r)
	p.refused(rt.path, p.svc.Door.Source(from.Peer, from.Forwarded), no)
	refuse(w, no)
}

// headers picks the headers that count. The values of three are compared or
// stored, so they must be plain text.
func headers(h http.Header) (metadata.MD, *refusal) {
	md := metadata.MD{}
	for _, name := range headersIn {
		values := h.Values(name)
		if len(values) > 0 {
			md.Set(name, values...)
		}
		if name == "X-Forwarded-For" || name == "User-Agent" {
			continue
		}
		for _, v := range values {
			if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' }) {
				return nil, malformed.with("header", name)
			}
		}
	}
	return md, nil
}

// name is a parameter that can be repeated in an answer: no secret looks so.
var name = regexp.MustCompile(`^[A-Za-z][A-Za-z._]{0,39}$`)

// checkQuery refuses parameters that the gateway would pass over in silence.
func checkQuery(rt *route, raw string) *refusal {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return malformed
	}
	for key := range query {
		switch {
		case rt.takes(key):
		case name.MatchString(key):
			return unknownParameter.with("parameter", key)
		default:
			return unknownParameter
		}
	}
	if rt.streams() { // the names of formats are taken in any case
		return nil
	}
	return rt.checkValues(query)
}

// readBody reads the body where the route takes one: JSON, one value, UTF-8.
func readBody(w http.ResponseWriter, r *http.Request, rt *route, most int64) ([]byte, *refusal) {
	body, err := readAll(http.MaxBytesReader(w, r.Body, most), min(r.ContentLength, most))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, tooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, tooSlow
	case err != nil:
		return nil, malformed
	case len(body) == 0:
		return nil, nil
	case rt.body == "":
		return nil, noBody
	case mediaType(r.Header) != "application/json":
		return nil, wrongType
	}
	body = bytes.TrimPrefix(body, byteOrderMark)
	switch {
	case len(body) == 0:
		return nil, nil
	case !utf8.Valid(body) || !json.Valid(body):
		return nil, badBody
	}
	if rt.method == http.MethodPatch && isEmptyObject(body) {
		return nil, nil // the gateway would make a mask of it that has one empty path
	}
	return body, nil
}

// readAll reads a body whose size is known as a rule, so that it takes no more than that.
func readAll(r io.Reader, size int64) ([]byte, error) {
	var body bytes.Buffer
	if size > 0 {
		body.Grow(int(size) + bytes.MinRead)
	}
	_, err := body.ReadFrom(r)
	return body.Bytes(), err
}

// byteOrderMark begins what some editors and systems write as UTF-8.
var byteOrderMark = []byte("\ufeff")

func isEmptyObject(body []byte) bool {
	inner, ok := bytes.CutPrefix(bytes.TrimSpace(body), []byte("{"))
	return ok && string(bytes.TrimSpace(inner)) == "}"
}

// peerOf is the client as gRPC describes it.
func peerOf(r *http.Request) *peer.Peer {
	p := &peer.Peer{Addr: address(r.RemoteAddr)}
	if port, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		p.Addr = net.TCPAddrFromAddrPort(port)
	}
	if r.TLS != nil {
		p.AuthInfo = credentials.TLSInfo{State: *r.TLS}
	}
	return p
}

// sourceOf is the address of the client of a request that rest made.
func (p *port) sourceOf(ctx context.Context, md metadata.MD) string {
	client, ok := peer.FromContext(ctx)
	if !ok {
		return ""
	}
	return p.svc.Door.Source(client.Addr.String(), md.Get("x-forwarded-for"))
}

// address is a net.Addr that is not TCP.
type address string

func (address) Network() string  { return "http" }
func (a address) String() string { return string(a) }
