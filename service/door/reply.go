package door

import (
	"context"
	"net"
	"sync"

	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"

	"github.com/bizmetry/identity/service/fair"
)

// reply is an answer on its way to the codec.
type reply struct {
	msg    proto.Message
	call   *Call
	unread *unread
	remote net.Addr
}

// bytes makes the bytes of an answer. Large ones hold their place until the
// transport has written or dropped them.
func (r *reply) bytes() (mem.BufferSlice, error) {
	text, err := proto.Marshal(r.msg)
	if err != nil {
		return nil, err
	}
	place := r.call.reply
	r.call.reply = fair.Place{}
	if len(text) < large {
		place.Leave()
		return mem.BufferSlice{mem.SliceBuffer(text)}, nil
	}
	place.Shrink(int64(len(text)))
	return mem.BufferSlice{mem.NewBuffer(&text, r.unread.add(r.remote.String(), place))}, nil
}

// unread are the answers that clients have not read yet, by connection. gRPC gives a
// buffer back when it was written or its call ended, but not when its connection
// did: what is left then is given back when the connection is closed.
type unread struct {
	mu sync.Mutex
	of map[string]map[*buffer]bool
}

// buffer is an answer's bytes. To gRPC it is the pool that they came from.
type buffer struct {
	place  fair.Place
	remote string
	of     *unread
}

// Get implements mem.BufferPool. Nothing is taken from it.
func (*buffer) Get(int) *[]byte { panic("no buffers here") }

// Put implements mem.BufferPool.
func (b *buffer) Put(*[]byte) {
	b.of.mu.Lock()
	defer b.of.mu.Unlock()
	if all := b.of.of[b.remote]; all[b] {
		if delete(all, b); len(all) == 0 {
			delete(b.of.of, b.remote)
		}
		b.place.Leave()
	}
}

func (u *unread) add(remote string, place fair.Place) *buffer {
	b := &buffer{place, remote, u}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.of[remote] == nil {
		u.of[remote] = map[*buffer]bool{}
	}
	u.of[remote][b] = true
	return b
}

// closed gives back what a connection did not read.
func (u *unread) closed(remote string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for b := range u.of[remote] {
		b.place.Leave()
	}
	delete(u.of, remote)
}

// remote is the other end of the connection of a call.
func remote(ctx context.Context) net.Addr {
	if p, ok := peer.FromContext(ctx); ok {
		return p.Addr
	}
	return &net.UnixAddr{}
}
