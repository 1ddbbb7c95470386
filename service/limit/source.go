package limit

import (
	"sync"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/fair"
)

// Purpose is what a source gets wrong. Each has a count of its own, so that wrong
// secrets of machines keep nobody from signing in.
type Purpose string

// What is counted by source.
const (
	SigningIn        Purpose = "sign-in"
	ChangingPassword Purpose = "password change"
	Refreshing       Purpose = "refresh"
	GettingToken     Purpose = "machine token"
	Activating       Purpose = "activation"
)

// limit names the purpose's limit in answers and metrics.
func (p Purpose) limit() string { return "failures of a source: " + string(p) }

// How much one source may get wrong for one purpose before it has to wait.
const (
	sourceBurst   = 100
	sourceRate    = 2.0 // failures a second
	sourcesAtMost = 100_000
)

// Sources slows down networks from which too much fails. It is per process
// and only a first defence: what must hold is counted in the database.
type Sources struct {
	buckets *otter.Cache[sourceKey, *bucket]
	now     func() time.Time
	meter   *fair.Meter
}

type sourceKey struct {
	purpose Purpose
	network string
}

// bucket holds how much a source may still get wrong.
type bucket struct {
	mu   sync.Mutex
	left float64
	at   time.Time
}

func newSources(now func() time.Time, meter *fair.Meter) *Sources {
	return &Sources{now: now, meter: meter, buckets: otter.Must(&otter.Options[sourceKey, *bucket]{
		MaximumSize: sourcesAtMost, ExpiryCalculator: otter.ExpiryAccessing[sourceKey, *bucket](10 * time.Minute),
	})}
}

// Take takes one from what a source may get wrong, before it is known whether
// this is wrong: so that any number at once cost no more than one after the other.
// What was right is given back. A source that has nothing left is refused.
func (s *Sources) Take(p Purpose, source string) error {
	count := s.meter.Of(p.limit())
	wait := s.bucket(p, source).take(s.now())
	if wait > 0 {
		count.Refuse()
		return answer.Limited(answer.ErrRateLimited, p.limit(), wait)
	}
	count.Use(1)
	return nil
}

// GiveBack gives back what Take took.
func (s *Sources) GiveBack(p Purpose, source string) {
	s.bucket(p, source).giveBack()
}

// Wrong counts what was found to be wrong without Take, because memory could tell.
// It returns the refusal: wrong, or that the source has to wait.
func (s *Sources) Wrong(p Purpose, source string, wrong error) error {
	if err := s.Take(p, source); err != nil {
		return err
	}
	return wrong
}

func (s *Sources) bucket(p Purpose, source string) *bucket {
	key := sourceKey{p, fair.Network(source)}
	if b, ok := s.buckets.GetIfPresent(key); ok {
		return b
	}
	fresh := &bucket{left: sourceBurst, at: s.now()}
	if b, _ := s.buckets.SetIfAbsent(key, fresh); b != nil {
		return b
	}
	return fresh
}

// take takes one, or tells after what time there is one.
func (b *bucket) take(now time.Time) (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if passed := now.Sub(b.at).Seconds(); passed > 0 {
		b.left, b.at = min(b.left+passed*sourceRate, sourceBurst), now
	}
	if b.left < 1 {
		return time.Duration((1 - b.left) / sourceRate * float64(time.Second))
	}
	b.left--
	return 0
}

func (b *bucket) giveBack() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = min(b.left+1, sourceBurst)
}
