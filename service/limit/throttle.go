package limit

import (
	"context"
	"encoding/hex"
	"errors"
	"net/netip"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/time/rate"

	"github.com/bizmetry/identity/service/answer"
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

// ThrottleKey names an account without saying which.
func (s *Limits) ThrottleKey(emailKey string) string {
	mac := s.ring.MAC("throttle", "email", emailKey)
	return hex.EncodeToString(mac[:])
}

// CountAttempt counts an attempt before it is made, so that a thousand at once
// reach the hash no more often than one after the other. Its own short
// transaction outlives the failed call.
func (s *Limits) CountAttempt(ctx context.Context, key string) error {
	for range 3 {
		now := s.Now()
		seen, err := s.store.Throttle(ctx, key)
		if err != nil {
			return err
		}
		if wait := seen.Retry.Time().Sub(now); seen.Retry != 0 && wait > 0 {
			return answer.Limited(answer.ErrRateLimited, attemptsLimit, wait)
		}
		retry := store.At(now.Add(waitAfter(seen.Failures + 1)))
		err = s.store.Short(ctx, func(t *store.ShortTx) error { return t.CountAttempt(ctx, seen, retry, store.At(now)) })
		s.blockedNow.Store(nil)
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return answer.Limited(answer.ErrRateLimited, attemptsLimit, time.Second)
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
	flight := s.asking.DoChan("blocked", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), blockedTime)
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
		keys[i] = s.ThrottleKey(u.EmailKey)
	}
	return keys
}

// ReturnAttempt takes back an attempt that was never made: nobody is slowed
// down because the service is busy.
func (s *Limits) ReturnAttempt(ctx context.Context, key string) error {
	defer s.blockedNow.Store(nil)
	return s.store.Short(ctx, func(t *store.ShortTx) error { return t.ReturnAttempt(ctx, key) })
}

// How much one source may get wrong before it has to wait.
const (
	sourceBurst   = 100
	sourceRate    = 2 // failures a second
	sourcesAtMost = 100_000
)

// Sources slows down addresses from which too much fails. It is per process
// and only a first defence: what must hold is counted in the database.
type Sources struct {
	buckets *otter.Cache[string, *rate.Limiter]
	now     func() time.Time
}

func newSources(now func() time.Time) *Sources {
	return &Sources{now: now, buckets: otter.Must(&otter.Options[string, *rate.Limiter]{
		MaximumSize: sourcesAtMost, ExpiryCalculator: otter.ExpiryAccessing[string, *rate.Limiter](10 * time.Minute),
	})}
}

// Admit refuses a source that has failed too often.
func (s *Sources) Admit(source string) error {
	bucket, ok := s.buckets.GetIfPresent(network(source))
	if !ok || bucket.TokensAt(s.now()) >= 1 {
		return nil
	}
	return answer.Limited(answer.ErrRateLimited, "failures of a source", time.Second)
}

// Failed counts a failure of a source.
func (s *Sources) Failed(source string) {
	fresh := rate.NewLimiter(sourceRate, sourceBurst)
	bucket, _ := s.buckets.SetIfAbsent(network(source), fresh)
	if bucket == nil {
		bucket = fresh
	}
	bucket.AllowN(s.now(), 1)
}

// network is what a source is counted by: an IPv6 customer has a /64.
func network(source string) string {
	ip, err := netip.ParseAddr(source)
	if err != nil || ip.Is4() {
		return source
	}
	prefix, err := ip.Prefix(64)
	if err != nil {
		return source
	}
	return prefix.String()
}
