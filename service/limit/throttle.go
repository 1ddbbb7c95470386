package limit

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/fair"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/store"
)

// How failed sign-ins against one account are slowed down: the first few are
// free, then each doubles the wait up to a ceiling. Nobody is locked out for good.
const (
	freeAttempts = 5
	maxWait      = 15 * time.Minute
)

// attemptsLimit names the limit in answers and metrics.
const attemptsLimit = "attempts on an account"

func waitAfter(failures int64) time.Duration {
	if failures < freeAttempts {
		return 0
	}
	return min(time.Second<<min(failures-freeAttempts, 20), maxWait)
}

// UserKey is what wrong passwords for a user are counted by. Another user with
// the same address, in another organization, has a key of their own.
func UserKey(ring *secret.KeyRing, org, user string) string {
	return attemptsKey(ring, "user", org, user)
}

// UserKey is UserKey with the ring of the limits.
func (s *Limits) UserKey(org, user string) string { return UserKey(s.ring, org, user) }

// AddressKey is what they are counted by for an address with which nobody may
// sign in. It names the address without saying which.
func (s *Limits) AddressKey(emailKey string) string { return attemptsKey(s.ring, "email", emailKey) }

// DeviceKey is what they are counted by on a device on which the user fully signed
// in before, apart from everybody else's.
func (s *Limits) DeviceKey(device string) string { return attemptsKey(s.ring, "device", device) }

func attemptsKey(ring *secret.KeyRing, parts ...string) string {
	mac := ring.MAC("throttle", parts...)
	return hex.EncodeToString(mac[:])
}

// Attempt is one try of a password.
type Attempt struct {
	// Named is what the caller named: an address, and a device. A wait is remembered by it, so that
	// the next try is refused before anybody is looked for.
	Named string
	// Key is what the try is counted by.
	Key string
	// Row is written with the count, as refused: no crash loses it. A success
	// corrects it.
	Row store.Activity
}

// waiting is a wait that is remembered, and when it was read.
type waiting struct {
	until store.Micros
	read  time.Duration
}

// waitsAtMost bounds how many of them are remembered.
const waitsAtMost = 100_000

func newWaits() *otter.Cache[string, waiting] {
	return otter.Must(&otter.Options[string, waiting]{
		MaximumSize: waitsAtMost, ExpiryCalculator: otter.ExpiryWriting[string, waiting](time.Minute),
	})
}

// waitFor is how long a wait is believed without a look at the row: one that was
// lifted on another replica counts here after that.
const waitFor = time.Second

// MayAttempt refuses whom memory knows to wait, without a statement.
func (s *Limits) MayAttempt(named string) error {
	w, ok := s.waits.GetIfPresent(named)
	if !ok || s.Elapsed()-w.read > waitFor {
		return nil
	}
	return s.refuseAttempt(w.until.Time().Sub(s.Now()))
}

// MayAttemptMore refuses what memory knows to be spent like a wait, so that an
// outsider does not learn who signs in often.
func (s *Limits) MayAttemptMore(charges ...Charge) error {
	err := s.MaySpend(charges...)
	var r *answer.Refusal
	if errors.As(err, &r) {
		return answer.Limited(answer.ErrRateLimited, attemptsLimit, r.Wait())
	}
	return err
}

func (s *Limits) refuseAttempt(wait time.Duration) error {
	if wait <= 0 {
		return nil
	}
	s.Meter.Of(attemptsLimit).Refuse()
	return answer.Limited(answer.ErrRateLimited, attemptsLimit, wait)
}

