package door

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/kit"
)

// Limits of streams. Their callers are known, so they may go on for long and slowly, but
// not in silence.
const (
	// silence is how long a client may keep a stream waiting, for a message
	// of its own or for room for one of ours.
	silence = 30 * time.Second
	// streamAtMost is how long a stream may go on in all.
	streamAtMost = time.Hour
	// rightsEvery is how often the rights of a caller are looked at again.
	rightsEvery = time.Second
	// Streams at once, of a caller and of all callers of an organization, per replica.
	streamsOfCaller       = 4
	streamsOfOrganization = 16
)

// Stream is Unary for the streams of the contract: the same steps, the
// first message in place of the request. Instead of a deadline a stream has
// bounds on every silence and a long one in all, and its caller's rights are looked at again as it
// goes. When the server stops, it ends at the next message.
func (s *Door) Stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, rule grpc.StreamHandler) (err error) {
	ctx, c, err := s.Arrive(stream.Context(), info.FullMethod)
	c.tellID(stream)
	if err != nil {
		return err
	}
	defer c.Leave()
	c.Revisions = metadata.MD{}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			c.cause = kit.Panicked(r)
			err = answer.Of(c.cause).Err()
		}
		stream.SetTrailer(c.Revisions)
		s.note(ctx, c, err)
	}()
	if err = s.attendStream(ctx, c, srv, stream, rule); err != nil {
		c.cause = err
		return answer.Of(err).Err()
	}
	return nil
}

// attendStream refuses those with too many streams before it reads anything, and
// runs the rule.
func (s *Door) attendStream(ctx context.Context, c *Call, srv any, stream grpc.ServerStream, rule grpc.StreamHandler) error {
	if c.Method == unknown {
		return answer.ErrUnknownMethod
	}
	if !c.Method.anonymous() {
		leave, err := s.streams.enter(c.Caller)
		if err != nil {
			return err
		}
		defer leave()
	}
	return rule(srv, &guarded{ServerStream: stream, ctx: ctx, s: s, c: c, begun: s.Elapsed(), looked: s.Elapsed(), patience: silence})
}

// guarded is a stream of the contract as its rule sees it.
type guarded struct {
	grpc.ServerStream
	ctx      context.Context
	s        *Door
	c        *Call
	asked    bool          // the first message was admitted
	begun    time.Duration // by elapsed
	looked   time.Duration // when the caller's rights were looked at, by elapsed
	patience time.Duration // with a client that is silent
}

// Context implements grpc.ServerStream.
func (g *guarded) Context() context.Context { return g.ctx }

// RecvMsg implements grpc.ServerStream: every message is checked, the first
// one is what the caller's rights are held against. Errors are sentinels.
func (g *guarded) RecvMsg(m any) error {
	err := g.await(func() error { return g.ServerStream.RecvMsg(m) })
	if errors.Is(err, io.EOF) && !g.asked {
		err = answer.ErrMalformed // nothing was asked
	}
	if err != nil {
		return err
	}
	msg := m.(proto.Message)
	if !g.asked {
		g.asked = true
		return g.s.admit(g.ctx, g.c, msg)
	}
	if err := g.s.check(g.c.Method, msg); err != nil {
		return err
	}
	return g.rightsStill()
}

// SendMsg implements grpc.ServerStream. Nothing is sent to a caller who lost
// the right to it.
func (g *guarded) SendMsg(m any) error {
	if err := g.rightsStill(); err != nil {
		return err
	}
	return g.await(func() error { return g.ServerStream.SendMsg(m) })
}

// await does what may block at the client's pleasure, and gives up after a
// time or when the server stops. With that the stream ends, and what blocks.
func (g *guarded) await(do func() error) error {
	if err := g.stopping(); err != nil {
		return err
	}
	left := streamAtMost - (g.s.Elapsed() - g.begun)
	if left <= 0 {
		return fmt.Errorf("%w: the stream went on for too long", context.DeadlineExceeded)
	}
	done := make(chan error, 1)
	go func() { done <- do() }()
	timer := time.NewTimer(min(g.patience, left))
	defer timer.Stop()
	select {
	case err := <-done:
		return g.cause(err)
	case <-g.s.stopping:
		return answer.ErrStopping
	case <-timer.C:
		return fmt.Errorf("%w: the client was silent", context.DeadlineExceeded)
	}
}

func (g *guarded) stopping() error {
	select {
	case <-g.s.stopping:
		return answer.ErrStopping
	default:
		return nil
	}
}

// cause makes sentinels of what gRPC says of a stream that ended.
func (g *guarded) cause(err error) error {
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return err
	case g.ctx.Err() != nil:
		return fmt.Errorf("%w: %w", g.ctx.Err(), err)
	}
	switch status.Code(err) {
	case codes.Canceled, codes.Unavailable:
		return fmt.Errorf("%w: %w", context.Canceled, err)
	case codes.DeadlineExceeded:
		return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	case codes.ResourceExhausted:
		return fmt.Errorf("%w: %w", answer.ErrTooLarge, err)
	case codes.Internal, codes.InvalidArgument: // frames, compression
		return fmt.Errorf("%w: %w", answer.ErrMalformed, err)
	}
	return err
}

// rightsStill looks at the caller's rights again, once a second: who was
// disabled or lost the permission gets and does nothing more. That the access
// token runs out meanwhile ends nothing; what it stands for is looked at.
func (g *guarded) rightsStill() error {
	if g.c.Caller == nil || g.s.Elapsed()-g.looked < rightsEvery {
		return nil
	}
	g.looked = g.s.Elapsed()
	now, err := g.s.auth.RecallCaller(g.ctx, g.c.Caller.Claims)
	if err != nil {
		return err
	}
	if !g.c.Method.Allows(now, g.c.Self) {
		return g.c.Denied()
	}
	if !g.c.Method.Opens(now, g.c.Org) {
		return answer.ErrNotFound
	}
	return nil
}

// streams counts streams, so that nobody holds more than a share of them.
type streams struct {
	mu   sync.Mutex
	open map[streamsOf]int
}

// streamsOf is whose streams are counted: a principal's, or an organization's where the principal is "".
type streamsOf struct{ org, principal string }

func newStreams() *streams { return &streams{open: map[streamsOf]int{}} }

// enter takes a place and returns the function that gives it back.
func (s *streams) enter(by *Caller) (leave func(), err error) {
	own, all := streamsOf{by.Org, by.ID}, streamsOf{by.Org, ""}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[own] >= streamsOfCaller || s.open[all] >= streamsOfOrganization {
		return nil, answer.Limited(answer.ErrTooManyStreams, "streams", time.Second)
	}
	s.open[own]++
	s.open[all]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, key := range []streamsOf{own, all} {
			if s.open[key]--; s.open[key] == 0 {
				delete(s.open, key)
			}
		}
	}, nil
}
