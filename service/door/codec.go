package door

import (
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"

	"github.com/bizmetry/identity/service/answer"
)

// Registrar registers services with a gRPC server whose calls pass the door.
func (s *Door) Registrar(r grpc.ServiceRegistrar) grpc.ServiceRegistrar { return registrar{r, s} }

// registrar registers calls as streams of one message each way, so that the door
// sees them before their message is read.
type registrar struct {
	grpc.ServiceRegistrar
	door *Door
}

func (r registrar) RegisterService(desc *grpc.ServiceDesc, impl any) {
	own := *desc
	own.Methods, own.Streams = nil, slices.Clone(desc.Streams)
	for _, m := range desc.Methods {
		name := "/" + desc.ServiceName + "/" + m.MethodName
		own.Streams = append(own.Streams, grpc.StreamDesc{StreamName: m.MethodName, Handler: r.door.answer(name, m.Handler)})
	}
	r.ServiceRegistrar.RegisterService(&own, impl)
}

// readable is a stream whose messages are read like those of calls.
type readable struct{ grpc.ServerStream }

// RecvMsg implements grpc.ServerStream.
func (r readable) RecvMsg(m any) error {
	in := &received{msg: m}
	if err := receive(r.ServerStream, in); err != nil {
		return err
	}
	return in.err
}

// received is a message that is being read, its size, and what is wrong with it:
// the answer of gRPC to a codec that fails would be INTERNAL, which is our fault,
// not the caller's.
type received struct {
	msg  any
	size int
	err  error
}

// codec is gRPC's own, but for messages that cannot be read, and answers that count
// until they are sent.
type codec struct{ encoding.CodecV2 }

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if r, ok := v.(*reply); ok {
		return r.bytes()
	}
	return c.CodecV2.Marshal(v)
}

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
	if ok {
		in.size = data.Len()
	}
	return nil
}
