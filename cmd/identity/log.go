package main

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

// How much of the log waits, and for how long.
const (
	logWaits  = 100 * time.Millisecond
	logAtOnce = 32 << 10 // bytes
)

// newLog makes the log: JSON lines, written many at a time, because a system
// call for every line is a good part of what a small call costs. What is worse
// than info is written at once, with all before it. The function writes what
// still waits. A crash that nothing catches prints its panic by itself, and
// loses the lines of the last moment.
func newLog(out io.Writer, level slog.Leveler) (log *slog.Logger, flush func()) {
	w := &lateWriter{out: out}
	return slog.New(urgent{slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}), w}), w.flush
}

// urgent is a handler whose warnings and errors do not wait.
type urgent struct {
	slog.Handler
	w *lateWriter
}

// Handle implements slog.Handler.
func (u urgent) Handle(ctx context.Context, r slog.Record) error {
	err := u.Handler.Handle(ctx, r)
	if r.Level > slog.LevelInfo {
		u.w.flush()
	}
	return err
}

// WithAttrs implements slog.Handler.
func (u urgent) WithAttrs(attrs []slog.Attr) slog.Handler {
	return urgent{u.Handler.WithAttrs(attrs), u.w}
}

// WithGroup implements slog.Handler.
func (u urgent) WithGroup(name string) slog.Handler { return urgent{u.Handler.WithGroup(name), u.w} }

// lateWriter writes what it was given a moment later. Where out is slow,
// callers wait for it as they would without.
type lateWriter struct {
	mu      sync.Mutex
	out     io.Writer
	waiting []byte
	armed   bool // a flush is on its way
}

// Write implements io.Writer. A failure of out is nobody's to handle.
func (w *lateWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = append(w.waiting, line...)
	switch {
	case len(w.waiting) >= logAtOnce:
		w.write()
	case !w.armed:
		w.armed = true
		time.AfterFunc(logWaits, w.flush)
	}
	return len(line), nil
}

func (w *lateWriter) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = false
	w.write()
}

func (w *lateWriter) write() {
	if len(w.waiting) > 0 {
		_, _ = w.out.Write(w.waiting)
		w.waiting = w.waiting[:0]
	}
}
