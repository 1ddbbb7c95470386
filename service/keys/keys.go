// Package keys makes, rotates and revokes signing keys, under the lock of the
// platform organization, and loads them into the authority of a replica.
// It must not know what tokens are issued, or for whom.
package keys

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bizmetry/identity/service/authority"
	"github.com/bizmetry/identity/service/kit"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/service/token"
	"github.com/bizmetry/identity/service/wire"
	"github.com/bizmetry/identity/store"
)

// algorithm of the signing keys made today.
const algorithm = "ES256"

// The life of a signing key: it is made, published for two cache lives of the
// key set, used for a month, and kept until the last token it signed is over.
const (
	// KeySetLife is how long verifiers may keep the key set.
	KeySetLife   = 5 * time.Minute
	publishAhead = 2 * KeySetLife
	rotateEvery  = 30 * 24 * time.Hour
	keepAfter    = token.MaxLifetime + time.Minute
	// LookEvery is how often a replica looks for new keys and for the time of use of those it has.
	LookEvery = 10 * time.Second
)

// Keeper keeps the signing keys of a replica: it loads them into the authority
// and makes a new one when it is time.
type Keeper struct {
	kit.Kit

	store     *store.Store
	ring      *secret.KeyRing
	authority *authority.Authority
	loads     atomic.Uint64 // begun
	mu        sync.Mutex
	loaded    uint64 // the load that the authority signs with
}

// NewKeeper makes a keeper; the ring opens the keys.
func NewKeeper(k kit.Kit, st *store.Store, ring *secret.KeyRing, a *authority.Authority) *Keeper {
	return &Keeper{Kit: k, store: st, ring: ring, authority: a}
}

// NewSigningKey makes a key and seals it for its row.
func NewSigningKey(ring *secret.KeyRing, rand io.Reader, now, use time.Time) (store.SigningKey, error) {
	key, err := token.GenerateKey(rand)
	for err == nil && strings.HasPrefix(key.ID, "-") { // on a command line it would be taken for a flag
		key, err = token.GenerateKey(rand)
	}
	if err != nil {
		return store.SigningKey{}, err
	}
	der, err := key.Marshal()
	if err != nil {
		return store.SigningKey{}, err
	}
	return store.SigningKey{
		ID: key.ID, Algorithm: algorithm, Created: store.At(now), Use: store.At(use),
		Sealed: ring.Seal("signing_keys", der, key.ID),
	}, nil
}

// Load reads the signing keys. A master key that does not open them is an
// error: a new key in place of one that cannot be opened would hide the mistake.
// Of two loads at once the one that began later holds, whichever ends first: a
// slow read must not bring a revoked key back.
func (s *Keeper) Load(ctx context.Context) error {
	number := s.loads.Add(1)
	rows, err := s.store.Reserved.SigningKeys(ctx)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return errors.New("the database has no signing key: it was not bootstrapped")
	}
	keys := make([]token.Key, 0, len(rows))
	for _, row := range rows {
		der, err := s.ring.Open("signing_keys", row.Sealed, row.ID)
		if err != nil {
			return fmt.Errorf("the master key does not open signing key %s: %w", row.ID, err)
		}
		key, err := token.ParseKey(der)
		if err != nil {
			return fmt.Errorf("signing key %s: %w", row.ID, err)
		}
		key.UseTime, key.ExpireTime = row.Use.Time(), row.Expires.Time()
		keys = append(keys, key)
	}
	ring, err := token.NewRing(keys, s.Now())
	if err != nil {
		return err
	}
	s.useKeys(number, ring)
	return nil
}

// useKeys has a ring sign from now on, unless a load that began later was first.
func (s *Keeper) useKeys(number uint64, ring *token.Ring) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if number < s.loaded {
		return
	}
	s.loaded = number
	s.authority.SignWith(ring)
}

// Tend makes a new signing key when it is time, and loads what there is.
func (s *Keeper) Tend(ctx context.Context) error {
	rows, err := s.store.Reserved.SigningKeys(ctx)
	if err != nil {
		return err
	}
	if rotationDue(rows, s.Now()) {
		k := Keys{Store: s.store, Ring: s.ring, Now: s.Now, Rand: s.Rand}
		if _, err := k.rotate(ctx, s.Now().Add(publishAhead), rotationDue); err != nil {
			return err
		}
	}
	return s.Load(ctx)
}

