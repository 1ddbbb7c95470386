package door

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"

	"github.com/bizmetry/identity/service/answer"
)

// Readable registers services with a server, so that unreadable messages get a proper
// answer.
func Readable(r grpc.ServiceRegistrar) grpc.ServiceRegistrar { return registrar{r} }

// registrar registers services whose unreadable messages get a proper answer:
// gRPC's own would be INTERNAL, which is our fault, not the caller's. gRPC
// sends its own as soon as the codec fails, so ours does not: it says what
// went wrong in the received.
type registrar struct{ grpc.ServiceRegistrar }

func (r registrar) RegisterService(desc *grpc.ServiceDesc, impl any) {
	own := *desc
	own.Methods = nil
	for _, m := range desc.Methods {
		inner := m.Handler
		m.Handler = func(srv any, ctx context.Context, read func(any) error, i grpc.UnaryServerInterceptor) (any, error) {
			return inner(srv, ctx, func(v any) error {
				in := &received{msg: v}
				if err := read(in); err != nil {
					return err
				}
				if in.err != nil {
					return answer.Of(in.err).Err()
				}
				return nil
			}, i)
		}
		own.Methods = append(own.Methods, m)
	}
	r.ServiceRegistrar.RegisterService(&own, impl)
}

// readable is a stream whose messages are read like those of calls.
type readable struct{ grpc.ServerStream }

// RecvMsg implements grpc.ServerStream.
func (r readable) RecvMsg(m any) error {
	in := &received{msg: m}
	if err := r.ServerStream.RecvMsg(in); err != nil {
		return err
	}
	return in.err
}

// received is a message that is being read, and what is wrong with it.
type received struct {
	msg any
	err error
}

// codec is gRPC's own, but for messages that cannot be read.
type codec struct{ encoding.CodecV2 }

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	in, ok := v.(*received)
	switch {
	case !ok:
		return c.CodecV2.Unmarshal(data, v)
	case data.Len() > MaxMessage:
		in.err = answer.ErrTooLarge
	case c.CodecV2.Unmarshal(data, in.msg) != nil:
		in.err = answer.ErrMalformed
	}
	return nil
}
