package service

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/service/token"
	"github.com/bizmetry/identity/store"
)

// SessionClient is the client id in the tokens of a person's session.
const SessionClient = "identity"

// maxScope bounds a requested scope, in bytes.
const maxScope = 4000

// TokenRequest is what a machine asks the token endpoint for.
type TokenRequest struct {
	ClientID, ClientSecret string
	Scope, Resource        string
}

// Token is an access token that was just issued.
type Token struct {
	Text    string
	Expires time.Time
	Scope   string
}

// IssueToken is the gRPC twin of the token endpoint.
func (s *Service) IssueToken(ctx context.Context, req *identityv1.IssueTokenRequest) (*identityv1.IssueTokenResponse, error) {
	t, err := s.ClientCredentials(ctx, TokenRequest{
		ClientID: req.GetClientId(), ClientSecret: req.GetClientSecret(), Scope: req.GetScope(), Resource: req.GetResource(),
	})
	if err != nil {
		return nil, err
	}
	return &identityv1.IssueTokenResponse{
		AccessToken: t.Text, TokenType: "Bearer", ExpireTime: stamp(store.At(t.Expires)), Scope: t.Scope,
	}, nil
}

// ClientCredentials trades a client id and secret for an access token
// (RFC 6749 section 4.4). Unknown, disabled, expired and wrong are one
// refusal. The context comes from the door or from Serve.
func (s *Service) ClientCredentials(ctx context.Context, req TokenRequest) (Token, error) {
	standing, credential, err := s.authenticateMachine(ctx, req.ClientID, req.ClientSecret)
	if err != nil {
		return Token{}, err
	}
	account := standing.view.account
	if !networkAllowed(account.AllowedNetworks, callOf(ctx).source) {
		return Token{}, errCredentials
	}
	claims := s.claimsFor(standing.Standing)
	claims.ClientID, claims.Credential = account.ID, credential
	claims.Expires = claims.IssuedAt + int64(lifetimeOf(account)/time.Second)
	if end := standing.ProofEnd; end != 0 {
		claims.Expires = min(claims.Expires, end.Time().Unix()) // no token outlives its credential
	}
	if req.Resource != "" && req.Resource != s.issuer {
		if !slices.Contains(account.Audiences, req.Resource) {
			return Token{}, errTarget
		}
		claims.Audience = []string{req.Resource}
	}
	if claims.Scope, err = s.narrow(standing, req.Scope); err != nil {
		return Token{}, err
	}
	return s.sign(claims)
}

// authenticateMachine finds the account of a client id and compares the
// secret. The secret names its credential, so nothing is tried out.
func (s *Service) authenticateMachine(ctx context.Context, clientID, text string) (standing recalled, credential string, err error) {
	c := callOf(ctx)
	if err := s.sources.admit(c.source); err != nil {
		return standing, "", err
	}
	standing, credential, err = s.findMachine(ctx, clientID, text)
	if err == errCredentials && text != "" { //nolint:errorlint // findMachine returns the sentinel itself
		s.sources.failed(c.source)
		s.noteActivity(c, standing.Org, "token", "refused", standing.ID, "client_credentials")
	}
	if err != nil {
		return standing, "", err
	}
	s.lastUsed.note(usedKey{standing.Org, standing.ID, credential}, store.At(s.now()))
	return standing, credential, nil
}

func (s *Service) findMachine(ctx context.Context, clientID, text string) (standing recalled, credential string, err error) {
	credential, digest, ok := secret.ParseMachineSecret(text)
	if !ok || !isID(clientID) {
		return standing, "", errCredentials
	}
	org, err := s.memory.client(ctx, clientID)
	if isNotFound(err) {
		return standing, "", errCredentials
	}
	if err != nil {
		return standing, "", err
	}
	standing, err = s.recall(ctx, proof{org: org, principal: clientID, kind: store.KindServiceAccount, credential: credential})
	switch {
	case err == errToken: //nolint:errorlint // recall returns the sentinel itself
		return standing, "", errCredentials
	case err != nil:
		return standing, "", err
	case !secret.EqualDigest(digest[:], standing.ProofDigest):
		return standing, "", errCredentials
	}
	return standing, credential, nil
}

// claimsFor begins the claims of a token for a principal that is usable now.
func (s *Service) claimsFor(p store.Standing) token.Claims {
	now := s.now().Unix()
	return token.Claims{
		Issuer: s.issuer, Subject: p.ID, Audience: []string{s.issuer}, ID: s.newID(),
		IssuedAt: now, Expires: now + int64(defaultLifetime/time.Second),
		Organization: p.Org, PrincipalType: p.Kind, OrganizationEpoch: int64(p.OrgEpoch), Epoch: int64(p.Epoch),
	}
}

func (s *Service) sign(claims token.Claims) (Token, error) {
	text, err := s.signing.Load().Sign(claims)
	return Token{Text: text, Expires: time.Unix(claims.Expires, 0), Scope: claims.Scope}, err
}

// narrow checks a requested scope: permissions that the principal holds.
func (s *Service) narrow(r recalled, scope string) (string, error) {
	keys := scopeKeys(scope)
	if len(keys) == 0 {
		return "", nil
	}
	if len(scope) > maxScope {
		return "", errScope
	}
	held := r.view.rightsNow(r.org.cat, store.At(s.now()))
	for _, key := range keys {
		if !r.org.cat.Has(held.set, key) {
			return "", errScope
		}
	}
	slices.Sort(keys)
	return strings.Join(slices.Compact(keys), " "), nil
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
		network, err := netip.ParsePrefix(text)
		return err == nil && network.Contains(ip)
	})
}

// IntrospectToken tells what a token is, to those who may know.
func (s *Service) IntrospectToken(ctx context.Context, req *identityv1.IntrospectTokenRequest) (*identityv1.IntrospectTokenResponse, error) {
	return s.introspect(ctx, callOf(ctx).caller, req.GetToken())
}

// introspect answers active: false for whatever is not accepted now, and for
// what the asking principal may not know about; the two look the same.
func (s *Service) introspect(ctx context.Context, by *caller, text string) (*identityv1.IntrospectTokenResponse, error) {
	inactive := &identityv1.IntrospectTokenResponse{}
	claims, err := s.verify(text, token.Want{Issuer: s.issuer, AnyAudience: true, Now: s.now()})
	if err != nil {
		return inactive, nil //nolint:nilerr // a token that is not valid is an answer here
	}
	own := claims.Subject == by.ID && claims.Organization == by.Org
	local := claims.Organization == by.Org && by.has("platform.tokens.introspect")
	if !own && !local && !by.has("system.tokens.introspect") {
		return inactive, nil
	}
	if _, err := s.recall(ctx, proofOf(claims)); err != nil {
		if err == errToken { //nolint:errorlint // recall returns the sentinel itself
			return inactive, nil
		}
		return nil, err
	}
	return describeToken(claims), nil
}

func describeToken(c token.Claims) *identityv1.IntrospectTokenResponse {
	return &identityv1.IntrospectTokenResponse{
		Active: true, Sub: &c.Subject, ClientId: &c.ClientID, Scope: optional(c.Scope), Aud: c.Audience, Iss: &c.Issuer, Jti: &c.ID,
		IssueTime: stamp(store.At(time.Unix(c.IssuedAt, 0))), ExpireTime: stamp(store.At(time.Unix(c.Expires, 0))),
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
