package user

import (
	"context"
	"time"

	"github.com/maypok86/otter/v2"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/contact"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/kit"
	"github.com/bizmetry/identity/service/limit"
	"github.com/bizmetry/identity/service/wire"
	"github.com/bizmetry/identity/store"
)

// How often somebody may learn whether an address is free: enough for a dialog
// that asks while one types, too little to collect those of a list. Whoever learns it
// from a change that was refused has asked too.
var (
	availabilityByCaller       = limit.Budget{Name: "availability: caller", Limit: 300, Window: 10 * time.Minute}
	availabilityOfOrganization = limit.Budget{Name: "availability: organization", Limit: 3000, Window: time.Hour}
)

// Availability limits how many taken addresses a caller can find out.
type Availability struct {
	kit.Kit

	store    *store.Store
	limits   *limit.Limits
	learners *otter.Cache[string, store.Micros] // who was told of too many taken addresses, until when
}

// NewAvailability returns the limiter of address look-ups.
func NewAvailability(k kit.Kit, st *store.Store, limits *limit.Limits) *Availability {
	return &Availability{Kit: k, store: st, limits: limits, learners: newLearners()}
}

// learn counts n addresses about to be told as taken elsewhere, and returns how
// many of them may be. The error says when more may; it is no failure.
func (s *Availability) learn(ctx context.Context, t limit.Spender, n int) (told int, refused, err error) {
	c := door.CallOf(ctx)
	all, err := s.limits.Take(ctx, t, limit.Charge{Of: availabilityByCaller, Whose: c.Caller.ID, N: int64(n)}, limit.Charge{Of: availabilityOfOrganization, Whose: c.Org, N: int64(n)})
	if err != nil {
		return 0, nil, err
	}
	told = int(min(all[0].Left, all[1].Left))
	for i, whose := range []string{c.Caller.ID, c.Org} {
		if all[i].Left < int64(n) {
			s.learners.Set(whose, all[i].Again)
			refused = answer.Limited(answer.ErrRateLimited, "availability of addresses", all[i].Again.Time().Sub(s.Now()))
		}
	}
	return told, refused, nil
}

// mayLearn refuses whoever was told of too many taken addresses lately, before
// it is known whether the next one is: otherwise that would be the answer. It
// asks memory alone, so that replicas which have not noticed yet tell of one
// address more each.
func (s *Availability) mayLearn(ctx context.Context) error {
	c := door.CallOf(ctx)
	for _, whose := range []string{c.Caller.ID, c.Org} {
		if again, ok := s.learners.GetIfPresent(whose); ok && !wire.Ended(again, store.At(s.Now())) {
			return answer.Limited(answer.ErrRateLimited, "availability of addresses", again.Time().Sub(s.Now()))
		}
	}
	return nil
}

// TellTaken counts an address that a change was refused for.
func (s *Availability) TellTaken(ctx context.Context, taken error) error {
	told := taken
	err := s.store.Short(ctx, func(t *store.ShortTx) error {
		_, refused, err := s.learn(ctx, t, 1)
		if refused != nil {
			told = refused
		}
		return err
	})
	if err != nil {
		return err
	}
	return told
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
func (s *Users) CheckEmailAvailability(ctx context.Context, req *identityv1.CheckEmailAvailabilityRequest) (*identityv1.CheckEmailAvailabilityResponse, error) {
	c := door.CallOf(ctx)
	address, ok := contact.ParseEmail(req.GetEmail())
	if !ok {
		return nil, answer.Invalid("email", "email", "must be an e-mail address")
	}
	if err := s.limits.Spend(ctx, availabilityByCaller.One(c.Caller.ID), availabilityOfOrganization.One(c.Org)); err != nil {
		return nil, err
	}
	whose := store.BuiltIn // nobody
	if req.GetUserId() != "" {
		u, err := s.store.User(ctx, c.Org, req.GetUserId())
		if err != nil {
			return nil, err
		}
		whose = u.ID
	}
	taken, err := s.store.EmailTaken(ctx, c.Org, address.Key, whose)
	return &identityv1.CheckEmailAvailabilityResponse{Available: !taken}, err
}
