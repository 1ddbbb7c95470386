package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Limits of the door.
const (
	// MaxMessage is the largest request, on either port.
	MaxMessage = 1 << 20
	// MaxHeaders is the largest list of headers, on either port.
	MaxHeaders = 16 << 10
	// maxDeadline caps how long a call may take.
	maxDeadline = 15 * time.Second
	// minDeadline is what a call must have left to be worth beginning.
	minDeadline = time.Millisecond
)

// unknown is what is known of a method that is not there.
var unknown = &method{name: "unknown"}

// Door is the interceptor that every call passes, one for all steps: a chain
// of them would cost each call a pile of closures and a deep stack. It gives
// the call its id, catches panics, and writes a line of log and the metrics.
// It sees the cause of an error; the client sees the answer.
func (s *Service) Door(ctx context.Context, req any, info *grpc.UnaryServerInfo, rule grpc.UnaryHandler) (resp any, err error) {
	start := time.Now()
	c := &call{method: unknown}
	defer func() {
		if r := recover(); r != nil {
			c.cause = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
			resp, err = nil, Answer(c.cause).Err()
		}
		s.note(ctx, c, err, time.Since(start))
	}()
	s.enter(ctx, c, info.FullMethod)
	ctx = context.WithValue(ctx, callKey{}, c)
	_ = grpc.SetHeader(ctx, metadata.Pairs("request-id", c.requestID)) // fails only where there is no client to tell
	resp, err = s.inTime(ctx, c, req, rule)
	if err != nil && !c.method.foreign {
		c.cause = err
		return nil, Answer(err).Err()
	}
	return resp, err
}

func (s *Service) note(ctx context.Context, c *call, err error, took time.Duration) {
	code := status.Code(err)
	s.metrics.observe(c.method, code.String(), took)
	attrs := []slog.Attr{
		slog.String("method", c.method.name), slog.String("code", code.String()),
		slog.Duration("took", took), slog.String("request_id", c.requestID), slog.String("source", c.source),
	}
	if c.caller != nil {
		attrs = append(attrs, slog.String("principal", c.caller.ID), slog.String("caller_organization", c.caller.Org),
			slog.String("organization", c.org))
	}
	level := slog.LevelInfo
	if err != nil && c.cause != nil {
		attrs = append(attrs, slog.String("error", c.cause.Error()))
	}
	if code == codes.Internal || code == codes.Unknown {
		level = slog.LevelError
	}
	s.log.LogAttrs(ctx, level, "call", attrs...)
	if code == codes.PermissionDenied && c.caller != nil {
		s.refused(c)
	}
}

// inTime caps the deadline, and refuses what has no time left.
func (s *Service) inTime(ctx context.Context, c *call, req any, rule grpc.UnaryHandler) (resp any, err error) {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < minDeadline {
		return nil, context.DeadlineExceeded
	}
	ctx, cancel := context.WithTimeout(ctx, maxDeadline)
	defer cancel()
	if err = s.admit(ctx, c, req.(proto.Message)); err == nil {
		resp, err = rule(ctx, req)
	}
	if err != nil && ctx.Err() != nil && !errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return resp, err
}

// admit takes a call through the steps of the door; what is still refused
// after them, a rule refuses.
func (s *Service) admit(ctx context.Context, c *call, msg proto.Message) error {
	if err := s.reach(ctx, c, msg); err != nil {
		return err
	}
	if !c.method.anonymous() {
		if err := s.authenticate(ctx, c); err != nil {
			return err
		}
		if err := s.authorize(ctx, c, msg.ProtoReflect()); err != nil {
			return err
		}
	}
	if err := takeRequestID(ctx, c.method, msg); err != nil {
		return err
	}
	return s.check(c.method, msg)
}

// reach is a step of the door: a call that names a consistency token is
// answered from a memory that has seen that moment. It comes before the
// caller's own rights are looked at, which may be what the write changed.
func (s *Service) reach(ctx context.Context, c *call, msg proto.Message) error {
	if c.method.atLeast == nil {
		return nil
	}
	text := msg.ProtoReflect().Get(c.method.atLeast).String()
	if text == "" {
		return nil
	}
	return s.auth.reached(ctx, text)
}

// authenticate finds out who calls.
func (s *Service) authenticate(ctx context.Context, c *call) error {
	text, err := bearer(ctx)
	if err != nil {
		return err
	}
	c.caller, err = s.auth.verifyCaller(ctx, text)
	return err
}

// authorize holds the caller against the method's access option, and settles
// which organization the call is about.
func (s *Service) authorize(ctx context.Context, c *call, msg protoreflect.Message) error {
	self := false
	if field := c.method.self; field != nil {
		id := msg.Get(field).String()
		self = id == "" || id == c.caller.ID
	}
	c.org = c.caller.Org
	if !c.method.allows(c.caller, self) {
		return c.denied()
	}
	if field := c.method.org; field != nil {
		return s.enterOrganization(ctx, c, msg.Get(field).String(), self)
	}
	return nil
}

// enterOrganization settles the organization. One that the caller may not act
// in answers like one that is not there.
func (s *Service) enterOrganization(ctx context.Context, c *call, named string, self bool) error {
	if named == "" {
		if !self && c.caller.claims.Session == "" && c.caller.holdsSystem() {
			return errOrganizationNeeded
		}
		return nil
	}
	if named == c.caller.Org {
		return nil
	}
	if !isID(named) {
		return nil // validation says what is wrong with it
	}
	if !c.method.opens(c.caller, named) {
		return errNotFound
	}
	if err := s.auth.knows(ctx, named); err != nil {
		return err
	}
	c.org = named
	return nil
}

// enterNamed has a call be about an organization that it names by id. Like
// those that are not there it refuses those that the caller may not act in.
func (s *Service) enterNamed(ctx context.Context, org string) error {
	c := callOf(ctx)
	if !c.method.opens(c.caller, org) {
		return errNotFound
	}
	if err := s.auth.knows(ctx, org); err != nil {
		return err
	}
	c.org = org
	return nil
}

// UnknownMethod answers calls of methods that are not there.
func UnknownMethod(any, grpc.ServerStream) error { return Answer(errUnknownMethod).Err() }
