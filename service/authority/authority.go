// Package authority answers who may do what: it verifies tokens, finds
// principals with their rights, and mints tokens. It answers from memory, which
// the feed of events keeps at most a second old, and from rows inside a change.
// Changes made by calls, and purges, commit through it, so that memory knows of
// them before anybody is answered. Signing keys and the founding of an empty
// database do not. It must not know what a change does.
package authority

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizmetry/identity/service/kit"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/service/token"
	"github.com/bizmetry/identity/store"
)

// Authority answers who may do what, out of memory that the feed keeps current,
// and mints tokens.
type Authority struct {
	kit.Kit

	store       *store.Store
	ring        *secret.KeyRing
	issuer      string
	incarnation string // of the store
	memory      *memory
	signing     atomic.Pointer[token.Ring]
	tell        *pending      // what other replicas are to be told of
	heard       *pending      // what other replicas tell of
	pollNow     chan struct{} // has the feed polled at once
	platform    *followed
	onKeys      func(context.Context) error
}

// Config is what an authority is made of.
type Config struct {
	kit.Kit
	Store *store.Store
	// Ring signs consistency tokens.
	Ring *secret.KeyRing
	// Issuer is the public URL: issuer and own audience of tokens.
	Issuer string
	// Incarnation is that of the store.
	Incarnation string
	// StalenessBudget is how long memory is believed when the database cannot be asked.
	StalenessBudget time.Duration
	// Metrics gets the counters; nil: none.
	Metrics prometheus.Registerer
}

// New makes an authority that remembers nothing yet.
func New(cfg Config) *Authority {
	s := &Authority{
		Kit: cfg.Kit, store: cfg.Store, ring: cfg.Ring, issuer: cfg.Issuer, incarnation: cfg.Incarnation,
		memory: newMemory(cfg.Store, cfg.Now, cfg.Elapsed, cfg.StalenessBudget),
		tell:   newPending(), heard: newPending(), pollNow: make(chan struct{}, 1),
	}
	s.measure(cfg.Metrics)
	return s
}

// Begin follows the events of the platform organization, which tell of new
// signing keys, and reads the keys. The handler is called now, and when an
// event says that the keys have changed.
func (s *Authority) Begin(ctx context.Context, loadKeys func(context.Context) error) error {
	platform, err := s.store.Platform(ctx)
	if err != nil {
		return fmt.Errorf("the platform organization: %w", err)
	}
	s.onKeys = loadKeys
	if s.platform, err = s.memory.follow(ctx, platform.ID); err != nil { // before the keys are read
		return err
	}
	return loadKeys(ctx)
}

// Ready tells whether tokens can be verified and minted.
func (s *Authority) Ready() error {
	if s.signing.Load() == nil {
		return errors.New("no signing key")
	}
	return nil
}
