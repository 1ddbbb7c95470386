package door

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/fair"
)

// Bytes in flight: what clients send and have not finished sending, and what was
// answered and they have not read. A caller has a quarter of it, an organization half.
const (
	uploadsAtMost = 64 << 20
	repliesAtMost = 64 << 20
	// rowsAtMost is the largest page.
	rowsAtMost = 1000
	// prompt is how long a body may take to come without counting.
	prompt = 20 * time.Millisecond
	// large is from where a message counts.
	large = 64 << 10
	// rowAtMost is what a row of a list may take while its answer is made.
	rowAtMost = 16 << 10
)

// flows are the bytes in flight.
type flows struct {
	uploads, replies *fair.Gate
	unread           *unread
}

func newFlows(m *fair.Meter) flows {
	// Who sends does not wait for room, since bytes would come in meanwhile. Answers
	// wait before they are made.
	f := flows{
		unread:  &unread{of: map[string]map[*buffer]bool{}},
		uploads: fair.NewGate(fair.Config{Capacity: uploadsAtMost, OfGroup: uploadsAtMost / 2, OfMember: uploadsAtMost / 4}),
		replies: fair.NewGate(fair.Config{
			Capacity: repliesAtMost, OfGroup: repliesAtMost / 2, OfMember: repliesAtMost / 4, Waiting: 1024, WaitingOfMember: 256,
		}),
	}
	m.Show(requestBytes, &f.uploads.Count)
	m.Show(answerBytes, &f.replies.Count)
	return f
}

// Names of the limits.
const (
	requestBytes = "request bytes"
	answerBytes  = "answer bytes"
)

// upload is a body that is being read. It counts when it is large or long in coming.
type upload struct {
	mu      sync.Mutex
	slow    *time.Timer
	place   fair.Place
	ended   bool
	refused error
}

// late counts a body that did not come at once as if it were as large as may be.
// Where there is no room, and when its time is over, the call ends.
func (s *Door) late(ctx context.Context, c *Call, stream grpc.ServerStream) {
	u := &c.upload
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		return
	}
	if !u.place.Empty() {
		u.refused = context.DeadlineExceeded
		c.abort(stream, u.refused)
		return
	}
	place, err := s.flows.uploads.Enter(ctx, c.Payer(), maxTransportMessage)
	if err != nil {
		u.refused = answer.Limited(answer.ErrOverloaded, requestBytes, time.Second)
		c.abort(stream, u.refused)
		return
	}
	u.place = place
	u.slow.Reset(MaxDeadline - 2*prompt)
}

// abort answers a call whose message is still awaited. gRPC has no way to end the
// waiting but one, to end the stream, and would answer by itself, without a reason;
// so the answer goes to the transport's stream first.
func (c *Call) abort(stream grpc.ServerStream, err error) {
	if s, ok := grpc.ServerTransportStreamFromContext(stream.Context()).(interface{ WriteStatus(*status.Status) error }); ok {
		_ = s.WriteStatus(answer.Of(err)) // fails only where the client has gone
	}
	c.cancel()
}

func (u *upload) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ended = true
	if u.slow != nil {
		u.slow.Stop()
	}
	u.place.Leave()
}

// received counts a body of n bytes that is there.
func (s *Door) received(ctx context.Context, c *Call, n int) error {
	u := &c.upload
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ended = true
	if u.slow != nil {
		u.slow.Stop()
	}
	switch {
	case u.refused != nil:
		return u.refused
	case n < large:
		u.place.Leave()
	case u.place.Empty():
		place, err := s.flows.uploads.Enter(ctx, c.Payer(), int64(n))
		if err != nil {
			return answer.Limited(answer.ErrOverloaded, requestBytes, time.Second)
		}
		u.place = place
	default:
		u.place.Shrink(int64(n))
	}
	return nil
}

// Expect counts a body of n bytes that is about to be read over another transport
// than gRPC, where its size is known before.
func (s *Door) Expect(ctx context.Context, n int64) error {
	c := CallOf(ctx)
	return s.received(ctx, c, int(min(n, MaxMessage)))
}

