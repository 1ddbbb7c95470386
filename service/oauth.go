package service

import (
	"context"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
)

// IntrospectAs answers the OAuth introspection endpoint (RFC 7662): the
// client authenticates with a secret, or with an access token where bearer is set.
func (s *Service) IntrospectAs(ctx context.Context, clientID, clientSecret, bearer, text string) (*identityv1.IntrospectTokenResponse, error) {
	by, err := s.oauthCaller(ctx, clientID, clientSecret, bearer)
	if err != nil {
		return nil, err
	}
	s.actAs(ctx, by, "")
	return s.introspect(ctx, by, text)
}

// RevokeAs answers the OAuth revocation endpoint (RFC 7009).
func (s *Service) RevokeAs(ctx context.Context, clientID, clientSecret, bearer, text string) error {
	by, err := s.oauthCaller(ctx, clientID, clientSecret, bearer)
	if err != nil {
		return err
	}
	s.actAs(ctx, by, identityv1.ServiceAccountService_RevokeToken_FullMethodName)
	return s.revokeToken(ctx, text)
}

func (s *Service) oauthCaller(ctx context.Context, clientID, clientSecret, bearer string) (*caller, error) {
	if bearer != "" {
		return s.verifyCaller(ctx, bearer)
	}
	m, err := s.authenticateMachine(ctx, clientID, clientSecret)
	if err != nil {
		return nil, err
	}
	claims := s.claimsFor(m.Standing)
	claims.Credential = m.credential
	return s.recallCaller(ctx, claims)
}
