package serviceaccount

import (
	"context"
	"time"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/change"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/perm"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/service/token"
	"github.com/bizmetry/identity/service/wire"
	"github.com/bizmetry/identity/store"
)

// RevokeToken ends one access token, or the session of a refresh token.
func (s *Accounts) RevokeToken(ctx context.Context, req *identityv1.RevokeTokenRequest) (*identityv1.RevokeTokenResponse, error) {
	return &identityv1.RevokeTokenResponse{}, s.revokeToken(ctx, req.GetToken())
}

// revokeToken passes over what is not a live token of the caller's
// organization: the answer must not tell what there is.
func (s *Accounts) revokeToken(ctx context.Context, text string) error {
	if id, _, ok := secret.ParseRefreshToken(s.ring, text); ok {
		return passOver(s.revokeSession(ctx, id))
	}
	claims, err := s.authority.Verify(text, token.Want{Issuer: s.authority.Issuer(), AnyAudience: true, Now: s.Now()})
	if err != nil {
		return nil //nolint:nilerr // nothing to end
	}
	by := door.CallOf(ctx).Caller
	if claims.Organization != by.Org || (claims.Subject != by.ID && !by.Has(perm.TokensWrite)) {
		return nil
	}
	return passOver(s.changes.Run(ctx, func(tx *change.Tx) error {
		if err := mayEnd(ctx, tx, claims.Subject, claims.PrincipalType); err != nil {
			return err
		}
		first, err := tx.RevokeToken(ctx, tx.Org.ID, claims.ID, store.At(time.Unix(claims.Expires, 0)), tx.Now)
		if err == nil && first {
			tx.Note(store.EventTokenRevoked, claims.ID, store.Data{"principal": claims.Subject})
		}
		return err
	}))
}

func passOver(err error) error {
	if wire.IsNotFound(err) {
		return nil
	}
	return err
}

// revokeSession ends the session that a refresh token belongs to.
func (s *Accounts) revokeSession(ctx context.Context, id string) error {
	return s.changes.Run(ctx, func(tx *change.Tx) error {
		session, err := tx.Session(ctx, tx.Org.ID, id)
		if err != nil {
			return err
		}
		if err := tx.MaySignOut(ctx, session); err != nil {
			return err
		}
		return tx.SignOff(ctx, session, "revoked")
	})
}

// mayEnd checks that the caller may end tokens of a principal: its own, or
// with the permission those of whom it controls.
func mayEnd(ctx context.Context, tx *change.Tx, id, kind string) error {
	if id == tx.By.ID {
		return nil
	}
	if !tx.By.Has(perm.TokensWrite) {
		return answer.Refuse(answer.ErrDenied, "permission", perm.TokensWrite, "principal", tx.By.ID, "organization", tx.Org.ID)
	}
	return tx.MustControl(ctx, tx.PrincipalOf(kind, id))
}

// RevokeTokens ends all tokens of a principal, or of one credential or session.
func (s *Accounts) RevokeTokens(ctx context.Context, req *identityv1.RevokeTokensRequest) (*identityv1.RevokeTokensResponse, error) {
	return &identityv1.RevokeTokensResponse{}, s.changes.Run(ctx, func(tx *change.Tx) error {
		p, err := tx.Principal(ctx, tx.Org.ID, req.GetId())
		if err == nil && p.Deleted != 0 {
			err = answer.ErrNotFound
		}
		if err != nil {
			return err
		}
		if err := mayEnd(ctx, tx, p.ID, p.Kind); err != nil {
			return err
		}
		switch only := req.GetOnly().(type) {
		case *identityv1.RevokeTokensRequest_CredentialId:
			return endCredentialTokens(ctx, tx, p.ID, only.CredentialId)
		case *identityv1.RevokeTokensRequest_SessionId:
			session, err := tx.Session(ctx, tx.Org.ID, only.SessionId)
			if err == nil && session.User != p.ID {
				err = answer.ErrNotFound
			}
			if err != nil {
				return err
			}
			return tx.SignOff(ctx, session, "revoked")
		}
		return endAllTokens(ctx, tx, p)
	})
}

func endCredentialTokens(ctx context.Context, tx *change.Tx, account, id string) error {
	c, err := tx.Credential(ctx, tx.Org.ID, account, id)
	if err != nil {
		return err
	}
	tx.Note(store.EventCredentialTokensRevoked, c.ID, store.Data{"service_account": account})
	return tx.EndTokens(ctx, tx.Org.ID, c.ID, tx.Now)
}

func endAllTokens(ctx context.Context, tx *change.Tx, p store.Principal) error {
	if p.Kind == store.KindUser {
		if err := tx.EndSessions(ctx, p.Org, p.ID, "revoked", tx.Now); err != nil {
			return err
		}
	}
	tx.Note(store.EventPrincipalTokensRevoked, p.ID, nil)
	return tx.EndEpoch(ctx, p, tx.NextEpoch(p.Epoch), tx.Now)
}
