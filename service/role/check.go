package role

import (
	"cmp"
	"context"
	"errors"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/perm"
	"github.com/bizmetry/identity/service/token"
	"github.com/bizmetry/identity/service/wire"
)

// Authorize tells whether the bearer of a token may do something to a thing
// of the organization that the call is about.
func (s *Roles) Authorize(ctx context.Context, req *identityv1.AuthorizeRequest) (*identityv1.AuthorizeResponse, error) {
	c := door.CallOf(ctx)
	org, cat, err := s.authority.Organization(ctx, c.Org)
	if err != nil {
		return nil, err
	}
	if !cat.Known(req.GetPermission()) {
		return nil, answer.Refuse(answer.ErrUnknownPermission, "permission", wire.Cut(req.GetPermission(), 100))
	}
	denied := &identityv1.AuthorizeResponse{}
	want := token.Want{Issuer: s.authority.Issuer(), Audience: req.GetAudience(), AnyAudience: req.GetAudience() == "", Now: s.Now()}
	if token.SameAudience(want.Audience, want.Issuer) {
		want.Audience = want.Issuer
	}
	claims, err := s.authority.Verify(req.GetAccessToken(), want)
	if err != nil {
		return denied, nil //nolint:nilerr // a token that is not valid is an answer here
	}
	bearer, err := s.authority.RecallCaller(ctx, claims)
	if errors.Is(err, answer.ErrToken) {
		return denied, nil
	}
	if err != nil {
		return nil, err
	}
	local := bearer.Org == c.Org
	if bearer.Org != c.Caller.Org && !local && !c.Method.Across(c.Caller) {
		return denied, nil // whose token it is, is none of this caller's business
	}
	return &identityv1.AuthorizeResponse{
		Allowed:     !org.Suspended && bearer.Has(req.GetPermission()) && (local || bearer.Has(perm.SystemOrganizationsAct)),
		PrincipalId: bearer.ID, PrincipalType: bearer.Kind, PrincipalOrganizationId: bearer.Org,
	}, nil
}

// BatchCheckPermissions answers many questions about principals at once.
func (s *Roles) BatchCheckPermissions(ctx context.Context, req *identityv1.BatchCheckPermissionsRequest) (*identityv1.BatchCheckPermissionsResponse, error) {
	c := door.CallOf(ctx)
	for _, q := range req.GetChecks() {
		about := q.GetPrincipalId()
		if about != "" && about != c.Caller.ID && !c.Caller.Has(c.Method.Needs()) && !c.Method.Across(c.Caller) {
			return nil, c.Denied()
		}
	}
	resp := &identityv1.BatchCheckPermissionsResponse{Allowed: make([]bool, len(req.GetChecks()))}
	for i, q := range req.GetChecks() {
		var err error
		if resp.Allowed[i], err = s.checkOne(ctx, q.GetPrincipalId(), q.GetPermission()); err != nil {
			return nil, err
		}
	}
	return resp, nil
}

// CheckPermission tells whether a principal may do something now.
func (s *Roles) CheckPermission(ctx context.Context, req *identityv1.CheckPermissionRequest) (*identityv1.CheckPermissionResponse, error) {
	allowed, err := s.checkOne(ctx, req.GetPrincipalId(), req.GetPermission())
	if err != nil {
		return nil, err
	}
	return &identityv1.CheckPermissionResponse{Allowed: allowed}, nil
}

func (s *Roles) checkOne(ctx context.Context, id, key string) (bool, error) {
	c := door.CallOf(ctx)
	return s.authority.Allowed(ctx, c.Org, cmp.Or(id, c.Caller.ID), key)
}
