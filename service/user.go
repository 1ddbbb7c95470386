package service

import (
	"context"
	"strings"

	"golang.org/x/text/unicode/norm"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/store"
)

// CreateUser adds a person.
func (s *Service) CreateUser(ctx context.Context, req *identityv1.CreateUserRequest) (*identityv1.User, error) {
	resp := &identityv1.User{}
	if done, err := s.replay(ctx, s.store.Reads, req, resp); done || err != nil {
		return resp, err
	}
	if err := s.mayLearn(ctx); err != nil {
		return nil, err
	}
	u := s.newUser(callOf(ctx).org, req.GetUser())
	add := assignment{roles: req.GetUser().GetRoleIds(), keys: req.GetUser().GetPermissionKeys()}
	phone := newPhone(req.GetUser(), "user.phone")
	if password := req.GetUser().GetPassword(); password != "" {
		look, err := s.look(ctx)
		if err != nil {
			return nil, err
		}
		if err := s.givePassword(ctx, look, &u, add, phone, password); err != nil {
			return resp, s.orReplayed(ctx, req, resp, err)
		}
	}
	err := s.change(ctx, func(ch *change) error {
		if done, err := s.replay(ctx, ch.Reads, req, resp); done || err != nil {
			return err
		}
		if u.Confirmed && !ch.mayConfirm() {
			return errConfirmNotAllowed
		}
		if err := ch.mustGrant(add); err != nil {
			return err
		}
		u.Org, u.CreatedBy = ch.org.ID, ch.by.ID
		number, given, err := s.editPhone(ctx, &ch.decision, ch.TakePhoneProof, "", u, phone)
		if err != nil {
			return err
		}
		if err := ch.addUser(ctx, u, add); err != nil {
			return err
		}
		if given {
			if err := ch.writePhone(ctx, &u, number); err != nil {
				return err
			}
		}
		if err := ch.inviteUnlessConfirmed(ctx, ch.org, u); err != nil {
			return err
		}
		resp = ch.newUserAnswer(u, add)
		return ch.remember(ctx, req, resp)
	})
	return resp, err
}

// newUser makes the row of a new person out of what was asked for, but for the
// password.
func (s *Service) newUser(org string, in *identityv1.User) store.User {
	address, _ := parseEmail(in.GetEmail()) // the door saw that it is one
	now := store.At(s.now())
	u := store.User{
		Org: org, ID: s.newID(), Email: address.text, EmailKey: address.key, Confirmed: in.GetConfirmed(), Enabled: true,
		Epoch: now, Version: 1, Created: now, Updated: now,
	}
	setName(&u, in.GetFirstName(), in.GetLastName())
	return u
}

// setName is the one place where names come in: whatever way their marks were
// typed, they are kept composed (NFC).
func setName(u *store.User, first, last string) {
	u.FirstName, u.LastName = norm.NFC.String(strings.TrimSpace(first)), norm.NFC.String(strings.TrimSpace(last))
	u.DisplayName = u.FirstName + " " + u.LastName
	u.NameKey = fold(u.DisplayName)
}

// addUser writes a new person with what is assigned, in the organization u.Org.
func (ch *change) addUser(ctx context.Context, u store.User, add assignment) error {
	if err := ch.claimEmail(ctx, u); err != nil {
		return err
	}
	if err := ch.AddUser(ctx, u); err != nil {
		return err
	}
	if err := ch.putGrants(ctx, u.Org, u.ID, add); err != nil {
		return err
	}
	ch.recordIn(u.Org, "user.created", u.ID, add.data())
	return nil
}

// claimEmail takes a confirmed address in the whole service; a pending one
// only must not be confirmed elsewhere.
func (ch *change) claimEmail(ctx context.Context, u store.User) error {
	if u.Confirmed {
		return emailTaken(ch.Enlist(ctx, store.Entry{Kind: store.ConfirmedEmail, Key: u.EmailKey, Org: u.Org, ID: u.ID}))
	}
	entry, err := ch.Find(ctx, store.ConfirmedEmail, u.EmailKey)
	if err == nil && entry.ID != u.ID {
		return errEmailTaken
	}
	if isNotFound(err) {
		return nil
	}
	return err
}

// emailTaken names the thing that exists: the only unique keys of a person
// that a caller chooses are addresses.
func emailTaken(err error) error {
	if store.Taken(err) != "" {
		return errEmailTaken
	}
	return err
}

// GetUser returns one person.
func (s *Service) GetUser(ctx context.Context, req *identityv1.GetUserRequest) (*identityv1.User, error) {
	org := callOf(ctx).org
	u, err := s.store.User(ctx, org, req.GetId())
	if err != nil {
		return nil, err
	}
	answers, err := s.userAnswers(ctx, s.store.Reads, nil, org, u)
	if err != nil {
		return nil, err
	}
	return answers[0], nil
}

