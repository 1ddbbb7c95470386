package serviceaccount

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/authority"
	"github.com/bizmetry/identity/service/contact"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/limit"
	"github.com/bizmetry/identity/service/perm"
	"github.com/bizmetry/identity/service/token"
	"github.com/bizmetry/identity/service/wire"
	"github.com/bizmetry/identity/store"
)

// TokenRequest is what a machine asks the token endpoint for.
type TokenRequest struct {
	ClientID, ClientSecret string
	Scope                  string
	// Resources are the audiences of the token; none: this service.
	Resources []string
}

// IssueToken is the gRPC twin of the token endpoint.
func (s *Accounts) IssueToken(ctx context.Context, req *identityv1.IssueTokenRequest) (*identityv1.IssueTokenResponse, error) {
	t, err := s.ClientCredentials(ctx, TokenRequest{
		ClientID: req.GetClientId(), ClientSecret: req.GetClientSecret(), Scope: req.GetScope(), Resources: []string{req.GetResource()},
	})
	if err != nil {
		return nil, err
	}
	return &identityv1.IssueTokenResponse{
		AccessToken: t.Text, TokenType: "Bearer", ExpireTime: wire.Stamp(store.At(t.Expires)), Scope: t.Scope,
	}, nil
}

// ClientCredentials trades a client id and secret for an access token
// (RFC 6749 section 4.4). Unknown, disabled, expired and wrong are one
// refusal. The context comes from the door or from Serve.
func (s *Accounts) ClientCredentials(ctx context.Context, req TokenRequest) (authority.Token, error) {
	m, err := s.authenticateMachine(ctx, req.ClientID, req.ClientSecret)
	if err != nil {
		return authority.Token{}, err
	}
	claims := s.authority.ClaimsFor(m.Standing)
	claims.ClientID, claims.Credential = m.Account.ID, m.Credential
	claims.Expires = claims.IssuedAt + int64(lifetimeOf(m.Account)/time.Second)
	if end := m.ProofEnd; end != 0 {
		claims.Expires = min(claims.Expires, end.Time().Unix()) // no token outlives its credential
	}
	if claims.Audience, err = s.audiences(m.Account, req.Resources); err != nil {
		return authority.Token{}, err
	}
	if claims.Scope, err = s.authority.Narrow(m, req.Scope); err != nil {
		return authority.Token{}, err
	}
	return s.authority.Sign(claims)
}

// authenticateMachine finds the account of a client id, and slows down sources
// that fail. From a network that the account does not allow, the right secret is a
// wrong one in everything. A secret that memory can check is checked whatever its source got
// wrong; what needs the database first takes from its source.
func (s *Accounts) authenticateMachine(ctx context.Context, clientID, text string) (m authority.Machine, err error) {
	c := door.CallOf(ctx)
	cold := !s.authority.RemembersMachine(clientID, text)
	if cold {
		if err := s.limits.Sources.Take(limit.GettingToken, c.Source); err != nil {
			return m, err
		}
	}
	m, err = s.authority.Machine(ctx, clientID, text)
	if err == nil && (s.authority.TooLate(m.ProofEnd) || !networkAllowed(m.Account.AllowedNetworks, c.Source)) {
		err = answer.ErrCredentials
	}
	wrong := errors.Is(err, answer.ErrCredentials)
	switch {
	case wrong && !cold:
		err = s.limits.Sources.Wrong(limit.GettingToken, c.Source, err)
	case cold && (!wrong || text == ""):
		s.limits.Sources.GiveBack(limit.GettingToken, c.Source)
	}
	if wrong && text != "" {
		s.limits.NoteActivity(c, m.Org, "token", "refused", m.ID, "client_credentials")
	}
	if err == nil {
		s.limits.NoteUsed(m.Org, m.ID, m.Credential)
	}
	return m, err
}

func networkAllowed(networks []string, source string) bool {
	if len(networks) == 0 {
		return true
	}
	ip, err := netip.ParseAddr(source)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(networks, func(text string) bool {
		network, ok := contact.ParseNetwork(text)
		return ok && network.Contains(ip)
	})
}

// IntrospectToken tells what a token is, to those who may know.
func (s *Accounts) IntrospectToken(ctx context.Context, req *identityv1.IntrospectTokenRequest) (*identityv1.IntrospectTokenResponse, error) {
	return s.introspect(ctx, door.CallOf(ctx).Caller, req.GetToken())
}

// introspect answers active: false for whatever is not accepted now, and for
// what the asking principal may not know about; the two look the same.
func (s *Accounts) introspect(ctx context.Context, by *door.Caller, text string) (*identityv1.IntrospectTokenResponse, error) {
	inactive := &identityv1.IntrospectTokenResponse{}
	claims, err := s.authority.Verify(text, token.Want{Issuer: s.authority.Issuer(), AnyAudience: true, Now: s.Now()})
	if err != nil {
		return inactive, nil //nolint:nilerr // a token that is not valid is an answer here
	}
	own := claims.Subject == by.ID && claims.Organization == by.Org
	local := claims.Organization == by.Org && by.Has(perm.TokensIntrospect)
	if !own && !local && !by.Has(perm.SystemTokensIntrospect) {
		return inactive, nil
	}
	switch err := s.authority.Live(ctx, claims); {
	case errors.Is(err, answer.ErrToken):
		return inactive, nil
	case err != nil:
		return nil, err
	}
	return describeToken(claims), nil
}

func describeToken(c token.Claims) *identityv1.IntrospectTokenResponse {
	return &identityv1.IntrospectTokenResponse{
		Active: true, Sub: &c.Subject, ClientId: &c.ClientID, Scope: optional(c.Scope), Aud: c.Audience, Iss: &c.Issuer, Jti: &c.ID,
		IssueTime: wire.Stamp(store.At(time.Unix(c.IssuedAt, 0))), ExpireTime: wire.Stamp(store.At(time.Unix(c.Expires, 0))),
		OrganizationId: &c.Organization, PrincipalType: &c.PrincipalType,
		CredentialId: optional(c.Credential), SessionId: optional(c.Session),
	}
}

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
