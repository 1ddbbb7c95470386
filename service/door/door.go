// Package door is what every call passes: it recovers from panics, gives the
// call its id, writes log and metrics, caps the deadline, and authenticates,
// authorizes and validates by the options of the contract. It asks an
// Authenticator who calls. It reads no rows and knows no rules of any noun.
package door

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"buf.build/go/protovalidate"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/id"
	"github.com/bizmetry/identity/service/kit"
)

// Limits of the door.
const (
	// MaxMessage is the largest request, on either port.
	MaxMessage = 1 << 20
	// MaxHeaders is the largest list of headers, on either port.
	MaxHeaders = 16 << 10
	// MaxTransportHeaders is what a transport takes, so that the door can say what is
	// wrong with more than MaxHeaders.
	MaxTransportHeaders = 64 << 10
	// maxTransportMessage is what gRPC takes, for the same reason.
	maxTransportMessage = 4 * MaxMessage
	// MaxPublicMessage is the largest request of a method that needs no token.
	MaxPublicMessage = 16 << 10
	// MaxDeadline caps how long a call may take.
	MaxDeadline = 15 * time.Second
	// minDeadline is what a call must have left to be worth beginning.
	minDeadline = time.Millisecond
)

// unknown is what is known of a method that is not there.
var unknown = &Method{Name: "unknown"}

// Door is what every call passes. It knows the methods of the contract and
// which streams are open.
type Door struct {
	kit.Kit

	auth      Authenticator
	refused   func(*Call)
	methods   map[string]*Method
	validator protovalidate.Validator
	meanings  map[protoreflect.FullName]Meaning
	proxies   []netip.Prefix
	streams   *streams
	flows     flows
	lingering atomic.Int64  // answers that wait
	stopping  chan struct{} // closed when streams have to end
	metrics   *metrics
	// unreadable is said once: what a trusted proxy sends.
	unreadable sync.Once
}

// Config is what a door is made of.
type Config struct {
	kit.Kit
	Authenticator Authenticator
	// Refused is told of calls whose caller was refused for want of a permission; nil: nobody is.
	Refused func(*Call)
	// TrustedProxies are the networks whose forwarding headers are believed.
	TrustedProxies []netip.Prefix
	// Metrics gets the counters; nil: none.
	Metrics prometheus.Registerer
}

// New reads the methods of the contract.
func New(cfg Config) (*Door, error) {
	if cfg.Refused == nil {
		cfg.Refused = func(*Call) {}
	}
	methods, err := readMethods()
	if err != nil {
		return nil, err
	}
	validator, err := protovalidate.New(
		protovalidate.WithNowFunc(func() *timestamppb.Timestamp { return timestamppb.New(cfg.Now()) }),
	)
	return &Door{
		Kit: cfg.Kit, auth: cfg.Authenticator, refused: cfg.Refused, methods: methods, validator: validator, meanings: map[protoreflect.FullName]Meaning{},
		proxies: cfg.TrustedProxies, streams: newStreams(), flows: newFlows(cfg.Meter), stopping: make(chan struct{}), metrics: newMetrics(cfg.Metrics),
	}, err
}

// Unary is the interceptor that every call passes, one for all steps: a chain
// of them would cost each call a pile of closures and a deep stack. It catches
// panics, and writes a line of log and the metrics. It sees the cause of an
// error; the client sees the answer. A call that did not arrive yet arrives here.
func (s *Door) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, rule grpc.UnaryHandler) (resp any, err error) {
	c := CallOf(ctx)
	if !c.arrived {
		ctx, c, err = s.Arrive(ctx, info.FullMethod)
		if err != nil {
			return nil, err
		}
		defer c.Leave()
	}
	defer func() {
		if r := recover(); r != nil {
			c.cause = kit.Panicked(r)
			resp, err = nil, answer.Of(c.cause).Err()
		}
		s.note(ctx, c, err)
		if status.Code(err) == codes.ResourceExhausted {
			s.linger(ctx, c)
		}
	}()
	if err = s.admit(ctx, c, req.(proto.Message)); err == nil {
		resp, err = rule(ctx, req)
	}
	if err != nil && ctx.Err() != nil && !errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	if err != nil && !c.Method.foreign {
		c.cause = err
		return nil, answer.Of(err).Err()
	}
	return resp, err
}

