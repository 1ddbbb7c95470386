package authority

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/id"
	"github.com/bizmetry/identity/service/perm"
	"github.com/bizmetry/identity/service/token"
	"github.com/bizmetry/identity/service/wire"
	"github.com/bizmetry/identity/store"
)

// proof names a principal and what it proves itself with.
type proof struct {
	org, principal, kind string
	credential, session  string
	// Epochs that a token was issued in; 0 where a token is only being minted.
	epoch, orgEpoch int64
	// token is the id of the token; "" where one is only being minted.
	token string
}

func proofOf(c token.Claims) proof {
	return proof{
		org: c.Organization, principal: c.Subject, kind: c.PrincipalType,
		credential: c.Credential, session: c.Session, epoch: c.Epoch, orgEpoch: c.OrganizationEpoch, token: c.ID,
	}
}

// usable tells whether a principal may act now with this proof. Every path
// that accepts a credential or mints a token asks it, of rows or of memory.
// Anything disabled, expired, ended or of another epoch is not.
func (p proof) usable(standing store.Standing, now store.Micros) bool {
	return standing.Live() && standing.ProofLive && !wire.Ended(standing.ProofEnd, now) &&
		(p.token == "" || standing.TokensAfter == 0 || issued(p.token) > standing.TokensAfter) &&
		(p.epoch == 0 || p.epoch == int64(standing.Epoch)) && (p.orgEpoch == 0 || p.orgEpoch == int64(standing.OrgEpoch))
}

// issued is when a token was made, which its id tells (UUIDv7): to the
// millisecond, so tokens of the very moment of a revocation are over too.
func issued(tokenID string) store.Micros {
	parsed, err := uuid.Parse(tokenID)
	if err != nil {
		return 0
	}
	sec, nsec := parsed.Time().UnixTime()
	return store.At(time.Unix(sec, nsec))
}

// wellFormed keeps what cannot be an id away from the database.
func (p proof) wellFormed() bool {
	return id.Valid(p.org) && id.Valid(p.principal) && id.Valid(p.credential+p.session) && (p.token == "" || id.Valid(p.token)) &&
		((p.kind == store.KindUser && p.session != "") || (p.kind == store.KindServiceAccount && p.credential != ""))
}

// standingInRows reads a principal from rows with the proof that a token is to
// be minted for. One that is not there or not usable is ErrToken.
func (s *Authority) standingInRows(ctx context.Context, q store.Reads, p proof) (standing store.Standing, err error) {
	if !p.wellFormed() {
		return standing, answer.ErrToken
	}
	if p.kind == store.KindUser {
		standing, err = q.PersonStanding(ctx, p.org, p.principal, p.session)
	} else {
		standing, err = q.MachineStanding(ctx, p.org, p.principal, p.credential)
	}
	if wire.IsNotFound(err) || (err == nil && !p.usable(standing, store.At(s.Now()))) {
		err = answer.ErrToken
	}
	return standing, err
}

// recalled is a usable principal out of memory.
type recalled struct {
	store.Standing
	view *principalView
	org  *orgView
}

// recall is standingInRows out of memory that is at most a second old.
func (s *Authority) recall(ctx context.Context, p proof) (r recalled, err error) {
	if !p.wellFormed() {
		return r, answer.ErrToken
	}
	if err := s.current(ctx); err != nil {
		return r, err
	}
	if r.org, err = s.memory.organization(ctx, p.org); err == nil {
		if r.view, err = s.memory.principal(ctx, p.org, p.principal); err == nil {
			err = r.prove(ctx, s.memory, p)
		}
	}
	if wire.IsNotFound(err) || (err == nil && !p.usable(r.Standing, store.At(s.Now()))) {
		err = answer.ErrToken
	}
	if err != nil || p.token == "" {
		return r, err
	}
	revoked, err := s.memory.revoked(ctx, r.org, p)
	if err == nil && revoked {
		err = answer.ErrToken
	}
	return r, err
}

// Live refuses a verified token that does not stand for a usable principal now:
// ErrToken.
func (s *Authority) Live(ctx context.Context, claims token.Claims) error {
	_, err := s.recall(ctx, proofOf(claims))
	return err
}

