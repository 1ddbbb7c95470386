package service

import (
	"context"
	"time"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/service/token"
	"github.com/bizmetry/identity/store"
)

// RevokeToken ends one access token, or the session of a refresh token.
func (s *Service) RevokeToken(ctx context.Context, req *identityv1.RevokeTokenRequest) (*identityv1.RevokeTokenResponse, error) {
	return &identityv1.RevokeTokenResponse{}, s.revokeToken(ctx, req.GetToken())
}

// revokeToken passes over what is not a live token of the caller's
// organization: the answer must not tell what there is.
func (s *Service) revokeToken(ctx context.Context, text string) error {
	if id, _, ok := secret.ParseRefreshToken(s.ring, text); ok {
		return s.passOver(s.revokeSession(ctx, id))
	}
	claims, err := s.verify(text, token.Want{Issuer: s.issuer, AnyAudience: true, Now: s.now()})
	if err != nil {
		return nil //nolint:nilerr // nothing to end
	}
	by := callOf(ctx).caller
	if claims.Organization != by.Org || (claims.Subject != by.ID && !by.has(endsTokens)) {
		return nil
	}
	return s.passOver(s.change(ctx, func(ch *change) error {
		if err := ch.mayEnd(ctx, claims.Subject, claims.PrincipalType); err != nil {
			return err
		}
		first, err := ch.RevokeToken(ctx, ch.org.ID, claims.ID, store.At(time.Unix(claims.Expires, 0)), ch.now)
		if err == nil && first {
			ch.record("token.revoked", claims.ID, store.Data{"principal": claims.Subject})
		}
		return err
	}))
}

func (s *Service) passOver(err error) error {
	if isNotFound(err) {
		return nil
	}
	return err
}

// revokeSession ends the session that a refresh token belongs to.
func (s *Service) revokeSession(ctx context.Context, id string) error {
	return s.change(ctx, func(ch *change) error {
		session, err := ch.Session(ctx, ch.org.ID, id)
		if err != nil {
			return err
		}
		if err := ch.maySignOut(ctx, session); err != nil {
			return err
		}
		return ch.endSession(ctx, session, "revoked")
	})
}

// mayEnd checks that the caller may end tokens of a principal: its own, or
// with the permission those of whom it controls.
func (ch *change) mayEnd(ctx context.Context, id, kind string) error {
	if id == ch.by.ID {
		return nil
	}
	if !ch.by.has(endsTokens) {
		return refuse(errDenied, "permission", endsTokens, "principal", ch.by.ID, "organization", ch.org.ID)
	}
	return ch.mustControl(ctx, ch.principal(kind, id))
}

// RevokeTokens ends all tokens of a principal, or of one credential or session.
func (s *Service) RevokeTokens(ctx context.Context, req *identityv1.RevokeTokensRequest) (*identityv1.RevokeTokensResponse, error) {
	return &identityv1.RevokeTokensResponse{}, s.change(ctx, func(ch *change) error {
		p, err := ch.Principal(ctx, ch.org.ID, req.GetId())
		if err == nil && p.Deleted != 0 {
			err = errNotFound
		}
		if err != nil {
			return err
		}
		if err := ch.mayEnd(ctx, p.ID, p.Kind); err != nil {
			return err
		}
		switch only := req.GetOnly().(type) {
		case *identityv1.RevokeTokensRequest_CredentialId:
			return ch.endCredentialTokens(ctx, p.ID, only.CredentialId)
		case *identityv1.RevokeTokensRequest_SessionId:
			session, err := ch.Session(ctx, ch.org.ID, only.SessionId)
			if err == nil && session.User != p.ID {
				err = errNotFound
			}
			if err != nil {
				return err
			}
			return ch.endSession(ctx, session, "revoked")
		}
		return ch.endAllTokens(ctx, p)
	})
}

func (ch *change) endCredentialTokens(ctx context.Context, account, id string) error {
	c, err := ch.Credential(ctx, ch.org.ID, account, id)
	if err != nil {
		return err
	}
	ch.record("credential.tokens_revoked", c.ID, store.Data{"service_account": account})
	return ch.EndTokens(ctx, ch.org.ID, c.ID, ch.now)
}

func (ch *change) endAllTokens(ctx context.Context, p store.Principal) error {
	if p.Kind == store.KindUser {
		if err := ch.EndSessions(ctx, p.Org, p.ID, "revoked", ch.now); err != nil {
			return err
		}
	}
	ch.record("principal.tokens_revoked", p.ID, nil)
	return ch.EndEpoch(ctx, p, ch.nextEpoch(p.Epoch), ch.now)
}
