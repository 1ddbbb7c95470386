package serviceaccount

import (
	"context"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/door"
)

// IntrospectAs answers the OAuth introspection endpoint (RFC 7662): the
// client authenticates with a secret, or with an access token where bearer is set.
func (s *Accounts) IntrospectAs(ctx context.Context, clientID, clientSecret, bearer, text string) (*identityv1.IntrospectTokenResponse, error) {
	by, err := s.oauthCaller(ctx, clientID, clientSecret, bearer)
	if err != nil {
		return nil, err
	}
	s.door.ActAs(ctx, by, "")
	return s.introspect(ctx, by, text)
}

// RevokeAs answers the OAuth revocation endpoint (RFC 7009).
func (s *Accounts) RevokeAs(ctx context.Context, clientID, clientSecret, bearer, text string) error {
	by, err := s.oauthCaller(ctx, clientID, clientSecret, bearer)
	if err != nil {
		return err
	}
	s.door.ActAs(ctx, by, identityv1.ServiceAccountService_RevokeToken_FullMethodName)
	return s.revokeToken(ctx, text)
}

func (s *Accounts) oauthCaller(ctx context.Context, clientID, clientSecret, bearer string) (*door.Caller, error) {
	if bearer != "" {
		return s.authority.VerifyCaller(ctx, bearer)
	}
	m, err := s.authenticateMachine(ctx, clientID, clientSecret)
	if err != nil {
		return nil, err
	}
	claims := s.authority.ClaimsFor(m.Standing)
	claims.Credential = m.Credential
	return s.authority.RecallCaller(ctx, claims)
}
