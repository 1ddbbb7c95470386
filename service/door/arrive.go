package door

import (
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/tap"

	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/fair"
	"github.com/bizmetry/identity/service/kit"
)

// Arrive takes a call through what comes before its body: its id, the size of its
// headers, its deadline, and who calls. Whoever has no business here is refused
// before a byte of the body is read; the error is what the client sees. The context
// carries the call, and ends at its deadline. Leave must be called when the call was
// answered.
func (s *Door) Arrive(ctx context.Context, fullMethod string) (context.Context, *Call, error) {
	c, ok := ctx.Value(callKey{}).(*Call)
	if !ok { // of gRPC the tap saw it first
		md, _ := metadata.FromIncomingContext(ctx)
		c = s.newCall(ctx, md, fullMethod)
		if err := s.glance(c, md); err != nil {
			return ctx, c, s.turnedAway(ctx, c, err)
		}
		ctx = s.begin(ctx, c)
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < minDeadline {
		return ctx, c, s.turnedAway(ctx, c, context.DeadlineExceeded)
	}
	if err := s.recognize(ctx, c); err != nil {
		return ctx, c, s.turnedAway(ctx, c, err)
	}
	c.arrived = true
	return ctx, c, nil
}

// glanceLasts is how long the door believes what it saw of a caller when the headers
// came: a call may have waited since, or the whole process may have stood still.
const glanceLasts = 50 * time.Millisecond

// recognize finds out who calls, unless memory told already.
func (s *Door) recognize(ctx context.Context, c *Call) error {
	if c.Method.anonymous() || (c.Caller != nil && time.Since(c.start) < glanceLasts) {
		return nil
	}
	err := s.authenticate(ctx, c)
	if c.Method.atLeast != nil && errors.Is(err, ErrNotUsable) && !s.dead(ctx) { // perhaps it names a moment that memory has not seen
		c.doubt, err = err, nil
	}
	return err
}

// tap sees every call of a gRPC connection when its headers are there, in the
// goroutine that reads the connection. So it never waits, and looks no further than
// memory.
func (s *Door) tap(ctx context.Context, info *tap.Info) (inside context.Context, err error) {
	c := &Call{Method: unknown, start: time.Now()}
	defer s.recovered(ctx, c, &err)
	c = s.newCall(ctx, info.Header, info.FullMethodName)
	if err := s.glance(c, info.Header); err != nil {
		return nil, s.turnedAway(ctx, c, err)
	}
	return s.begin(ctx, c), nil
}

// recovered makes a panic at the door the answer of the call: in a goroutine of
// gRPC it would end the process.
func (s *Door) recovered(ctx context.Context, c *Call, err *error) {
	if r := recover(); r != nil {
		*err = s.turnedAway(ctx, c, kit.Panicked(r))
	}
}

// glance refuses what can be refused without waiting: too many headers, and a token
// that is missing, malformed, or known to be dead. It notes a caller who is known.
func (s *Door) glance(c *Call, md metadata.MD) error {
	if headerSize(md) > MaxHeaders {
		return answer.Refuse(answer.ErrTooLarge, "part", "headers")
	}
	if c.Method == unknown || c.Method.anonymous() {
		return nil
	}
	text, err := bearer(md.Get("authorization"))
	if err != nil {
		return err
	}
	by, dead := s.auth.Glance(text)
	if dead {
		return answer.ErrToken
	}
	if by != nil {
		c.Caller, c.Org = by, by.Org
	}
	return nil
}

// dead tells whether the call's token is known to be dead.
func (s *Door) dead(ctx context.Context) bool {
	text, err := bearerOf(ctx)
	if err != nil {
		return true
	}
	_, dead := s.auth.Glance(text)
	return dead
}

// begin has the call end at its deadline. Streams have none.
func (s *Door) begin(ctx context.Context, c *Call) context.Context {
	ctx = fair.WithPaying(context.WithValue(ctx, callKey{}, c), c)
	if c.Method == unknown || c.Method.streaming {
		return ctx
	}
	ctx, c.cancel = context.WithTimeout(ctx, MaxDeadline)
	return ctx
}

// turnedAway notes a call that did not come in, and makes the answer.
func (s *Door) turnedAway(ctx context.Context, c *Call, err error) error {
	c.cause = err
	no := answer.Of(err).Err()
	s.note(ctx, c, no)
	c.Leave()
	return no
}

// headerSize counts headers as HTTP/2 does (RFC 9113 section 6.5.2), without those
// that gRPC itself needs.
func headerSize(md metadata.MD) (n int) {
	for name, values := range md {
		for _, value := range values {
			n += len(name) + len(value) + 32
		}
	}
	return n
}

// Payer implements fair.Paying. Before a proof the network pays that the call comes
// from, afterwards the organization that it is about and the caller. Operators of the
// platform are not one tenant: what they do at home each pays alone.
func (c *Call) Payer() fair.Payer {
	switch of := c.charged.Load(); {
	case of != nil:
		return *of
	case c.Caller == nil:
		return fair.Payer{Group: "network " + fair.Network(c.Source), Member: c.Source}
	case c.Org == c.Caller.Org && c.Caller.Platform && c.Caller.holdsSystem():
		return fair.Payer{Group: c.Caller.ID, Member: c.Caller.ID}
	default:
		return fair.Payer{Group: c.Org, Member: c.Caller.ID}
	}
}

// ChargeTo has an account and its organization pay for what follows, or the
// claimed account of a network where nothing is proven.
func (c *Call) ChargeTo(of fair.Payer) { c.charged.Store(&of) }

// Leave gives back what the call holds.
func (c *Call) Leave() {
	if c.cancel != nil {
		c.cancel()
	}
	c.upload.end()
	c.reply.Leave()
}

// bearerOf takes the access token of a call from the one place where it may be.
func bearerOf(ctx context.Context) (string, error) {
	return bearer(metadata.ValueFromIncomingContext(ctx, "authorization"))
}

func bearer(values []string) (string, error) {
	if len(values) > 1 {
		return "", answer.ErrMalformed
	}
	if len(values) == 0 {
		return "", answer.ErrToken
	}
	scheme, text, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "bearer") {
		return "", answer.ErrToken
	}
	return strings.TrimSpace(text), nil
}
