package service

import (
	"context"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
)

func (s *Service) UndeleteUser(context.Context, *identityv1.UndeleteUserRequest) (*identityv1.User, error) {
	return nil, errUnknownMethod
}

func (s *Service) EraseUser(context.Context, *identityv1.EraseUserRequest) (*identityv1.EraseUserResponse, error) {
	return nil, errUnknownMethod
}

func (s *Service) CheckEmailAvailability(context.Context, *identityv1.CheckEmailAvailabilityRequest) (*identityv1.CheckEmailAvailabilityResponse, error) {
	return nil, errUnknownMethod
}
