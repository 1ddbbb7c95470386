package web

import (
	"context"
	"errors"
	"fmt"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/bizmetry/identity/service/door"
)

// channel is a gRPC connection inside the process: services register with it
// as with a server, clients call it as a connection. It runs the interceptor,
// copies requests, and lets nothing of the client's context through but when
// the call ends, its metadata and its peer.
type channel struct {
	methods map[string]method
	streams map[string]streamMethod
	unary   grpc.UnaryServerInterceptor
	stream  grpc.StreamServerInterceptor // for streams, which web serves itself
}

// arrivedKey is where a request carries the server's context of a call that has arrived.
type arrivedKey struct{}

type method struct {
	impl   any
	handle grpc.MethodHandler
}

type streamMethod struct {
	impl   any
	handle grpc.StreamHandler
	info   *grpc.StreamServerInfo
}

// RegisterService implements grpc.ServiceRegistrar.
func (c *channel) RegisterService(desc *grpc.ServiceDesc, impl any) {
	for _, m := range desc.Streams {
		name := fmt.Sprintf("/%s/%s", desc.ServiceName, m.StreamName)
		c.streams[name] = streamMethod{impl, m.Handler, &grpc.StreamServerInfo{
			FullMethod: name, IsClientStream: m.ClientStreams, IsServerStream: m.ServerStreams,
		}}
	}
	for _, m := range desc.Methods {
		c.methods[fmt.Sprintf("/%s/%s", desc.ServiceName, m.MethodName)] = method{impl, m.Handler}
	}
}

// Invoke implements grpc.ClientConnInterface.
func (c *channel) Invoke(ctx context.Context, name string, args, reply any, opts ...grpc.CallOption) error {
	m, ok := c.methods[name]
	if !ok {
		return door.UnknownMethod(nil, nil)
	}
	s := &stream{method: name}
	inside, ok := ctx.Value(arrivedKey{}).(context.Context)
	if !ok {
		var leave func()
		inside, leave = enter(ctx)
		defer leave()
	}
	read := func(v any) error {
		proto.Merge(v.(proto.Message), args.(proto.Message))
		return nil
	}
	resp, err := m.handle(m.impl, grpc.NewContextWithServerTransportStream(inside, s), read, c.unary)
	for _, o := range opts {
		switch o := o.(type) {
		case grpc.HeaderCallOption:
			*o.HeaderAddr = s.Header()
		case grpc.TrailerCallOption:
			*o.TrailerAddr = s.Trailer()
		}
	}
	if err != nil {
		return err
	}
	door.CallOf(inside).Made(resp.(proto.Message))
	handOver(reply.(proto.Message), resp.(proto.Message))
	return nil
}

// handOver puts what an answer consists of into the client's message, without
// copying it once more: nobody changes an answer that was given.
func handOver(to, answer proto.Message) {
	into := to.ProtoReflect()
	answer.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		into.Set(f, v)
		return true
	})
}

// serve runs a stream of the contract, whose other end the caller is.
func (c *channel) serve(name string, stream grpc.ServerStream) error {
	m, ok := c.streams[name]
	if !ok {
		return door.UnknownMethod(nil, nil)
	}
	return c.stream(m.impl, stream, m.info, m.handle)
}

// NewStream implements grpc.ClientConnInterface. Nothing here is a client of
// streams: file.go is the server's end of them.
func (c *channel) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, door.UnknownMethod(nil, nil)
}

// enter makes the server's context of the client's: a new one, because a value
// that crossed unnoticed would be a fact nobody checked.
func enter(ctx context.Context) (context.Context, context.CancelFunc) {
	inside := context.Background()
	if md, ok := metadata.FromOutgoingContext(ctx); ok {
		inside = metadata.NewIncomingContext(inside, md)
	}
	if p, ok := peer.FromContext(ctx); ok {
		inside = peer.NewContext(inside, p)
	}
	cancel := context.CancelFunc(nil)
	if deadline, ok := ctx.Deadline(); ok {
		inside, cancel = context.WithDeadline(inside, deadline)
	} else {
		inside, cancel = context.WithCancel(inside)
	}
	stop := context.AfterFunc(ctx, func() {
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) { // its own deadline says so better
			cancel()
		}
	})
	return inside, func() { stop(); cancel() }
}

// stream collects the headers and trailers that the server sets.
type stream struct {
	runtime.ServerTransportStream
	method string
}

// Method implements grpc.ServerTransportStream.
func (s *stream) Method() string { return s.method }