// MaxRequest is the size of the largest request that a method takes.
func (c *Call) MaxRequest() int64 {
	if c.Method.anonymous() {
		return MaxPublicMessage
	}
	return MaxMessage
}

// reserve takes room for the answer of a list before it is made.
func (s *Door) reserve(ctx context.Context, c *Call, msg proto.Message) error {
	list, ok := msg.(interface{ GetPageSize() int32 })
	if !ok {
		return nil
	}
	rows := int64(list.GetPageSize())
	if rows <= 0 {
		rows = 50
	}
	return s.holdReply(ctx, c, min(rows, rowsAtMost)*rowAtMost)
}

func (s *Door) holdReply(ctx context.Context, c *Call, size int64) (err error) {
	c.reply, err = s.flows.replies.Enter(ctx, c.Payer(), size)
	if errors.Is(err, fair.ErrFull) {
		err = answer.Limited(answer.ErrOverloaded, answerBytes, time.Second)
	}
	return err
}

// A caller who is told to come later and comes at once keeps the processors from
// others, however little each refusal costs.
const (
	// limitedAnswerDelay is how long the answer "too many" waits.
	limitedAnswerDelay = 200 * time.Millisecond
	// lingeringAtMost is how many such answers wait; more are sent at once.
	lingeringAtMost = 1024
)

// linger holds back the answer of a call that a limit refused. The call keeps nothing
// that others could wait for.
func (s *Door) linger(ctx context.Context, c *Call) {
	c.reply.Leave()
	defer s.lingering.Add(-1)
	if s.lingering.Add(1) > lingeringAtMost {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(limitedAnswerDelay):
	}
}

// Made says that an answer was made, and how large it may become on another transport
// than gRPC: JSON is up to three times as long, and both are there for a moment.
func (c *Call) Made(msg proto.Message) {
	if !c.reply.Empty() {
		c.reply.Shrink(4 * int64(proto.Size(msg)))
	}
}

// answer serves a unary method of gRPC as a stream of one message each way. So its
// caller is known before the message is read, however large it is.
func (s *Door) answer(name string, handle grpc.MethodHandler) grpc.StreamHandler {
	return func(srv any, stream grpc.ServerStream) (err error) {
		defer s.recovered(stream.Context(), CallOf(stream.Context()), &err)
		ctx, c, err := s.Arrive(stream.Context(), name)
		c.tellID(stream)
		if err != nil {
			return err
		}
		defer c.Leave()
		read := func(v any) error {
			if err := s.read(ctx, stream, v); err != nil {
				return s.turnedAway(ctx, c, err)
			}
			return nil
		}
		resp, err := handle(srv, ctx, read, s.Unary)
		if err != nil {
			return err
		}
		msg, ok := resp.(proto.Message)
		if !ok {
			return answer.Of(errors.New("the answer is no message")).Err()
		}
		if size := proto.Size(msg); size >= large && c.reply.Empty() {
			if err := s.holdReply(ctx, c, int64(size)); err != nil {
				return answer.Of(err).Err()
			}
		}
		return stream.SendMsg(&reply{msg, c, s.flows.unread, remote(ctx)})
	}
}

// read reads the one message of a unary call.
func (s *Door) read(ctx context.Context, stream grpc.ServerStream, v any) error {
	c, in := CallOf(ctx), &received{msg: v}
	c.upload.mu.Lock()
	c.upload.slow = time.AfterFunc(prompt, func() { s.late(ctx, c, stream) })
	c.upload.mu.Unlock()
	err := receive(stream, in)
	if err == nil && in.err == nil && !alone(stream) {
		err = answer.ErrMalformed
	}
	if full := s.received(ctx, c, in.size); full != nil {
		return full
	}
	switch {
	case err == nil && in.err == nil && int64(in.size) > c.MaxRequest():
		err = answer.ErrTooLarge
	case err == nil:
		err = in.err
	case ctx.Err() != nil:
		err = ctx.Err()
	default: // no message, or the transport failed
		err = fmt.Errorf("%w: %w", answer.ErrMalformed, err)
	}
	return err
}
