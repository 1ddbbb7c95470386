package door

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestLinger(t *testing.T) {
	for _, c := range []struct {
		name    string
		waiting int64
		ended   bool
		want    time.Duration
	}{
		{"an answer waits", 0, false, limitedAnswerDelay},
		{"the last one that there is room for waits", lingeringAtMost - 1, false, limitedAnswerDelay},
		{"more are sent at once", lingeringAtMost, false, 0},
		{"a call that ended does not wait", 0, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.ended {
					cancel()
				}
				s := &Door{}
				s.lingering.Store(c.waiting)
				start := time.Now()
				s.linger(ctx, &Call{})
				if took := time.Since(start); took != c.want {
					t.Errorf("waited %v, want %v", took, c.want)
				}
				if got := s.lingering.Load(); got != c.waiting {
					t.Errorf("%d wait afterwards, want %d", got, c.waiting)
				}
			})
		})
	}
}