// userAnswers describes people of one organization, with one query for all
// their grants. A change hands in its own catalogue.
func (s *Service) userAnswers(ctx context.Context, q store.Reads, cat *catalogue, org string, users ...store.User) ([]*identityv1.User, error) {
	ids := make([]string, len(users))
	for i := range users {
		ids[i] = users[i].ID
	}
	locked, err := s.lockedUntil(ctx, q, users, cat != nil)
	if err != nil {
		return nil, err
	}
	if cat == nil {
		if _, cat, err = s.organization(ctx, org); err != nil {
			return nil, err
		}
	}
	grants, err := q.Grants(ctx, org, ids...)
	if err != nil {
		return nil, err
	}
	of, now := byPrincipal(grants), store.At(s.now())
	answers := make([]*identityv1.User, len(users))
	for i := range users {
		answers[i] = userProto(&users[i], cat.describe(of[users[i].ID], now), locked[i])
	}
	return answers, nil
}

// userAnswer describes a person as the change leaves them.
func (ch *change) userAnswer(ctx context.Context, u store.User) (*identityv1.User, error) {
	answers, err := ch.s.userAnswers(ctx, ch.Reads, ch.cat, u.Org, u)
	if err != nil {
		return nil, err
	}
	return answers[0], nil
}

// newUserAnswer describes a person who was just added with what is assigned.
func (ch *change) newUserAnswer(u store.User, add assignment) *identityv1.User {
	return userProto(&u, ch.cat.describe(add.grants(), ch.now), 0)
}

// ListUsers returns a page of people.
func (s *Service) ListUsers(ctx context.Context, req *identityv1.ListUsersRequest) (*identityv1.ListUsersResponse, error) {
	org := callOf(ctx).org
	filter, none, err := s.userFilter(ctx, org, req.GetFilter())
	if err != nil {
		return nil, err
	}
	page, err := s.openPage(ctx, req, req.GetOrderBy(), "email")
	if err != nil {
		return nil, err
	}
	if none {
		resp := &identityv1.ListUsersResponse{}
		if req.GetWithSummary() {
			resp.Summary = &identityv1.ListUsersResponse_Summary{}
		}
		return resp, nil
	}
	users, badges, err := s.store.ListUsers(ctx, org, filter, page, maxCount+1)
	if err != nil {
		return nil, err
	}
	resp := &identityv1.ListUsersResponse{}
	users, resp.NextPageToken = nextPage(ctx, s, req, users, func(u store.User) store.Cursor { return u.Cursor(page.Order) })
	countUsers(resp, badges, filter.Counted(), req.GetWithSummary())
	resp.Users, err = s.userAnswers(ctx, s.store.Reads, nil, org, users...)
	return resp, err
}

// userFilter reads a filter. none means that nobody can match.
func (s *Service) userFilter(ctx context.Context, org string, in *identityv1.ListUsersRequest_Filter) (f store.UserFilter, none bool, err error) {
	f = store.UserFilter{
		Name: fold(in.GetName()), Email: fold(in.GetEmail()), RoleID: in.GetRoleId(), Now: store.At(s.now()),
		State: store.UserState(in.GetState()),
	}
	if in.GetEmailExact() != "" {
		address, ok := parseEmail(in.GetEmailExact())
		if !ok {
			return f, true, nil
		}
		f.EmailKey = address.key
	}
	if f.RoleID != "" {
		_, cat, err := s.organization(ctx, org)
		if err != nil {
			return f, false, err
		}
		if role, ok := cat.role[f.RoleID]; !ok || !cat.visible(role, org, true) {
			return f, false, errNotFound
		}
	}
	return f, false, nil
}

// countUsers fills in how many match: exactly where the badges know, up to a
// cap otherwise.
func countUsers(resp *identityv1.ListUsersResponse, b store.Badges, exactly, summary bool) {
	total := b.UsersActive + b.UsersPending + b.UsersDisabled
	if exactly {
		resp.TotalSize = clamp(total)
	} else {
		resp.TotalSize, resp.TotalCapped = capped(total)
	}
	if summary {
		resp.Summary = &identityv1.ListUsersResponse_Summary{
			Total: resp.GetTotalSize(), Active: clamp(b.UsersActive), Pending: clamp(b.UsersPending), Disabled: clamp(b.UsersDisabled),
			Capped: resp.GetTotalCapped(),
		}
	}
}

func stateOf(u *store.User) identityv1.User_State {
	switch {
	case !u.Enabled:
		return identityv1.User_DISABLED
	case !u.Confirmed:
		return identityv1.User_PENDING
	}
	return identityv1.User_ACTIVE
}

func userProto(u *store.User, g granted, lockedUntil store.Micros) *identityv1.User {
	var phone *string
	if u.PhoneMasked != "" {
		phone = &u.PhoneMasked
	}
	return &identityv1.User{
		Id: u.ID, OrganizationId: u.Org, Email: &u.Email, FirstName: &u.FirstName, LastName: &u.LastName,
		DisplayName: u.DisplayName, Confirmed: &u.Confirmed, Enabled: u.Enabled, State: stateOf(u),
		Phone: phone, PhoneVerified: u.PhoneVerified,
		Roles: g.roles, Permissions: g.permissions, RoleIds: g.roleIDs, PermissionKeys: g.keys,
		LockedUntil: stamp(lockedUntil), CreateTime: stamp(u.Created), UpdateTime: stamp(u.Updated), CreatedBy: u.CreatedBy,
		LastSignInTime: stamp(u.LastSignIn), DeleteTime: stamp(u.Deleted), Etag: etagOf(u.Version),
	}
}
