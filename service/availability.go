package service

import (
	"context"
	"time"

	"github.com/maypok86/otter/v2"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/store"
)

// How often somebody may learn whether an address is free: enough for a dialog
// that asks while one types, too little to collect those of a list. Whoever learns it
// from a change that was refused has asked too.
var (
	availabilityByCaller       = budget{"availability: caller", 300, 10 * time.Minute}
	availabilityOfOrganization = budget{"availability: organization", 3000, time.Hour}
)

// learn counts n addresses about to be told as taken elsewhere, and returns how
// many of them may be. The error says when more may; it is no failure.
func (s *Service) learn(ctx context.Context, t spender, n int) (told int, refused, err error) {
	c := callOf(ctx)
	all, err := s.take(ctx, t, charge{availabilityByCaller, c.caller.ID, int64(n)}, charge{availabilityOfOrganization, c.org, int64(n)})
	if err != nil {
		return 0, nil, err
	}
	told = int(min(all[0].left, all[1].left))
	for i, whose := range []string{c.caller.ID, c.org} {
		if all[i].left < int64(n) {
			s.learners.Set(whose, all[i].again)
			refused = retryIn(errRateLimited, all[i].again.Time().Sub(s.now()))
		}
	}
	return told, refused, nil
}

// mayLearn refuses whoever was told of too many taken addresses lately, before
// it is known whether the next one is: otherwise that would be the answer. It
// asks memory alone, so that replicas which have not noticed yet tell of one
// address more each.
func (s *Service) mayLearn(ctx context.Context) error {
	c := callOf(ctx)
	for _, whose := range []string{c.caller.ID, c.org} {
		if again, ok := s.learners.GetIfPresent(whose); ok && !ended(again, store.At(s.now())) {
			return retryIn(errRateLimited, again.Time().Sub(s.now()))
		}
	}
	return nil
}

// tellTaken counts an address that a change was refused for.
func (s *Service) tellTaken(ctx context.Context, taken error) error {
	answer := taken
	err := s.store.Short(ctx, func(t *store.ShortTx) error {
		_, refused, err := s.learn(ctx, t, 1)
		if refused != nil {
			answer = refused
		}
		return err
	})
	if err != nil {
		return err
	}
	return answer
}

// learnersAtMost bounds how many callers and organizations are remembered.
const learnersAtMost = 100_000

func newLearners() *otter.Cache[string, store.Micros] {
	return otter.Must(&otter.Options[string, store.Micros]{
		MaximumSize: learnersAtMost, ExpiryCalculator: otter.ExpiryWriting[string, store.Micros](time.Hour),
	})
}

// CheckEmailAvailability tells whether an address can be given to a person. One
// statement decides, whatever the answer and whatever the reason for it.
func (s *Service) CheckEmailAvailability(ctx context.Context, req *identityv1.CheckEmailAvailabilityRequest) (*identityv1.CheckEmailAvailabilityResponse, error) {
	c := callOf(ctx)
	address, ok := parseEmail(req.GetEmail())
	if !ok {
		return nil, invalid("email", "email", "must be an e-mail address")
	}
	if err := s.spend(ctx, availabilityByCaller.one(c.caller.ID), availabilityOfOrganization.one(c.org)); err != nil {
		return nil, err
	}
	whose := store.BuiltIn // nobody
	if req.GetUserId() != "" {
		u, err := s.store.User(ctx, c.org, req.GetUserId())
		if err != nil {
			return nil, err
		}
		whose = u.ID
	}
	taken, err := s.store.EmailTaken(ctx, c.org, address.key, whose)
	return &identityv1.CheckEmailAvailabilityResponse{Available: !taken}, err
}
