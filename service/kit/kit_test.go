package kit_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/bizmetry/identity/service/kit"
)

// Background work that runs out of its time says so; one that the end of the
// service cuts off does not.
func TestTried_Fair07(t *testing.T) {
	for rule, stopped := range map[string]bool{"out of time": false, "stopped": true} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			k := kit.Kit{Log: slog.New(slog.NewTextHandler(&log, nil))}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			k.Tried(ctx, "sweep", func(ctx context.Context) error {
				if stopped {
					stop()
				}
				<-ctx.Done()
				return ctx.Err()
			})
			if said := strings.Contains(log.String(), "ran out of its time"); said == stopped {
				t.Errorf("%s: %q", rule, log.String())
			}
		})
	}
}
