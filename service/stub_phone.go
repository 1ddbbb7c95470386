package service

import (
	"context"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
)

func (s *Service) StartPhoneVerification(context.Context, *identityv1.StartPhoneVerificationRequest) (*identityv1.PhoneVerification, error) {
	return nil, errUnknownMethod
}

func (s *Service) ResendPhoneCode(context.Context, *identityv1.ResendPhoneCodeRequest) (*identityv1.PhoneVerification, error) {
	return nil, errUnknownMethod
}

func (s *Service) ConfirmPhoneVerification(context.Context, *identityv1.ConfirmPhoneVerificationRequest) (*identityv1.ConfirmPhoneVerificationResponse, error) {
	return nil, errUnknownMethod
}
