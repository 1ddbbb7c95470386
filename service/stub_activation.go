package service

import (
	"context"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
)

func (s *Service) SendActivation(context.Context, *identityv1.SendActivationRequest) (*identityv1.User, error) {
	return nil, errUnknownMethod
}

func (s *Service) ActivateUser(context.Context, *identityv1.ActivateUserRequest) (*identityv1.ActivateUserResponse, error) {
	return nil, errUnknownMethod
}