// CountAttempt counts an attempt before it is made, so that a thousand at once
// reach the hash no more often than one after the other. Its own short
// transaction outlives the failed call.
func (s *Limits) CountAttempt(ctx context.Context, a Attempt) error {
	for range 3 {
		now, read := s.Now(), s.Elapsed()
		seen, err := s.store.Throttle(ctx, a.Key)
		if err != nil {
			return err
		}
		if err := s.refuseAttempt(seen.Retry.Time().Sub(now)); err != nil {
			s.waits.Set(a.Named, waiting{seen.Retry, read})
			return err
		}
		retry := store.At(now.Add(waitAfter(seen.Failures + 1)))
		err = s.store.Short(ctx, func(t *store.ShortTx) error {
			if err := t.CountAttempt(ctx, seen, retry, store.At(now)); err != nil {
				return err
			}
			return t.AddActivity(ctx, a.Row)
		})
		s.blockedNow.Store(nil)
		if err == nil {
			s.Meter.Of(attemptsLimit).Use(1)
		}
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return s.refuseAttempt(time.Second)
}

// ReturnAttempt takes back an attempt that was never made: nobody is slowed
// down because the service is busy.
func (s *Limits) ReturnAttempt(ctx context.Context, a Attempt) error {
	defer s.blockedNow.Store(nil)
	return s.store.Short(ctx, func(t *store.ShortTx) error {
		if err := t.ReturnAttempt(ctx, a.Key); err != nil {
			return err
		}
		return t.DropActivity(ctx, a.Row)
	})
}

// Succeeded forgets the tries before one that was right, and says so in its row, in
// the transaction of what follows from it.
func (s *Limits) Succeeded(ctx context.Context, t *store.ShortTx, a Attempt, outcome string) error {
	a.Row.Outcome = outcome
	if err := t.SetOutcome(ctx, a.Row); err != nil {
		return err
	}
	return t.ForgetAttempts(ctx, a.Key, store.At(s.Now()))
}

// Lifter is a transaction of either kind.
type Lifter interface {
	ForgetAttempts(ctx context.Context, key string, now store.Micros) error
}

// Lift ends the wait of a user, in the transaction of what lifts it. Lifted has
// to follow once that is committed.
func (s *Limits) Lift(ctx context.Context, t Lifter, u store.User) error {
	return t.ForgetAttempts(ctx, s.UserKey(u.Org, u.ID), store.At(s.Now()))
}

// Lifted forgets the wait in memory too, so that this replica need not look.
func (s *Limits) Lifted(u store.User) {
	s.waits.Invalidate(u.EmailKey)
	s.blockedNow.Store(nil)
}

// blockedAtMost bounds how many blocked accounts are remembered.
const blockedAtMost = 1_000

// blocked is who is blocked, at most a second old. It is hardly ever anybody,
// and lists then need neither ask nor name each account by its digest.
type blocked struct {
	until map[string]store.Micros
	many  bool // too many to remember
	read  time.Duration
}

// blockedFor is how long what was read of blocked accounts counts.
const blockedFor = time.Second

// whoIsBlocked reads who is blocked now, once for all who ask at the same moment.
func (s *Limits) whoIsBlocked(ctx context.Context) (*blocked, error) {
	if b := s.blockedNow.Load(); b != nil && s.Elapsed()-b.read <= blockedFor {
		return b, nil
	}
	apart := fair.Detach(ctx)
	flight := s.asking.DoChan("blocked", func() (any, error) {
		ctx, cancel := context.WithTimeout(apart, blockedTime)
		defer cancel()
		b := &blocked{read: s.Elapsed()}
		var err error
		b.until, err = s.store.BlockedNow(ctx, store.At(s.Now()), blockedAtMost)
		if err == nil {
			b.many = len(b.until) == blockedAtMost
			s.blockedNow.Store(b)
		}
		return b, err
	})
	select {
	case r := <-flight:
		b, _ := r.Val.(*blocked)
		return b, r.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// blockedTime bounds the reading of them.
const blockedTime = 5 * time.Second

// LockedUntil tells until when too many failed sign-ins block each of the users
// (0: not blocked), out of what was read at most a second ago.
func (s *Limits) LockedUntil(ctx context.Context, users []store.User) ([]store.Micros, error) {
	b, err := s.whoIsBlocked(ctx)
	switch {
	case err != nil:
		return nil, err
	case b.many:
		return s.LockedInRows(ctx, s.store.Reads, users)
	case len(b.until) == 0: // spares a digest a user
		return make([]store.Micros, len(users)), nil
	}
	return lockedIn(b.until, s.throttleKeys(users), store.At(s.Now())), nil
}

// LockedInRows is LockedUntil out of rows, for what a change leaves.
func (s *Limits) LockedInRows(ctx context.Context, q store.Reads, users []store.User) ([]store.Micros, error) {
	keys, now := s.throttleKeys(users), store.At(s.Now())
	until, err := q.Blocked(ctx, keys, now)
	return lockedIn(until, keys, now), err
}

func lockedIn(until map[string]store.Micros, keys []string, now store.Micros) []store.Micros {
	locked := make([]store.Micros, len(keys))
	for i, key := range keys {
		if until[key] > now {
			locked[i] = until[key]
		}
	}
	return locked
}

func (s *Limits) throttleKeys(users []store.User) []string {
	keys := make([]string, len(users))
	for i, u := range users {
		keys[i] = s.UserKey(u.Org, u.ID)
	}
	return keys
}
