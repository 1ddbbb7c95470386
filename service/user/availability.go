package user

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/maypok86/otter/v2"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/contact"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/kit"
	"github.com/bizmetry/identity/service/limit"
	"github.com/bizmetry/identity/service/perm"
	"github.com/bizmetry/identity/service/wire"
	"github.com/bizmetry/identity/store"
)

// How often somebody may learn whether an address is free in other organizations:
// enough for a dialog that asks while one types, too little to go through a list.
// Whoever learns it from a change that was refused has asked too.
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
			refused = answer.Limited(answer.ErrAddressesLimited, "availability of addresses", all[i].Again.Time().Sub(s.Now()))
		}
	}
	return told, refused, nil
}

// MayLearn refuses whoever was told of too many taken addresses lately, before
// it is known whether the next one is: otherwise that would be the answer. It is
// asked wherever a new address is named. It
// asks memory alone, so that replicas which have not noticed yet tell of one
// address more each.
func (s *Availability) MayLearn(ctx context.Context) error {
	c := door.CallOf(ctx)
	for _, whose := range []string{c.Caller.ID, c.Org} {
		if again, ok := s.learners.GetIfPresent(whose); ok && !wire.Ended(again, store.At(s.Now())) {
			return answer.Limited(answer.ErrAddressesLimited, "availability of addresses", again.Time().Sub(s.Now()))
		}
	}
	return nil
}

// Taken is the answer to a change that named a new address, whose key is given. Where
// the error is not ErrEmailTaken, that is the answer. Within the organization the
// answer says who has the address, and costs nothing: the caller may see that anyway.
// An address of elsewhere is counted. but is the user whose address is changed.
func (s *Availability) Taken(ctx context.Context, err error, key, but string) error {
	if !errors.Is(err, answer.ErrEmailTaken) || key == "" {
		return err
	}
	c := door.CallOf(ctx)
	if but == "" {
		but = store.BuiltIn // nobody
	}
	holder, failed := s.store.EmailHolder(ctx, c.Org, key, but)
	switch {
	case failed != nil:
		return failed
	case holder.Here != "" && c.Caller.Has(perm.UsersRead):
		return answer.Refuse(answer.ErrEmailTaken, "id", holder.Here)
	case holder.Here != "":
		return err
	}
	failed = s.store.Short(ctx, func(t *store.ShortTx) error {
		_, refused, failed := s.learn(ctx, t, 1)
		if refused != nil {
			err = refused
		}
		return failed
	})
	return cmp.Or(failed, err)
}

// learnersAtMost bounds how many callers and organizations are remembered.
const learnersAtMost = 100_000

func newLearners() *otter.Cache[string, store.Micros] {
	return otter.Must(&otter.Options[string, store.Micros]{
		MaximumSize: learnersAtMost, ExpiryCalculator: otter.ExpiryWriting[string, store.Micros](time.Hour),
	})
}

// CheckEmailAvailability tells whether an address can be given to a user. One
// statement decides, whatever the reason for the answer.
func (s *Users) CheckEmailAvailability(ctx context.Context, req *identityv1.CheckEmailAvailabilityRequest) (*identityv1.CheckEmailAvailabilityResponse, error) {
	c := door.CallOf(ctx)
	address, ok := contact.ParseEmail(req.GetEmail())
	if !ok {
		return nil, answer.Invalid("email", "email", "must be an e-mail address")
	}
	whose := store.BuiltIn // nobody
	if req.GetUserId() != "" {
		u, err := s.store.User(ctx, c.Org, req.GetUserId())
		if err != nil {
			return nil, err
		}
		whose = u.ID
	}
	holder, err := s.store.EmailHolder(ctx, c.Org, address.Key, whose)
	if err == nil && holder.Here == "" { // who is of the organization can be seen anyway
		err = s.limits.Spend(ctx, availabilityByCaller.One(c.Caller.ID), availabilityOfOrganization.One(c.Org))
	}
	if err != nil {
		return nil, err
	}
	return &identityv1.CheckEmailAvailabilityResponse{Available: !holder.Taken()}, nil
}
