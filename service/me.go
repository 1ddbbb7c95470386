package service

import (
	"context"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/store"
)

// GetMe tells who the caller is and what it may do.
func (s *Service) GetMe(ctx context.Context, _ *identityv1.GetMeRequest) (*identityv1.GetMeResponse, error) {
	me := callOf(ctx).caller
	resp := &identityv1.GetMeResponse{EffectivePermissions: me.model.Keys(me.set)}
	if me.Kind == store.KindServiceAccount {
		a, err := s.store.ServiceAccount(ctx, me.Org, me.ID)
		if err != nil {
			return nil, err
		}
		answers, err := s.accountAnswers(ctx, s.store.Reads, nil, me.Org, a)
		if err != nil {
			return nil, err
		}
		resp.Principal = &identityv1.GetMeResponse_ServiceAccount{ServiceAccount: answers[0]}
		return resp, nil
	}
	u, err := s.store.User(ctx, me.Org, me.ID)
	if err != nil {
		return nil, err
	}
	answers, err := s.userAnswers(ctx, s.store.Reads, nil, me.Org, u)
	if err != nil {
		return nil, err
	}
	resp.Principal = &identityv1.GetMeResponse_User{User: answers[0]}
	return resp, nil
}
