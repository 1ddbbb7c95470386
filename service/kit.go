package service

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/bizmetry/identity/store"
)

// kit is what every room is handed: the clock, the randomness and the log.
type kit struct {
	now func() time.Time
	// elapsed is the monotonic clock: how long ago the process began to measure.
	elapsed func() time.Duration
	rand    io.Reader
	log     *slog.Logger
}

// newID makes an id of the clock and the randomness.
func (k kit) newID() string { return newID(k.now(), k.rand) }

// tried runs background work; what fails is logged and tried again next time.
func (k kit) tried(ctx context.Context, what string, work func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := work(ctx)
	switch {
	case err == nil || ctx.Err() != nil:
	case errors.Is(err, store.ErrUnavailable):
		k.log.Warn("background work waits for the database", "what", what, "error", err.Error())
	default:
		k.log.Error("background work failed", "what", what, "error", err.Error())
	}
}