// note writes a line of log, and the metrics.
func (s *Door) note(ctx context.Context, c *Call, err error) {
	took := time.Since(c.start)
	code := status.Code(err)
	s.metrics.observe(c.Method, code.String(), took)
	attrs := []slog.Attr{
		slog.String("method", c.Method.Name), slog.String("code", code.String()),
		slog.Duration("took", took), slog.String("request_id", c.RequestID), slog.String("source", c.Source),
	}
	if c.Caller != nil {
		attrs = append(attrs, slog.String("principal", c.Caller.ID), slog.String("caller_organization", c.Caller.Org),
			slog.String("organization", c.Org))
	}
	level := slog.LevelInfo
	if err != nil && c.cause != nil {
		attrs = append(attrs, slog.String("error", c.cause.Error()))
	}
	if code == codes.Internal || code == codes.Unknown {
		level = slog.LevelError
	}
	s.Log.LogAttrs(ctx, level, "call", attrs...)
	if code == codes.PermissionDenied && c.Caller != nil {
		s.refused(c)
	}
}

// admit takes a call through the steps of the door that need its request; what is
// still refused after them, a rule refuses.
func (s *Door) admit(ctx context.Context, c *Call, msg proto.Message) error {
	if err := s.reach(ctx, c, msg); err != nil {
		return err
	}
	if !c.Method.anonymous() {
		if err := s.authorize(ctx, c, msg.ProtoReflect()); err != nil {
			return err
		}
	}
	if err := takeRequestID(ctx, c.Method, msg); err != nil {
		return err
	}
	if err := takeEtag(ctx, c.Method, msg); err != nil {
		return err
	}
	if c.Method.retry != nil && msg.ProtoReflect().Has(c.Method.retry) {
		c.Sent = proto.Clone(msg) // the check brings texts to their one form
	}
	if err := s.check(c.Method, msg); err != nil {
		return err
	}
	return s.reserve(ctx, c, msg)
}

// reach is a step of the door: a call that names a consistency token is
// answered from a memory that has seen that moment. The caller's own rights are
// what the write may have changed, so they are looked at again.
func (s *Door) reach(ctx context.Context, c *Call, msg proto.Message) error {
	if c.Method.atLeast == nil {
		return nil
	}
	text := msg.ProtoReflect().Get(c.Method.atLeast).String()
	if text == "" {
		return c.doubt
	}
	if err := s.auth.Reached(ctx, text); err != nil {
		return err
	}
	return s.authenticate(ctx, c)
}

// authenticate finds out who calls.
func (s *Door) authenticate(ctx context.Context, c *Call) error {
	text, err := bearerOf(ctx)
	if err != nil {
		return err
	}
	if c.Caller, err = s.auth.VerifyCaller(ctx, text); err != nil {
		return err
	}
	c.Org = c.Caller.Org
	return nil
}

// authorize holds the caller against the method's access option, and settles
// which organization the call is about.
func (s *Door) authorize(ctx context.Context, c *Call, msg protoreflect.Message) error {
	if field := c.Method.self; field != nil {
		about := msg.Get(field).String()
		c.Self = about == "" || about == c.Caller.ID
	}
	c.Org = c.Caller.Org
	if !c.Method.Allows(c.Caller, c.Self) {
		return c.deniedIn(cmp.Or(c.Method.names(msg), c.Org))
	}
	if field := c.Method.org; field != nil {
		return s.enterOrganization(ctx, c, msg.Get(field).String())
	}
	return nil
}

// enterOrganization settles the organization. One that the caller may not act
// in answers like one that is not there.
func (s *Door) enterOrganization(ctx context.Context, c *Call, named string) error {
	if named == "" {
		if !c.Self && c.Caller.Claims.Session == "" && c.Caller.holdsSystem() {
			return answer.ErrOrganizationNeeded
		}
		return nil
	}
	if named == c.Caller.Org {
		return nil
	}
	if !id.Valid(named) {
		return nil // validation says what is wrong with it
	}
	return s.moveTo(ctx, c, named)
}

// EnterNamed makes the call be about the organization with this id. It returns
// ErrNotFound if there is none, or if the caller may not act in it.
func (s *Door) EnterNamed(ctx context.Context, org string) error {
	return s.moveTo(ctx, CallOf(ctx), org)
}

func (s *Door) moveTo(ctx context.Context, c *Call, org string) error {
	if !c.Method.Opens(c.Caller, org) {
		return answer.ErrNotFound
	}
	if err := s.auth.Knows(ctx, org); err != nil {
		return err
	}
	c.Org = org
	c.charged.Store(nil)
	return nil
}

// UnknownMethod answers calls of methods that are not there.
func UnknownMethod(any, grpc.ServerStream) error { return answer.Of(answer.ErrUnknownMethod).Err() }
