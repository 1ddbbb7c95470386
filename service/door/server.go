package door

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip" // clients may compress; what it inflates to is held to the same limits
	"google.golang.org/grpc/keepalive"
)

// streamWorkers is how many goroutines take calls in turn. Their stacks have
// grown already: a goroutine of its own for each call spends a fifth of what
// a small call costs on growing one. Calls beyond them get one of their own.
const streamWorkers = 64

// streamsGrace is how long the streams of a connection that has reached its age
// may go on. Calls end before, and new ones go over a new connection.
const streamsGrace = 2 * time.Hour

// ServerOptions are the door and the limits of a gRPC server: what a client
// can make it hold is bounded.
func (s *Door) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.UnaryInterceptor(s.Unary),
		grpc.StreamInterceptor(s.attend),
		grpc.UnknownServiceHandler(UnknownMethod),
		grpc.ForceServerCodecV2(codec{encoding.GetCodecV2("proto")}),
		grpc.InTapHandle(s.tap),
		grpc.MaxRecvMsgSize(maxTransportMessage), // the codec refuses what is over MaxMessage, by a proper answer
		grpc.MaxHeaderListSize(MaxTransportHeaders),
		grpc.MaxConcurrentStreams(100),
		grpc.NumStreamWorkers(streamWorkers),
		grpc.ConnectionTimeout(10 * time.Second),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: 15 * time.Minute, MaxConnectionAge: 10 * time.Minute, MaxConnectionAgeGrace: streamsGrace,
			Time: time.Minute, Timeout: 20 * time.Second,
		}),
	}
}
