package limit

import (
	"net/netip"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/time/rate"

	"github.com/bizmetry/identity/service/answer"
)

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