// rotationDue tells whether the newest key has been in use for long enough
// that the next one has to be published.
func rotationDue(rows []store.SigningKey, now time.Time) bool {
	return !newestKey(rows).Use.Time().Add(rotateEvery - publishAhead).After(now)
}

// newestKey is the key that comes into use last.
func newestKey(rows []store.SigningKey) (newest store.SigningKey) {
	for _, row := range rows {
		if row.Use >= newest.Use {
			newest = row
		}
	}
	return newest
}

// Keys works on the signing keys of a database, under the lock of the platform
// organization, so that any number of replicas and operators agree.
type Keys struct {
	Store *store.Store
	Ring  *secret.KeyRing
	Now   func() time.Time
	Rand  io.Reader
}

// Rotate makes a new key, used after it was published for two cache lives, or
// at once where verifiers need not know it beforehand. Those before it are
// kept until their last token is over.
func (k Keys) Rotate(ctx context.Context, atOnce bool) (store.SigningKey, error) {
	use := k.Now().Add(publishAhead)
	if atOnce {
		use = k.Now()
	}
	return k.rotate(ctx, use, func([]store.SigningKey, time.Time) bool { return true })
}

func (k Keys) rotate(ctx context.Context, use time.Time, due func([]store.SigningKey, time.Time) bool) (key store.SigningKey, err error) {
	err = k.change(ctx, func(t *store.Tx, org string) error {
		rows, err := t.SigningKeys(ctx)
		if err != nil || !due(rows, k.Now()) { // another replica was first
			return err
		}
		if key, err = k.add(ctx, t, org, use); err != nil {
			return err
		}
		return expireFollowed(ctx, t, append(rows, key))
	})
	return key, err
}

// expireFollowed says of every key that another one follows in use, that it is
// kept until the last token it can sign is over.
func expireFollowed(ctx context.Context, t *store.Tx, keys []store.SigningKey) error {
	slices.SortStableFunc(keys, func(a, b store.SigningKey) int { return cmp.Compare(a.Use, b.Use) })
	for i := range len(keys) - 1 {
		if keys[i].Expires != 0 {
			continue
		}
		if err := t.ExpireSigningKey(ctx, keys[i].ID, store.At(keys[i+1].Use.Time().Add(keepAfter))); err != nil {
			return err
		}
	}
	return nil
}

// Revoke ends a key: no token that it signed is accepted any more. Where it
// was the one that signs, the one that is published to follow it takes over at once:
// verifiers may have fetched it. A new one takes over only where there is none.
func (k Keys) Revoke(ctx context.Context, id string) error {
	return k.change(ctx, func(t *store.Tx, org string) error {
		now := store.At(k.Now())
		if err := t.RevokeSigningKey(ctx, id, now); err != nil {
			return err
		}
		t.Record(store.Event{Org: org, Time: now, Type: store.EventSigningKeyRevoked, Target: id})
		rows, err := t.SigningKeys(ctx)
		if err != nil {
			return err
		}
		if newest := newestKey(rows); newest.Expires != 0 && !wire.Ended(newest.Expires, now) {
			if err := t.ExpireSigningKey(ctx, newest.ID, 0); err != nil { // the one that was to follow it is gone
				return err
			}
		}
		var next *store.SigningKey // of those that are published, the one that is to sign first
		for i, row := range rows {
			switch {
			case wire.Ended(row.Expires, now):
			case row.Use <= now:
				return nil // another one signs
			case next == nil || row.Use < next.Use:
				next = &rows[i]
			}
		}
		if next != nil {
			return t.UseSigningKey(ctx, next.ID, now)
		}
		_, err = k.add(ctx, t, org, k.Now())
		return err
	})
}

func (k Keys) add(ctx context.Context, t *store.Tx, org string, use time.Time) (store.SigningKey, error) {
	key, err := NewSigningKey(k.Ring, k.Rand, k.Now(), use)
	if err != nil {
		return key, err
	}
	t.Record(store.Event{Org: org, Time: key.Created, Type: store.EventSigningKeyCreated, Target: key.ID})
	return key, t.AddSigningKey(ctx, key)
}

func (k Keys) change(ctx context.Context, fn func(t *store.Tx, org string) error) error {
	platform, err := k.Store.Platform(ctx)
	if err != nil {
		return err
	}
	events, err := k.Store.Change(ctx, platform.ID, func(t *store.Tx) error { return fn(t, platform.ID) })
	if err != nil || len(events) == 0 {
		return err
	}
	return k.Store.Notify(ctx, store.LastNumbers(events))
}