// SessionStanding is the standing of a user with a session that a token is to be
// minted for, out of rows; ErrToken where it is not usable.
func (s *Authority) SessionStanding(ctx context.Context, session store.Session) (store.Standing, error) {
	return s.standingInRows(ctx, s.store.Reads, proof{org: session.Org, principal: session.User, kind: store.KindUser, session: session.ID})
}

// prove puts the standing together from what is remembered of each part.
func (r *recalled) prove(ctx context.Context, m *memory, p proof) error {
	v, err := m.proof(ctx, p)
	if err != nil {
		return err
	}
	r.Standing = standingOf(r.org, r.view, v, p)
	return nil
}

func standingOf(org *orgView, of *principalView, v *proofView, p proof) (s store.Standing) {
	s.Principal = of.principal
	s.Platform, s.Suspended, s.OrgEpoch = org.org.Platform, org.org.Suspended, org.org.Epoch
	s.ProofEnd, s.ProofDigest, s.TokensAfter = v.end, v.digest, v.tokensAfter
	s.ProofLive = v.live && v.owner == p.principal && s.Kind == p.kind
	if p.kind == store.KindUser {
		s.ProofLive = s.ProofLive && v.epoch == s.Epoch && v.orgEpoch == s.OrgEpoch
	}
	return s
}

// VerifyCaller verifies a bearer token and returns its caller with current rights.
func (s *Authority) VerifyCaller(ctx context.Context, text string) (*door.Caller, error) {
	claims, err := s.Verify(text, token.Want{Issuer: s.issuer, Audience: s.issuer, Now: s.Now()})
	if err != nil {
		return nil, answer.ErrToken
	}
	by, err := s.RecallCaller(ctx, claims)
	if errors.Is(err, answer.ErrToken) {
		err = door.ErrNotUsable
	}
	return by, err
}

// Glance implements door.Authenticator.
func (s *Authority) Glance(text string) (by *door.Caller, dead bool) {
	if strings.Count(text, ".") != 2 {
		return nil, true
	}
	claims, ok := s.memory.tokens.GetIfPresent(sha256.Sum256([]byte(text)))
	if !ok || s.memory.feed.age() > freshFor {
		return nil, false
	}
	want := token.Want{Issuer: s.issuer, Audience: s.issuer, Now: s.Now()}
	if want.Check(&claims) != nil {
		return nil, true
	}
	p := proofOf(claims)
	r, known := s.memory.glance(p)
	switch {
	case !known:
		return nil, false
	case r.org.revoked[p.token] || !p.usable(r.Standing, store.At(s.Now())):
		return nil, true
	case r.org.unlisted || p.token == "" || p.epoch == 0 || p.orgEpoch == 0 || !p.wellFormed():
		return nil, false
	}
	return s.callerOf(r, claims), false
}

// RecallCaller makes of verified claims the caller, out of memory.
func (s *Authority) RecallCaller(ctx context.Context, claims token.Claims) (*door.Caller, error) {
	if claims.Epoch == 0 || claims.OrganizationEpoch == 0 {
		return nil, answer.ErrToken
	}
	r, err := s.recall(ctx, proofOf(claims))
	if err != nil {
		return nil, err
	}
	return s.callerOf(r, claims), nil
}

func (s *Authority) callerOf(r recalled, claims token.Claims) *door.Caller {
	now := r.view.rightsNow(r.org.cat, store.At(s.Now()))
	return &door.Caller{
		Standing: r.Standing, Claims: claims, Model: r.org.cat.Model, Held: now.held, Set: narrowed(r.org.cat, now.set, claims.Scope),
	}
}

// ReadCaller makes of verified claims the caller who changes an organization,
// out of rows, inside the transaction of the change.
func (s *Authority) ReadCaller(ctx context.Context, q store.Reads, claims token.Claims, org string) (*door.Caller, *Catalogue, store.Organization, error) {
	a, err := s.actingInRows(ctx, q, proofOf(claims), org)
	if err != nil {
		return nil, nil, a.Target, err
	}
	cat, err := s.memory.catalogues.get(ctx, q, edition{builtIn: a.BuiltIn}.with(org, a.Roles).with(a.Org, a.OwnRoles))
	if err != nil {
		return nil, nil, a.Target, err
	}
	held := cat.HeldOf(a.Grants, a.Platform, store.At(s.Now()))
	by := &door.Caller{Standing: a.Standing, Claims: claims, Model: cat.Model, Held: held, Set: narrowed(cat, held.Set(), claims.Scope)}
	return by, cat, a.Target, nil
}

