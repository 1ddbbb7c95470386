package limit

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/bizmetry/identity/service/answer"
)

func TestSources_Fair06(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	s := newSources(func() time.Time { return now }, nil)
	var wg sync.WaitGroup
	var mu sync.Mutex
	taken := 0
	for range 500 {
		wg.Go(func() {
			if s.Take(SigningIn, "192.0.2.1") == nil {
				mu.Lock()
				taken++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if taken != sourceBurst {
		t.Errorf("%d were taken at once", taken)
	}
	for rule, test := range map[string]struct {
		purpose Purpose
		source  string
		refused bool
	}{
		"a neighbour":         {SigningIn, "192.0.2.200", true},
		"another network":     {SigningIn, "192.0.3.1", false},
		"another purpose":     {Refreshing, "192.0.2.1", false},
		"the same once more":  {SigningIn, "192.0.2.1", true},
		"one without address": {SigningIn, "", false},
	} {
		if err := s.Take(test.purpose, test.source); errors.Is(err, answer.ErrRateLimited) != test.refused {
			t.Errorf("%s: %v", rule, err)
		}
	}
	s.GiveBack(SigningIn, "192.0.2.1")
	if s.Take(SigningIn, "192.0.2.1") != nil || s.Take(SigningIn, "192.0.2.1") == nil {
		t.Error("one was given back, and one only")
	}
	now = now.Add(time.Second)
	first, second, third := s.Take(SigningIn, "192.0.2.1"), s.Take(SigningIn, "192.0.2.1"), s.Take(SigningIn, "192.0.2.1")
	if first != nil || second != nil || third == nil {
		t.Error("a second is two")
	}
	if err := s.Wrong(SigningIn, "192.0.3.1", answer.ErrToken); !errors.Is(err, answer.ErrToken) {
		t.Error(err)
	}
}
