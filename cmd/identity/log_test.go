package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bizmetry/identity/store/storetest"
)

// sink collects what is written, and counts how often.
type sink struct {
	mu     sync.Mutex
	text   bytes.Buffer
	writes int
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	return s.text.Write(p)
}

func (s *sink) lines() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.text.String(), "\n")
}

// Lines wait a moment; warnings and errors take those before them along;
// nothing is lost, doubled or torn.
func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out sink
		log, flush := newLog(&out, slog.LevelInfo)
		log.Debug("below the level")
		log.Info("a")
		log.Info("b")
		if n := out.lines(); n != 0 {
			t.Errorf("%d lines did not wait", n)
		}
		time.Sleep(logWaits)
		synctest.Wait()
		if n := out.lines(); n != 2 || out.writes != 1 {
			t.Errorf("%d lines by %d writes after a moment", n, out.writes)
		}
		log.With("x", 1).WithGroup("g").Info("c")
		log.With("x", 1).WithGroup("g").Warn("d")
		if n := out.lines(); n != 4 {
			t.Errorf("%d lines after a warning", n)
		}
		log.Info("e")
		flush()
		if n := out.lines(); n != 5 {
			t.Errorf("%d lines after the end", n)
		}
	})
}

func TestLog_Many(t *testing.T) {
	var out sink
	log, flush := newLog(&out, slog.LevelInfo)
	const each, writers = 2000, 8
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				log.Info("call", "id", fmt.Sprint(w, ".", i))
			}
		})
	}
	all.Wait()
	flush()
	seen := map[string]bool{}
	for line := range strings.Lines(out.text.String()) {
		_, id, ok := strings.Cut(line, `"msg":"call","id":"`)
		if !ok || seen[id] {
			t.Fatalf("torn or doubled: %q", line)
		}
		seen[id] = true
	}
	if len(seen) != each*writers {
		t.Errorf("%d lines of %d", len(seen), each*writers)
	}
	if out.writes > each*writers/50 {
		t.Errorf("%d writes", out.writes)
	}
}

// What was logged before serve was asked to end is written when it has ended.
func TestServe_LogsToTheEnd(t *testing.T) {
	t.Setenv(databaseURLEnv, storetest.SQLite(t))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var log sink
	read, write := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, []string{"serve", "--grpc-addr=127.0.0.1:0", "--http-addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0"}, write, &log)
		_ = write.Close()
	}()
	s := started(t, read, done)
	const calls = 20
	for range calls {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.rest+"/v1/me", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.text.String(), `/GetMe"`); n != calls {
		t.Errorf("%d of %d calls were logged:\n%s", n, calls, log.text.String())
	}
}
