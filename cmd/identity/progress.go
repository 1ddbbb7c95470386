package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// progress is a line on a terminal that says how far a file is; elsewhere it
// says nothing. It is safe for concurrent use.
type progress struct {
	out         io.Writer // nil: no terminal
	size        int64     // of the file; 0: not known
	mu          sync.Mutex
	rows, bytes int64
	shown       time.Time
}

// barWidth is that of a bar between its ends.
const barWidth = 30

func newProgress(o output, size int64) *progress {
	p := &progress{size: size}
	if _, ok := terminal(o.err); ok {
		p.out = o.err
	}
	return p
}

// add counts rows and bytes of the file that are done.
func (p *progress) add(rows, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rows, p.bytes = p.rows+rows, p.bytes+bytes
	if p.out != nil && time.Since(p.shown) > 100*time.Millisecond {
		p.shown = time.Now()
		fmt.Fprint(p.out, "\r", p.text(), "\x1b[K")
	}
}

func (p *progress) text() string {
	if p.size <= 0 {
		return fmt.Sprintf("%d rows", p.rows)
	}
	done := min(p.bytes*barWidth/p.size, barWidth)
	return fmt.Sprintf("[%s%s] %3d %%  %d rows", strings.Repeat("#", int(done)), strings.Repeat(" ", barWidth-int(done)),
		min(p.bytes*100/p.size, 100), p.rows)
}

// end leaves the last state on a line of its own.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out != nil {
		fmt.Fprint(p.out, "\r", p.text(), "\x1b[K\n")
	}
}
