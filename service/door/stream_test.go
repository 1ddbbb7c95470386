package door

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/kit"
)

// quiet is the stream of a client that neither sends nor reads.
type quiet struct {
	grpc.ServerStream
	ended chan struct{}
}

func (q quiet) RecvMsg(any) error { <-q.ended; return context.Canceled }
func (q quiet) SendMsg(any) error { <-q.ended; return context.Canceled }

// A client that is silent is given up, and so is one that never ends.
func TestGuarded_Silence(t *testing.T) {
	ended := make(chan struct{})
	defer close(ended)
	s := &Door{Kit: kit.Kit{Elapsed: func() time.Duration { return 0 }}, stopping: make(chan struct{})}
	g := &guarded{ServerStream: quiet{ended: ended}, ctx: t.Context(), s: s, c: &Call{}, patience: time.Millisecond}
	if err := g.RecvMsg(&identityv1.ImportUsersRequest{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("receiving: %v", err)
	}
	if err := g.await(func() error { return g.ServerStream.SendMsg(nil) }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("sending: %v", err)
	}
	g.patience = silence
	for _, row := range []struct {
		name    string
		elapsed time.Duration
		slow    bool
	}{{"an hour", streamAtMost, true}, {"all but a moment of it", streamAtMost - time.Millisecond, true}, {"a minute", time.Minute, false}} {
		s.Elapsed = func() time.Duration { return row.elapsed }
		err := g.await(func() error {
			if row.slow {
				<-ended
			}
			return nil
		})
		if errors.Is(err, context.DeadlineExceeded) != row.slow || (err != nil) != row.slow {
			t.Errorf("after %s: %v", row.name, err)
		}
	}
	close(s.stopping)
	if err := g.RecvMsg(&identityv1.ImportUsersRequest{}); !errors.Is(err, answer.ErrStopping) {
		t.Errorf("stopping: %v", err)
	}
}