// actingInRows reads a principal with its proof and token, and the organization
// that it changes. One that is not there or not usable is ErrToken.
func (s *Authority) actingInRows(ctx context.Context, q store.Reads, p proof, org string) (a store.Acting, err error) {
	if !p.wellFormed() || p.token == "" {
		return a, answer.ErrToken
	}
	if p.kind == store.KindUser {
		a, err = q.PersonActing(ctx, p.org, p.principal, p.session, p.token, org)
	} else {
		a, err = q.MachineActing(ctx, p.org, p.principal, p.credential, p.token, org)
	}
	if wire.IsNotFound(err) || (err == nil && (a.TokenRevoked || !p.usable(a.Standing, store.At(s.Now())))) {
		err = answer.ErrToken
	}
	return a, err
}

// narrowed is what of a set a token's scope leaves.
func narrowed(cat *Catalogue, set perm.Set, scope string) perm.Set {
	if scope == "" {
		return set
	}
	return set.Intersect(cat.Of(nil, scopeKeys(scope)))
}

// Verify checks a token, and remembers the claims of good ones: the signature
// of the same text is checked once. What changes with time is checked always.
func (s *Authority) Verify(text string, want token.Want) (token.Claims, error) {
	digest := sha256.Sum256([]byte(text))
	if claims, ok := s.memory.tokens.GetIfPresent(digest); ok {
		return claims, want.Check(&claims)
	}
	ring := s.signing.Load()
	claims, err := ring.Verify(text, token.Want{Issuer: want.Issuer, AnyAudience: true, Now: want.Now})
	if err != nil {
		return claims, err
	}
	s.memory.tokens.Set(digest, claims)
	if s.signing.Load() != ring { // keys changed meanwhile: perhaps this one went
		s.memory.tokens.Invalidate(digest)
	}
	return claims, want.Check(&claims)
}

// Allowed tells whether a principal is live and holds a permission now.
func (s *Authority) Allowed(ctx context.Context, org, principal, key string) (bool, error) {
	here, err := s.memory.organization(ctx, org)
	if err != nil {
		return false, err
	}
	v, err := s.memory.principal(ctx, org, principal)
	if err == nil && v.principal.Deleted != 0 {
		err = answer.ErrNotFound
	}
	if err != nil {
		return false, err
	}
	if !here.cat.Known(key) {
		return false, answer.Refuse(answer.ErrUnknownPermission, "permission", wire.Cut(key, 100))
	}
	p := v.principal
	p.Suspended = here.org.Suspended
	return p.Live() && here.cat.Has(v.rightsNow(here.cat, store.At(s.Now())).set, key), nil
}

// Organization is an organization with its catalogue, out of memory.
func (s *Authority) Organization(ctx context.Context, org string) (store.Organization, *Catalogue, error) {
	v, err := s.memory.organization(ctx, org)
	if err != nil {
		return store.Organization{}, nil, err
	}
	return v.org, v.cat, nil
}

// glance is recall of what is remembered now. Nothing is known where something was
// forgotten, or is older than the token.
func (m *memory) glance(p proof) (r recalled, known bool) {
	m.mu.Lock()
	f := m.orgs[p.org]
	m.mu.Unlock()
	if f == nil {
		return r, false
	}
	r.org = f.view.Load()
	principal, known := m.principals.GetIfPresent(ref{p.org, p.principal})
	proven, shown := m.proofs.GetIfPresent(ref{p.org, p.credential + p.session})
	if r.org == nil || !known || !shown || principal.f != f || principal.whole != f.whole.Load() || proven.f != f || proven.whole != f.whole.Load() {
		return r, false
	}
	f.used.Store(int64(m.feed.elapsed()))
	r.view, r.Standing = principal, standingOf(r.org, principal, proven, p)
	return r, p.epoch <= int64(r.Epoch) && p.orgEpoch <= int64(r.OrgEpoch)
}
