// Package organization implements OrganizationService, and founds the platform
// organization in an empty database.
// It must not know sessions or service accounts.
package organization

import (
	"context"
	"slices"
	"strings"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/change"
	"github.com/bizmetry/identity/service/contact"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/kit"
	"github.com/bizmetry/identity/service/letter"
	"github.com/bizmetry/identity/service/phone"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/service/user"
	"github.com/bizmetry/identity/service/wire"
	"github.com/bizmetry/identity/store"
)

// Organizations implements OrganizationService.
type Organizations struct {
	identityv1.UnsafeOrganizationServiceServer
	kit.Kit

	store   *store.Store
	door    *door.Door
	changes *change.Changes
	letters *letter.Letters
	phones  *phone.Phones
	users   *user.Users

	availability *user.Availability
}

// New returns the implementation of OrganizationService.
func New(k kit.Kit, st *store.Store, d *door.Door, changes *change.Changes, letters *letter.Letters, phones *phone.Phones, users *user.Users, availability *user.Availability) *Organizations {
	return &Organizations{Kit: k, store: st, door: d, changes: changes, letters: letters, phones: phones, users: users, availability: availability}
}

// Ids of the built-in roles that the rules themselves assign.
const (
	superUser        = "00000000-0000-7000-8000-000000000001"
	platformOperator = "00000000-0000-7000-8000-000000000012"
)

// CreateOrganization adds an organization with its first administrator.
func (s *Organizations) CreateOrganization(ctx context.Context, req *identityv1.CreateOrganizationRequest) (*identityv1.CreateOrganizationResponse, error) {
	resp, err := s.createOrganization(ctx, req)
	address, _ := contact.ParseEmail(req.GetAdministrator().GetEmail())
	return resp, s.availability.Taken(ctx, err, address.Key, "")
}

func (s *Organizations) createOrganization(ctx context.Context, req *identityv1.CreateOrganizationRequest) (*identityv1.CreateOrganizationResponse, error) {
	resp := &identityv1.CreateOrganizationResponse{}
	if done, err := s.changes.Replay(ctx, s.store.Reads, req, resp); done || err != nil {
		return resp, err
	}
	if err := s.availability.MayLearn(ctx); err != nil {
		return nil, err
	}
	now := store.At(s.Now())
	in := req.GetOrganization()
	org := store.Organization{
		ID: s.NewID(), DisplayName: in.GetDisplayName(), PasswordPolicy: policyOf(in.GetPasswordPolicy()),
		ChangeInitialPassword: in.ChangeInitialPassword == nil || in.GetChangeInitialPassword(),
		Epoch:                 now, Version: 1, Created: now, Updated: now,
	}
	u := s.users.NewUser(org.ID, req.GetAdministrator())
	if err := s.founderPassword(ctx, org, &u, req.GetAdministrator()); err != nil {
		return resp, s.changes.OrReplayed(ctx, req, resp, err)
	}
	err := s.changes.Run(ctx, func(tx *change.Tx) error {
		if done, err := s.changes.Replay(ctx, tx.Reads, req, resp); done || err != nil {
			return err
		}
		if u.Confirmed && !tx.MayConfirm() {
			return answer.ErrConfirmNotAllowed
		}
		org.CreatedBy, u.CreatedBy = tx.By.ID, tx.By.ID
		if err := s.found(ctx, tx, org, u, req.GetAdministrator()); err != nil {
			return err
		}
		resp.Organization = organizationProto(org)
		var err error
		if resp.Administrator, err = s.users.Answer(ctx, tx, u); err != nil {
			return err
		}
		return tx.Remember(ctx, req, resp)
	})
	return resp, err
}

// found writes the organization and its administrator. Super User is exempt
// from the hold rule there; what is asked for besides is not.
func (s *Organizations) found(ctx context.Context, tx *change.Tx, org store.Organization, u store.User, in *identityv1.User) error {
	if err := tx.AddOrganization(ctx, org); err != nil {
		return err
	}
	here := *tx
	here.Org = org
	if _, _, err := s.phones.Edit(ctx, &here.Decision, here.TakePhoneProof, "", u, phone.NewEdit(in, "administrator.phone")); err != nil { // no proof can be of it yet
		return err
	}
	extra := besidesSuperUser(in)
	if err := here.MustGrant(extra); err != nil {
		return err
	}
	tx.NoteIn(org.ID, store.EventOrganizationCreated, org.ID, nil)
	extra.Roles = append(extra.Roles, superUser)
	if err := user.Add(ctx, &here, u, extra); err != nil {
		return err
	}
	return s.letters.InviteIfNeeded(ctx, &here, org, u)
}

// founderPassword hashes the password that the first administrator gets, if any.
func (s *Organizations) founderPassword(ctx context.Context, org store.Organization, u *store.User, in *identityv1.User) error {
	if in.GetPassword() == "" {
		return nil
	}
	look, err := s.changes.Look(ctx)
	if err != nil {
		return err
	}
	look.Org = org
	return s.users.GivePassword(ctx, look, u, besidesSuperUser(in), phone.NewEdit(in, "administrator.phone"), in.GetPassword())
}

// besidesSuperUser is what the first administrator of an organization is to have besides that role.
func besidesSuperUser(in *identityv1.User) change.Assignment {
	return change.Assignment{
		Roles: slices.DeleteFunc(slices.Clone(in.GetRoleIds()), func(id string) bool { return id == superUser }),
		Keys:  in.GetPermissionKeys(),
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
func (s *Organizations) GetOrganization(ctx context.Context, req *identityv1.GetOrganizationRequest) (*identityv1.Organization, error) {
	c := door.CallOf(ctx)
	id := req.GetId()
	if id == "-" {
		id = c.Caller.Org
	}
	if !c.Method.Opens(c.Caller, id) {
		return nil, answer.ErrNotFound
	}
	o, err := s.store.Organization(ctx, id)
	if err != nil {
		return nil, err
	}
	return organizationProto(o), nil
}

// UpdateOrganization changes the fields of the mask together or not at all.
func (s *Organizations) UpdateOrganization(ctx context.Context, req *identityv1.UpdateOrganizationRequest) (*identityv1.Organization, error) {
	if err := s.door.EnterNamed(ctx, req.GetOrganization().GetId()); err != nil {
		return nil, err
	}
	var resp *identityv1.Organization
	err := s.changes.Run(ctx, func(tx *change.Tx) error {
		if err := change.CheckEtag(req.GetOrganization().GetEtag(), tx.Org.Version); err != nil {
			return err
		}
		changed, err := editOrganization(&tx.Org, req)
		if err != nil {
			return err
		}
		if len(changed) > 0 {
			tx.Org.Version, tx.Org.Updated = tx.Org.Version+1, tx.Now
			if err := tx.SaveOrganization(ctx, tx.Org); err != nil {
				return err
			}
			tx.Note(store.EventOrganizationUpdated, tx.Org.ID, store.Data{"fields": strings.Join(changed, ",")})
		}
		resp = organizationProto(tx.Org)
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
				return nil, answer.Invalid("organization.password_policy", "required", "value is required")
			}
			o.PasswordPolicy = policyOf(in.GetPasswordPolicy())
		case "change_initial_password":
			if in.ChangeInitialPassword == nil {
				return nil, answer.Invalid("organization.change_initial_password", "required", "value is required")
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
		CreateTime: wire.Stamp(o.Created), UpdateTime: wire.Stamp(o.Updated), CreatedBy: o.CreatedBy, Etag: wire.Etag(o.Version),
	}
}
