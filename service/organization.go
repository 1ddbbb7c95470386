package service

import (
	"context"
	"slices"
	"strings"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/store"
)

// Ids of the built-in roles that the rules themselves assign.
const (
	superUser        = "00000000-0000-7000-8000-000000000001"
	platformOperator = "00000000-0000-7000-8000-000000000012"
)

// CreateOrganization adds an organization with its first administrator.
func (s *Service) CreateOrganization(ctx context.Context, req *identityv1.CreateOrganizationRequest) (*identityv1.CreateOrganizationResponse, error) {
	resp := &identityv1.CreateOrganizationResponse{}
	if done, err := s.replay(ctx, s.store.Reads, req, resp); done || err != nil {
		return resp, err
	}
	now := store.At(s.now())
	in := req.GetOrganization()
	org := store.Organization{
		ID: s.newID(), DisplayName: in.GetDisplayName(), PasswordPolicy: policyOf(in.GetPasswordPolicy()),
		ChangeInitialPassword: in.ChangeInitialPassword == nil || in.GetChangeInitialPassword(),
		Epoch:                 now, Version: 1, Created: now, Updated: now,
	}
	u := s.newUser(org.ID, req.GetAdministrator())
	if err := s.founderPassword(ctx, org, &u, req.GetAdministrator()); err != nil {
		return resp, s.orReplayed(ctx, req, resp, err)
	}
	err := s.change(ctx, func(ch *change) error {
		if done, err := s.replay(ctx, ch.Reads, req, resp); done || err != nil {
			return err
		}
		if u.Confirmed && !ch.mayConfirm() {
			return errConfirmNotAllowed
		}
		org.CreatedBy, u.CreatedBy = ch.by.ID, ch.by.ID
		if err := ch.found(ctx, org, u, req.GetAdministrator()); err != nil {
			return err
		}
		resp.Organization = organizationProto(org)
		var err error
		if resp.Administrator, err = ch.userAnswer(ctx, u); err != nil {
			return err
		}
		return ch.remember(ctx, req, resp)
	})
	return resp, err
}

// found writes the organization and its administrator. Super User is exempt
// from the hold rule there; what is asked for besides is not.
func (ch *change) found(ctx context.Context, org store.Organization, u store.User, in *identityv1.User) error {
	if err := ch.AddOrganization(ctx, org); err != nil {
		return err
	}
	here := *ch
	here.org = org
	if _, _, err := ch.s.editPhone(ctx, &here.decision, here.TakePhoneProof, "", u, newPhone(in, "administrator.phone")); err != nil { // no proof can be of it yet
		return err
	}
	extra := besidesSuperUser(in)
	if err := here.mustGrant(extra); err != nil {
		return err
	}
	ch.recordIn(org.ID, "organization.created", org.ID, nil)
	extra.roles = append(extra.roles, superUser)
	if err := here.addUser(ctx, u, extra); err != nil {
		return err
	}
	return here.inviteUnlessConfirmed(ctx, org, u)
}

// founderPassword hashes the password that the first administrator gets, if any.
func (s *Service) founderPassword(ctx context.Context, org store.Organization, u *store.User, in *identityv1.User) error {
	if in.GetPassword() == "" {
		return nil
	}
	look, err := s.look(ctx)
	if err != nil {
		return err
	}
	look.org = org
	return s.givePassword(ctx, look, u, besidesSuperUser(in), newPhone(in, "administrator.phone"), in.GetPassword())
}

// besidesSuperUser is what the first administrator of an organization is to have besides that role.
func besidesSuperUser(in *identityv1.User) assignment {
	return assignment{
		roles: slices.DeleteFunc(slices.Clone(in.GetRoleIds()), func(id string) bool { return id == superUser }),
		keys:  in.GetPermissionKeys(),
	}
}

// policyOf is the name of a policy in rows; what is not specified is STANDARD.
func policyOf(p identityv1.Organization_PasswordPolicy) string {
	if p == identityv1.Organization_NIST {
		return secret.NIST
	}
	return secret.Standard
}

// GetOrganization returns an organization: one's own with the platform
// permission, any with the system one.
func (s *Service) GetOrganization(ctx context.Context, req *identityv1.GetOrganizationRequest) (*identityv1.Organization, error) {
	c := callOf(ctx)
	id := req.GetId()
	if id == "-" {
		id = c.caller.Org
	}
	if !c.method.opens(c.caller, id) {
		return nil, errNotFound
	}
	o, err := s.store.Organization(ctx, id)
	if err != nil {
		return nil, err
	}
	return organizationProto(o), nil
}

// UpdateOrganization changes the fields of the mask together or not at all.
func (s *Service) UpdateOrganization(ctx context.Context, req *identityv1.UpdateOrganizationRequest) (*identityv1.Organization, error) {
	if err := s.enterNamed(ctx, req.GetOrganization().GetId()); err != nil {
		return nil, err
	}
	var resp *identityv1.Organization
	err := s.change(ctx, func(ch *change) error {
		if err := checkEtag(req.GetOrganization().GetEtag(), ch.org.Version); err != nil {
			return err
		}
		changed, err := editOrganization(&ch.org, req)
		if err != nil {
			return err
		}
		if len(changed) > 0 {
			ch.org.Version, ch.org.Updated = ch.org.Version+1, ch.now
			if err := ch.SaveOrganization(ctx, ch.org); err != nil {
				return err
			}
			ch.record("organization.updated", ch.org.ID, store.Data{"fields": strings.Join(changed, ",")})
		}
		resp = organizationProto(ch.org)
		return nil
	})
	return resp, err
}

// editOrganization applies the fields of the mask, and names those that changed.
func editOrganization(o *store.Organization, req *identityv1.UpdateOrganizationRequest) (changed []string, err error) {
	in := req.GetOrganization()
	for _, path := range req.GetUpdateMask().GetPaths() {
		former := *o
		switch path {
		case "display_name":
			o.DisplayName = in.GetDisplayName()
		case "password_policy":
			if in.GetPasswordPolicy() == identityv1.Organization_PASSWORD_POLICY_UNSPECIFIED {
				return nil, invalid("organization.password_policy", "required", "value is required")
			}
			o.PasswordPolicy = policyOf(in.GetPasswordPolicy())
		case "change_initial_password":
			if in.ChangeInitialPassword == nil {
				return nil, invalid("organization.change_initial_password", "required", "value is required")
			}
			o.ChangeInitialPassword = in.GetChangeInitialPassword()
		}
		if *o != former {
			changed = append(changed, path)
		}
	}
	return changed, nil
}

func organizationProto(o store.Organization) *identityv1.Organization {
	state := identityv1.Organization_ACTIVE
	if o.Suspended {
		state = identityv1.Organization_SUSPENDED
	}
	policy := identityv1.Organization_STANDARD
	if o.PasswordPolicy == secret.NIST {
		policy = identityv1.Organization_NIST
	}
	return &identityv1.Organization{
		PasswordPolicy: policy, ChangeInitialPassword: &o.ChangeInitialPassword,
		Id: o.ID, DisplayName: &o.DisplayName, Platform: o.Platform, State: state,
		CreateTime: stamp(o.Created), UpdateTime: stamp(o.Updated), CreatedBy: o.CreatedBy, Etag: etagOf(o.Version),
	}
}
