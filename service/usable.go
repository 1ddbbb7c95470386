package service

import (
	"context"

	"github.com/bizmetry/identity/service/token"
	"github.com/bizmetry/identity/store"
)

// proof names a principal and what it proves itself with.
type proof struct {
	org, principal, kind string
	credential, session  string
	// Epochs that a token was issued in; 0 where a token is only being minted.
	epoch, orgEpoch int64
}

func proofOf(c token.Claims) proof {
	return proof{
		org: c.Organization, principal: c.Subject, kind: c.PrincipalType,
		credential: c.Credential, session: c.Session, epoch: c.Epoch, orgEpoch: c.OrganizationEpoch,
	}
}

// usable tells whether a principal may act now with this proof. Every path
// that accepts a credential or mints a token asks it. Anything that is missing,
// disabled, expired, ended or of another epoch is errToken.
func (s *Service) usable(ctx context.Context, q store.Reads, p proof) (store.Standing, error) {
	if !isID(p.org) || !isID(p.principal) || !isID(p.credential+p.session) {
		return store.Standing{}, errToken
	}
	var standing store.Standing
	var err error
	switch p.kind {
	case store.KindUser:
		standing, err = q.PersonStanding(ctx, p.org, p.principal, p.session)
	case store.KindServiceAccount:
		standing, err = q.MachineStanding(ctx, p.org, p.principal, p.credential)
	default:
		return store.Standing{}, errToken
	}
	switch {
	case isNotFound(err):
		return store.Standing{}, errToken
	case err != nil:
		return store.Standing{}, err
	case !standing.Live(), !standing.ProofLive, ended(standing.ProofEnd, store.At(s.now())):
		return store.Standing{}, errToken
	case p.epoch != 0 && p.epoch != int64(standing.Epoch), p.orgEpoch != 0 && p.orgEpoch != int64(standing.OrgEpoch):
		return store.Standing{}, errToken
	}
	return standing, nil
}

// ended tells whether a time that means an end, with 0 for never, has come.
func ended(end, now store.Micros) bool { return end != 0 && end <= now }

// verifyCaller makes of a bearer token the caller with its present rights.
func (s *Service) verifyCaller(ctx context.Context, text string) (*caller, error) {
	claims, err := s.signing.Load().Verify(text, token.Want{Issuer: s.issuer, Audience: s.issuer, Now: s.now()})
	if err != nil {
		return nil, errToken
	}
	return s.readCaller(ctx, s.store.Reads, claims, nil)
}

// readCaller reads a caller's standing and rights from rows: from the pool
// when a call begins, and again inside the transaction of a change. The
// catalogue is read along where it is not given.
func (s *Service) readCaller(ctx context.Context, q store.Reads, claims token.Claims, cat *catalogue) (*caller, error) {
	if claims.Epoch == 0 || claims.OrganizationEpoch == 0 {
		return nil, errToken
	}
	standing, err := s.usable(ctx, q, proofOf(claims))
	if err != nil {
		return nil, err
	}
	if cat == nil {
		if cat, err = readCatalogue(ctx, q, standing.Org); err != nil {
			return nil, err
		}
	}
	held, err := s.heldBy(ctx, q, cat, standing.Principal)
	if err != nil {
		return nil, err
	}
	c := &caller{Standing: standing, claims: claims, model: cat.Model, held: held, set: held.Set()}
	if claims.Scope != "" {
		c.set = c.set.Intersect(cat.Of(nil, scopeKeys(claims.Scope)))
	}
	return c, nil
}
