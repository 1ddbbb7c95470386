package door

import (
	"net"
	"sync"

	"github.com/bizmetry/identity/service/fair"
)

// Connections of a port: of one source, and in all. Trusted proxies carry the
// connections of many and count in all only.
const (
	connectionsOfSource = 512
	connectionsAtMost   = 20_000
)

// Listen bounds the connections of a port, and notices when they end. What is over
// is closed at once.
func (s *Door) Listen(port net.Listener) net.Listener {
	l := &listener{Listener: port, door: s, of: map[string]int{}, count: s.Meter.Of("connections")}
	return l
}

type listener struct {
	net.Listener
	door  *Door
	count *fair.Count
	mu    sync.Mutex
	all   int
	of    map[string]int
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		source := hostOf(conn.RemoteAddr().String())
		if l.enter(source) {
			return &connection{Conn: conn, leave: sync.OnceFunc(func() { l.left(source, conn.RemoteAddr().String()) })}, nil
		}
		l.count.Refuse()
		_ = conn.Close() // nothing was sent that could be lost
	}
}

func (l *listener) enter(source string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= connectionsAtMost || (l.of[source] >= connectionsOfSource && !l.door.trusted(source)) {
		return false
	}
	l.all++
	l.of[source]++
	l.count.Use(1)
	l.count.Hold(1)
	return true
}

func (l *listener) left(source, remote string) {
	l.door.flows.unread.closed(remote)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.of[source]--; l.of[source] == 0 {
		delete(l.of, source)
	}
	l.count.Hold(-1)
}

// connection gives its place back when it is closed.
type connection struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *connection) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
