// Package kit holds what every room is handed: the clocks, the randomness, the
// log and the meter of limits, and what follows from them: ids, and background work that logs. It knows store only to tell an unavailable database from a fault.
package kit

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/bizmetry/identity/service/fair"
	"github.com/bizmetry/identity/service/id"
	"github.com/bizmetry/identity/store"
)

// Kit is what every room is handed: the clocks, the randomness, the log and the
// meter of limits.
type Kit struct {
	Now func() time.Time
	// Elapsed is the monotonic clock: the time since the process began to measure.
	Elapsed func() time.Duration
	Rand    io.Reader
	Log     *slog.Logger
	// Meter shows in the metrics what every limit let in and refused.
	Meter *fair.Meter
}

// NewID makes an id of the clock and the randomness.
func (k Kit) NewID() string { return id.New(k.Now(), k.Rand) }

// triedFor is how long background work may take.
const triedFor = 10 * time.Second

// Tried runs background work; what fails is logged and tried again next time.
func (k Kit) Tried(ctx context.Context, what string, work func(context.Context) error) {
	within, cancel := context.WithTimeout(ctx, triedFor)
	defer cancel()
	err := work(within)
	switch {
	case err == nil || ctx.Err() != nil: // done, or the service is being stopped
	case within.Err() != nil:
		k.Log.Warn("background work ran out of its time", "what", what, "time", triedFor.String(), "error", err.Error())
	case errors.Is(err, store.ErrUnavailable):
		k.Log.Warn("background work waits for the database", "what", what, "error", err.Error())
	default:
		k.Log.Error("background work failed", "what", what, "error", err.Error())
	}
}
