package door

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/kit"
)

// lastWord is how long health streams have to tell that the server stops.
const lastWord = 100 * time.Millisecond

// EndStreams ends the streams that would go on for ever (health, reflection)
// or for long, so that a server that stops waits for calls only, and for what
// streams of the contract have begun. It is called once.
func (s *Door) EndStreams() { time.AfterFunc(lastWord, func() { close(s.stopping) }) }

// attend keeps a panic in a stream of gRPC's own from ending the process, and
// leaves the stream when the server stops: with that gRPC ends it, and with it
// whatever its handler waits for.
//
// Streams of the contract go through the door.
func (s *Door) attend(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if s.methods[info.FullMethod] != nil && !info.IsClientStream && !info.IsServerStream {
		return next(srv, stream) // a call, which answer takes through the door
	}
	if s.methods[info.FullMethod] != nil {
		return s.Stream(srv, readable{stream}, info, next)
	}
	done := make(chan error, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				cause := kit.Panicked(r)
				s.Log.ErrorContext(context.WithoutCancel(stream.Context()), "stream", "method", info.FullMethod, "error", cause.Error())
				done <- answer.Of(cause).Err()
			}
		}()
		done <- next(srv, stream)
	}()
	select {
	case err := <-done:
		return err
	case <-s.stopping:
		return answer.Of(answer.ErrStopping).Err()
	}
}
