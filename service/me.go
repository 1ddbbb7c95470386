package service

import (
	"context"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/password"
	"github.com/bizmetry/identity/service/phone"
	"github.com/bizmetry/identity/service/serviceaccount"
	"github.com/bizmetry/identity/service/user"
	"github.com/bizmetry/identity/store"
)

// userService implements UserService. Its own RPC is GetMe, the only one that
// answers with either a user or a service account.
type userService struct {
	identityv1.UnsafeUserServiceServer
	*user.Users
	*phone.Phones
	*password.Passwords
	accounts *serviceaccount.Accounts
}

// GetMe tells who the caller is and what it may do.
func (s *userService) GetMe(ctx context.Context, _ *identityv1.GetMeRequest) (*identityv1.GetMeResponse, error) {
	me := door.CallOf(ctx).Caller
	resp := &identityv1.GetMeResponse{EffectivePermissions: me.Model.Keys(me.Set)}
	if me.Kind == store.KindServiceAccount {
		a, err := s.accounts.Read(ctx, me.Org, me.ID)
		if err != nil {
			return nil, err
		}
		resp.Principal = &identityv1.GetMeResponse_ServiceAccount{ServiceAccount: a}
		return resp, nil
	}
	u, err := s.Read(ctx, me.Org, me.ID)
	if err != nil {
		return nil, err
	}
	resp.Principal = &identityv1.GetMeResponse_User{User: u}
	return resp, nil
}
