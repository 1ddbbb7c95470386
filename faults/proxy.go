package main

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// proxy stands between a server and the database, and does to their
// connections what networks do. It understands as much of the protocol as it
// takes to tell a change from other work, and its COMMIT and the answer to
// that from everything before and after.
type proxy struct {
	listener net.Listener
	upstream string // a Unix socket

	refusing atomic.Bool  // no connections, as a host without the service
	silent   atomic.Bool  // bytes go nowhere, as behind a firewall that lost its state
	delay    atomic.Int64 // of each batch of bytes, each way

	mu    sync.Mutex
	links map[*link]bool
	armed []cut
	done  []cut
}

// cut says where a connection ends, and how.
type cut struct {
	at    string // one of places
	reset bool   // by RST instead of FIN
}

// places to cut a connection at, along the way of a change.
var places = []string{
	"statement", // the lock is taken, its answer is lost
	"before",    // COMMIT is lost
	"torn",      // half of COMMIT arrives
	"inside",    // COMMIT arrives, nobody waits for the answer
	"after",     // the answer to COMMIT is lost
	"answer",    // half of the answer arrives
}

func (c cut) String() string {
	if c.reset {
		return c.at + "/rst"
	}
	return c.at
}

func newProxy(upstream string) (*proxy, error) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, upstream: upstream, links: map[*link]bool{}}
	go p.accept()
	return p, nil
}

// url is the address of the database through the proxy.
func (p *proxy) url() string {
	return "postgres://postgres@" + p.listener.Addr().String() + "/postgres?sslmode=disable"
}

func (p *proxy) close() {
	p.refusing.Store(true)
	_ = p.listener.Close()
	p.cutAll()
}

// refuse cuts all connections and takes no new ones, until it is called with false.
func (p *proxy) refuse(on bool) {
	p.refusing.Store(on)
	if on {
		p.cutAll()
	}
}

// silence swallows all bytes; when it ends, what was silent is cut.
func (p *proxy) silence(on bool) {
	p.silent.Store(on)
	if !on {
		p.cutAll()
	}
}

func (p *proxy) cutAll() {
	p.mu.Lock()
	links := make([]*link, 0, len(p.links))
	for l := range p.links {
		links = append(links, l)
	}
	p.mu.Unlock()
	for _, l := range links {
		l.end()
	}
}

// arm plans a cut for each of the next changes.
func (p *proxy) arm(cuts ...cut) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = append(p.armed, cuts...)
}

// disarm gives up what is still planned.
func (p *proxy) disarm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = nil
}

// hits are the cuts that were made.
func (p *proxy) hits() []cut {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]cut(nil), p.done...)
}

func (p *proxy) take() *cut {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.armed) == 0 {
		return nil
	}
	c := p.armed[0]
	p.armed = p.armed[1:]
	return &c
}

func (p *proxy) giveBack(c *cut) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = append([]cut{*c}, p.armed...)
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		if p.refusing.Load() {
			_ = client.Close()
			continue
		}
		server, err := net.Dial("unix", p.upstream) //nolint:noctx // a socket of this machine answers at once
		if err != nil {
			_ = client.Close()
			continue
		}
		l := &link{proxy: p, client: client.(*net.TCPConn), server: server, locks: map[string]bool{}}
		p.mu.Lock()
		p.links[l] = true
		p.mu.Unlock()
		go l.pump(client, server, true, l.fromClient)
		go l.pump(server, client, false, l.fromServer)
	}
}

// link is one connection of a server to the database.
type link struct {
	proxy  *proxy
	client *net.TCPConn
	server net.Conn
	over   atomic.Bool

	mu       sync.Mutex
	locks    map[string]bool // prepared statements that begin a change
	changing bool
	cut      *cut // of the change under way
	answered bool // what is to come is the answer to its COMMIT
}

// beginning of the statement that every change begins with.
const beginning = "UPDATE organization_clock SET event_seq = event_seq WHERE"

// pump passes messages on, after see has looked at each: that says how many of
// its bytes go on, and whether the link ends then.
func (l *link) pump(from, to net.Conn, bare bool, see func(message) (pass int, end bool)) {
	defer l.end()
	in, out := bufio.NewReaderSize(from, 16<<10), bufio.NewWriterSize(to, 16<<10)
	for {
		m, err := readMessage(in, bare)
		if err != nil {
			return
		}
		bare = false
		pass, end := see(m)
		if l.proxy.silent.Load() {
			continue
		}
		if _, err := out.Write(m.raw[:pass]); err != nil {
			return
		}
		if end {
			_ = out.Flush()
			return
		}
		if in.Buffered() > 0 {
			continue
		}
		time.Sleep(time.Duration(l.proxy.delay.Load()))
		if out.Flush() != nil {
			return
		}
	}
}

func (l *link) fromClient(m message) (pass int, end bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first, second := m.texts()
	switch m.kind {
	case parse:
		l.locks[string(first)] = bytes.HasPrefix(second, []byte(beginning))
	case bind:
		if l.locks[string(second)] && !l.changing {
			l.changing, l.cut = true, l.proxy.take()
		}
	}
	if l.cut == nil || !m.is(query, "COMMIT") {
		return len(m.raw), false
	}
	switch l.cut.at {
	case "before":
		return 0, l.made()
	case "torn":
		return len(m.raw) / 2, l.made()
	case "inside":
		return len(m.raw), l.made()
	}
	l.answered = true
	return len(m.raw), false
}

func (l *link) fromServer(m message) (pass int, end bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case m.kind == ready && m.raw[5] == 'I': // no transaction is open
		if l.cut != nil {
			l.proxy.giveBack(l.cut)
		}
		l.changing, l.cut, l.answered = false, nil, false
	case l.cut == nil || m.kind != complete:
	case l.cut.at == "statement":
		return 0, l.made()
	case l.answered && l.cut.at == "after":
		return 0, l.made()
	case l.answered && l.cut.at == "answer":
		return len(m.raw) / 2, l.made()
	}
	return len(m.raw), false
}

// made notes that the cut happens now. It returns true.
func (l *link) made() bool {
	c := *l.cut
	l.cut = nil
	if c.reset {
		_ = l.client.SetLinger(0)
	}
	l.proxy.mu.Lock()
	l.proxy.done = append(l.proxy.done, c)
	l.proxy.mu.Unlock()
	return true
}

// end closes both sides.
func (l *link) end() {
	if l.over.Swap(true) {
		return
	}
	l.mu.Lock()
	if l.cut != nil {
		l.proxy.giveBack(l.cut)
		l.cut = nil
	}
	l.mu.Unlock()
	_ = l.client.Close()
	_ = l.server.Close()
	l.proxy.mu.Lock()
	delete(l.proxy.links, l)
	l.proxy.mu.Unlock()
}
