package door

import (
	"context"
	"time"

	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/kit"
	"github.com/bizmetry/identity/service/wire"
)

// Origin is what a transport other than gRPC knows about a request.
type Origin struct {
	// Peer is the address of the connection, Forwarded the values of X-Forwarded-For.
	Peer      string
	Forwarded []string
	UserAgent string
}

// Serve runs one request of an endpoint that is not in the contract (OAuth)
// with the same request id, deadline, log and metrics as the door. The name
// is a constant, such as "/oauth2/token". It returns the request id
// and fn's error unchanged; answer.Of says what the client may see of it.
func (s *Door) Serve(ctx context.Context, name string, from Origin, fn func(context.Context) error) (requestID string, err error) {
	c := &Call{
		Method: &Method{Name: name}, RequestID: s.NewID(), UserAgent: wire.Cut(from.UserAgent, 200),
		Source: s.Source(from.Peer, from.Forwarded), start: time.Now(),
	}
	c.charged.Store(nil)
	ctx = s.begin(ctx, c)
	defer c.Leave()
	defer func() {
		if r := recover(); r != nil {
			err = kit.Panicked(r)
		}
		if c.cause = err; err != nil {
			s.note(ctx, c, answer.Of(err).Err())
			return
		}
		s.note(ctx, c, nil)
	}()
	return c.RequestID, fn(ctx)
}

// ActAs settles who calls an endpoint that is not in the contract, and with
// which method of the contract's access it acts ("": none).
func (s *Door) ActAs(ctx context.Context, by *Caller, fullMethod string) {
	c := CallOf(ctx)
	c.Caller, c.Org = by, by.Org
	c.charged.Store(nil)
	if fullMethod != "" {
		c.Method = s.methods[fullMethod]
	}
}
