package service

import (
	"cmp"
	"context"
	"errors"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/token"
)

// Authorize tells whether the bearer of a token may do something to a thing
// of the organization that the call is about.
func (s *Service) Authorize(ctx context.Context, req *identityv1.AuthorizeRequest) (*identityv1.AuthorizeResponse, error) {
	c := callOf(ctx)
	org, cat, err := s.organization(ctx, c.org)
	if err != nil {
		return nil, err
	}
	if !cat.Known(req.GetPermission()) {
		return nil, refuse(errUnknownPermission, "permission", cut(req.GetPermission(), 100))
	}
	denied := &identityv1.AuthorizeResponse{}
	want := token.Want{Issuer: s.issuer, Audience: req.GetAudience(), AnyAudience: req.GetAudience() == "", Now: s.now()}
	claims, err := s.verify(req.GetAccessToken(), want)
	if err != nil {
		return denied, nil //nolint:nilerr // a token that is not valid is an answer here
	}
	bearer, err := s.recallCaller(ctx, claims)
	if errors.Is(err, errToken) {
		return denied, nil
	}
	if err != nil {
		return nil, err
	}
	local := bearer.Org == c.org
	if bearer.Org != c.caller.Org && !local && !c.method.across(c.caller) {
		return denied, nil // whose token it is, is none of this caller's business
	}
	return &identityv1.AuthorizeResponse{
		Allowed:     !org.Suspended && bearer.has(req.GetPermission()) && (local || bearer.has(actInOrganizations)),
		PrincipalId: bearer.ID, PrincipalType: bearer.Kind, PrincipalOrganizationId: bearer.Org,
	}, nil
}

// BatchCheckPermissions answers many questions about principals at once.
func (s *Service) BatchCheckPermissions(ctx context.Context, req *identityv1.BatchCheckPermissionsRequest) (*identityv1.BatchCheckPermissionsResponse, error) {
	c := callOf(ctx)
	for _, q := range req.GetChecks() {
		about := q.GetPrincipalId()
		if about != "" && about != c.caller.ID && !c.caller.has(c.method.needs()) && !c.method.across(c.caller) {
			return nil, c.denied()
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
func (s *Service) CheckPermission(ctx context.Context, req *identityv1.CheckPermissionRequest) (*identityv1.CheckPermissionResponse, error) {
	allowed, err := s.checkOne(ctx, req.GetPrincipalId(), req.GetPermission())
	if err != nil {
		return nil, err
	}
	return &identityv1.CheckPermissionResponse{Allowed: allowed}, nil
}

func (s *Service) checkOne(ctx context.Context, id, key string) (bool, error) {
	c := callOf(ctx)
	return s.allowed(ctx, c.org, cmp.Or(id, c.caller.ID), key)
}
