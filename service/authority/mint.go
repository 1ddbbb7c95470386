package authority

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/id"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/service/token"
	"github.com/bizmetry/identity/service/wire"
	"github.com/bizmetry/identity/store"
)

// SessionClient is the client id in the tokens of a person's session.
const SessionClient = "identity"

// maxScope bounds a requested scope, in bytes.
const maxScope = 4000

// Token is an access token that was just issued.
type Token struct {
	Text    string
	Expires time.Time
	Scope   string
}

// Machine is a service account with the credential that it proved itself with.
type Machine struct {
	store.Standing
	Account    store.ServiceAccount
	Credential string
	recalled   recalled
}

// Machine finds the account of a client id and compares the secret. The secret
// names its credential, so nothing is tried out. What is wrong is
// ErrCredentials, with the account as far as it is known.
func (s *Authority) Machine(ctx context.Context, clientID, text string) (m Machine, err error) {
	credential, digest, ok := secret.ParseMachineSecret(text)
	if !ok || !id.Valid(clientID) {
		return m, answer.ErrCredentials
	}
	org, err := s.memory.client(ctx, clientID)
	if wire.IsNotFound(err) {
		return m, answer.ErrCredentials
	}
	if err != nil {
		return m, err
	}
	r, err := s.recall(ctx, proof{org: org, principal: clientID, kind: store.KindServiceAccount, credential: credential})
	m = Machine{Standing: r.Standing, Credential: credential, recalled: r}
	switch {
	case errors.Is(err, answer.ErrToken):
		return m, answer.ErrCredentials
	case err != nil:
		return m, err
	case !secret.EqualDigest(digest[:], r.ProofDigest):
		return m, answer.ErrCredentials
	}
	m.Account = r.view.account
	return m, nil
}

// RemembersMachine tells whether Machine can be answered out of memory: all of the
// account and of the credential that the secret names is remembered.
func (s *Authority) RemembersMachine(clientID, text string) bool {
	credential, _, ok := secret.ParseMachineSecret(text)
	if !ok {
		return false
	}
	org, ok := s.memory.clients.GetIfPresent(clientID)
	return ok && s.memory.remembers(org, clientID, credential)
}

// remembers tells whether an organization, a principal and a proof are all there.
func (m *memory) remembers(org, principal, proof string) bool {
	m.mu.Lock()
	f := m.orgs[org]
	m.mu.Unlock()
	if f == nil || f.view.Load() == nil {
		return false
	}
	whole := f.whole.Load()
	v, ok := m.principals.GetIfPresent(ref{org, principal})
	if !ok || v.f != f || v.whole != whole {
		return false
	}
	p, ok := m.proofs.GetIfPresent(ref{org, proof})
	return ok && p.f == f && p.whole == whole
}

// ClaimsFor begins the claims of a token for a principal that is usable now.
func (s *Authority) ClaimsFor(p store.Standing) token.Claims {
	now := s.Now().Unix()
	return token.Claims{
		Issuer: s.issuer, Subject: p.ID, Audience: []string{s.issuer}, ID: s.NewID(),
		IssuedAt: now, Expires: now + int64(token.DefaultLifetime/time.Second),
		Organization: p.Org, PrincipalType: p.Kind, OrganizationEpoch: int64(p.OrgEpoch), Epoch: int64(p.Epoch),
	}
}

// leastLife is how long a token lives at least.
const leastLife = time.Second

// TooLate tells whether a proof ends too soon for a token, which ends at a full second
// and never after its proof. Such a proof counts as over.
func (s *Authority) TooLate(end store.Micros) bool {
	return end != 0 && end.Time().Truncate(time.Second).Sub(s.Now()) < leastLife
}

// Sign mints the token of claims.
func (s *Authority) Sign(claims token.Claims) (Token, error) {
	text, err := s.signing.Load().Sign(claims)
	return Token{Text: text, Expires: time.Unix(claims.Expires, 0), Scope: claims.Scope}, err
}

// Narrow checks a requested scope: permissions that the account holds.
func (s *Authority) Narrow(m Machine, scope string) (string, error) {
	keys := scopeKeys(scope)
	if len(keys) == 0 {
		return "", nil
	}
	if len(scope) > maxScope {
		return "", answer.ErrScope
	}
	r := m.recalled
	held := r.view.rightsNow(r.org.cat, store.At(s.Now()))
	for _, key := range keys {
		if !r.org.cat.Has(held.set, key) {
			return "", answer.ErrScope
		}
	}
	slices.Sort(keys)
	return strings.Join(slices.Compact(keys), " "), nil
}

// JWKS is the public part of the signing keys (RFC 7517).
func (s *Authority) JWKS() jose.JSONWebKeySet { return s.signing.Load().JWKS() }

// Issuer is the public URL: issuer and own audience of tokens.
func (s *Authority) Issuer() string { return s.issuer }

// SignWith has a ring sign and verify from now on.
func (s *Authority) SignWith(ring *token.Ring) {
	if former := s.signing.Swap(ring); former == nil || !former.Same(ring) {
		s.memory.tokens.InvalidateAll() // verified by keys that may be gone
	}
}
