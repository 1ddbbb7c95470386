package service

import (
	"context"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
)

func (s *Service) CheckPassword(context.Context, *identityv1.CheckPasswordRequest) (*identityv1.CheckPasswordResponse, error) {
	return nil, errUnknownMethod
}

func (s *Service) GeneratePassword(context.Context, *identityv1.GeneratePasswordRequest) (*identityv1.GeneratePasswordResponse, error) {
	return nil, errUnknownMethod
}

func (s *Service) UpdateOrganization(context.Context, *identityv1.UpdateOrganizationRequest) (*identityv1.Organization, error) {
	return nil, errUnknownMethod
}
