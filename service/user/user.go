// Package user implements UserService except for the calls of packages phone
// and password: the users of an organization, one by one, in bulk and in files,
// and how they become active. Outside it, users are written only by session
// (replaced passwords, hash upgrades, sign-in times), role (versions, when grants
// change), phone (numbers), serviceaccount (the epoch, when tokens are revoked)
// and organization (the founder). It must not know how
// users sign in, nor the rules of service accounts.
package user

import (
	"context"
	"strings"
	"unicode"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/authority"
	"github.com/bizmetry/identity/service/change"
	"github.com/bizmetry/identity/service/contact"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/kit"
	"github.com/bizmetry/identity/service/letter"
	"github.com/bizmetry/identity/service/limit"
	"github.com/bizmetry/identity/service/page"
	"github.com/bizmetry/identity/service/password"
	"github.com/bizmetry/identity/service/phone"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/service/wire"
	"github.com/bizmetry/identity/store"
)

// Users implements UserService, but for phones and passwords.
type Users struct {
	kit.Kit

	store        *store.Store
	ring         *secret.KeyRing
	hasher       *secret.Passwords
	door         *door.Door
	authority    *authority.Authority
	limits       *limit.Limits
	changes      *change.Changes
	pages        *page.Pages
	letters      *letter.Letters
	passwords    *password.Passwords
	phones       *phone.Phones
	availability *Availability
}

// Config is what users are made of.
type Config struct {
	kit.Kit
	Store        *store.Store
	Ring         *secret.KeyRing
	Hasher       *secret.Passwords
	Door         *door.Door
	Authority    *authority.Authority
	Limits       *limit.Limits
	Changes      *change.Changes
	Pages        *page.Pages
	Letters      *letter.Letters
	Passwords    *password.Passwords
	Phones       *phone.Phones
	Availability *Availability
}

// New returns the room, and registers its further checks of requests with the door.
func New(cfg Config) *Users {
	s := &Users{
		Kit: cfg.Kit, store: cfg.Store, ring: cfg.Ring, hasher: cfg.Hasher, door: cfg.Door, authority: cfg.Authority, limits: cfg.Limits,
		changes: cfg.Changes, pages: cfg.Pages, letters: cfg.Letters, passwords: cfg.Passwords, phones: cfg.Phones, availability: cfg.Availability,
	}
	s.checkPeople()
	return s
}

// CreateUser adds a person.
func (s *Users) CreateUser(ctx context.Context, req *identityv1.CreateUserRequest) (*identityv1.User, error) {
	resp, err := s.createUser(ctx, req)
	address, _ := contact.ParseEmail(req.GetUser().GetEmail())
	return resp, s.availability.Taken(ctx, err, address.Key, "")
}

func (s *Users) createUser(ctx context.Context, req *identityv1.CreateUserRequest) (*identityv1.User, error) {
	resp := &identityv1.User{}
	if done, err := s.changes.Replay(ctx, s.store.Reads, req, resp); done || err != nil {
		return resp, err
	}
	if err := s.availability.MayLearn(ctx); err != nil {
		return nil, err
	}
	u := s.NewUser(door.CallOf(ctx).Org, req.GetUser())
	add := change.Assignment{Roles: req.GetUser().GetRoleIds(), Keys: req.GetUser().GetPermissionKeys()}
	asked := phone.NewEdit(req.GetUser(), "user.phone")
	if chosen := req.GetUser().GetPassword(); chosen != "" {
		look, err := s.changes.Look(ctx)
		if err != nil {
			return nil, err
		}
		if err := s.GivePassword(ctx, look, &u, add, asked, chosen); err != nil {
			return resp, s.changes.OrReplayed(ctx, req, resp, err)
		}
	}
	err := s.changes.Run(ctx, func(tx *change.Tx) error {
		if done, err := s.changes.Replay(ctx, tx.Reads, req, resp); done || err != nil {
			return err
		}
		if u.Confirmed && !tx.MayConfirm() {
			return answer.ErrConfirmNotAllowed
		}
		if err := tx.MustGrant(add); err != nil {
			return err
		}
		u.Org, u.CreatedBy = tx.Org.ID, tx.By.ID
		number, given, err := s.phones.Edit(ctx, &tx.Decision, tx.TakePhoneProof, "", u, asked)
		if err != nil {
			return err
		}
		if err := Add(ctx, tx, u, add); err != nil {
			return err
		}
		if given {
			if err := s.phones.Write(ctx, tx, &u, number); err != nil {
				return err
			}
		}
		if err := s.letters.InviteIfNeeded(ctx, tx, tx.Org, u); err != nil {
			return err
		}
		resp = newUserAnswer(tx, u, add)
		return tx.Remember(ctx, req, resp)
	})
	return resp, err
}

// NewUser makes the row of a new person out of what was asked for, but for the
// password.
func (s *Users) NewUser(org string, in *identityv1.User) store.User {
	address, _ := contact.ParseEmail(in.GetEmail()) // the door saw that it is one
	now := store.At(s.Now())
	u := store.User{
		Org: org, ID: s.NewID(), Email: address.Text, EmailKey: address.Key, Confirmed: in.GetConfirmed(),
		Enabled: in.Enabled == nil || in.GetEnabled(), Epoch: now, Version: 1, Created: now, Updated: now,
	}
	SetName(&u, in.GetFirstName(), in.GetLastName())
	return u
}

// SetName is the one place where names come in: whatever way their marks were
// typed, they are kept composed (NFC).
func SetName(u *store.User, first, last string) {
	u.FirstName, u.LastName = contact.Line(first), contact.Line(last)
	u.DisplayName = u.FirstName + " " + u.LastName
	u.NameKey = contact.Fold(u.DisplayName)
}

// Add writes a new person with what is assigned, in the organization u.Org.
func Add(ctx context.Context, tx *change.Tx, u store.User, add change.Assignment) error {
	if err := claimEmail(ctx, tx, u); err != nil {
		return err
	}
	if err := tx.AddUser(ctx, u); err != nil {
		return err
	}
	if err := tx.Assign(ctx, u.Org, u.ID, add); err != nil {
		return err
	}
	tx.NoteIn(u.Org, store.EventUserCreated, u.ID, add.Data())
	return nil
}

// claimEmail takes a confirmed address in the whole service; a pending one
// only must not be confirmed elsewhere.
func claimEmail(ctx context.Context, tx *change.Tx, u store.User) error {
	if u.Confirmed {
		return emailTaken(tx.Enlist(ctx, store.Entry{Kind: store.ConfirmedEmail, Key: u.EmailKey, Org: u.Org, ID: u.ID}))
	}
	entry, err := tx.Find(ctx, store.ConfirmedEmail, u.EmailKey)
	if err == nil && entry.ID != u.ID {
		return answer.ErrEmailTaken
	}
	if wire.IsNotFound(err) {
		return nil
	}
	return err
}

// emailTaken names the thing that exists: the only unique keys of a person
// that a caller chooses are addresses.
func emailTaken(err error) error {
	if store.Taken(err) != "" {
		return answer.ErrEmailTaken
	}
	return err
}

// GetUser returns one user, also one who was deleted and can be brought back.
func (s *Users) GetUser(ctx context.Context, req *identityv1.GetUserRequest) (*identityv1.User, error) {
	org := door.CallOf(ctx).Org
	u, err := s.store.UserDeletedAfter(ctx, org, req.GetId(), expired(s.Now()))
	if err != nil {
		return nil, err
	}
	return first(s.answers(ctx, org, u))
}

// Read returns a person of an organization as answers show them.
func (s *Users) Read(ctx context.Context, org, id string) (*identityv1.User, error) {
	u, err := s.store.User(ctx, org, id)
	if err != nil {
		return nil, err
	}
	return first(s.answers(ctx, org, u))
}

// first is the answer about one user.
func first(answers []*identityv1.User, err error) (*identityv1.User, error) {
	if err != nil {
		return nil, err
	}
	return answers[0], nil
}

// answers describes people of one organization as they are remembered.
func (s *Users) answers(ctx context.Context, org string, users ...store.User) ([]*identityv1.User, error) {
	_, cat, err := s.authority.Organization(ctx, org)
	if err != nil {
		return nil, err
	}
	locked, err := s.limits.LockedUntil(ctx, users)
	if err != nil {
		return nil, err
	}
	return s.describe(ctx, s.store.Reads, cat, org, users, locked)
}

// Answer describes a person as the change leaves them.
func (s *Users) Answer(ctx context.Context, tx *change.Tx, u store.User) (*identityv1.User, error) {
	users := []store.User{u}
	locked, err := s.limits.LockedInRows(ctx, tx.Reads, users)
	if err != nil {
		return nil, err
	}
	return first(s.describe(ctx, tx.Reads, tx.Catalogue, u.Org, users, locked))
}

// describe describes people of one organization, with one query for all their
// grants. locked tells until when each is blocked; nil: that is not asked for.
func (s *Users) describe(
	ctx context.Context, q store.Reads, cat *authority.Catalogue, org string, users []store.User, locked []store.Micros,
) ([]*identityv1.User, error) {
	ids := make([]string, len(users))
	for i := range users {
		ids[i] = users[i].ID
	}
	granted, err := cat.DescribeEach(ctx, q, org, store.At(s.Now()), ids...)
	if err != nil {
		return nil, err
	}
	if locked == nil {
		locked = make([]store.Micros, len(users))
	}
	answers := make([]*identityv1.User, len(users))
	for i := range users {
		answers[i] = userProto(&users[i], granted[i], locked[i])
	}
	return answers, nil
}

// newUserAnswer describes a person who was just added with what is assigned.
func newUserAnswer(tx *change.Tx, u store.User, add change.Assignment) *identityv1.User {
	return userProto(&u, tx.Catalogue.Describe(add.Grants(), tx.Now), 0)
}

// ListUsers returns a page of people.
func (s *Users) ListUsers(ctx context.Context, req *identityv1.ListUsersRequest) (*identityv1.ListUsersResponse, error) {
	org := door.CallOf(ctx).Org
	filter, err := s.userFilter(ctx, org, req.GetFilter())
	if err != nil {
		return nil, err
	}
	span, err := s.pages.Open(ctx, req, req.GetOrderBy(), "email")
	if err != nil {
		return nil, err
	}
	found, sum, err := s.store.ListUsers(ctx, org, filter, span, page.MaxCount+1)
	if err != nil {
		return nil, err
	}
	resp := &identityv1.ListUsersResponse{}
	users, next := page.NextShort(ctx, s.pages, req, found, func(u store.User) store.Cursor { return u.Cursor(span.Order) })
	resp.NextPageToken = next
	countUsers(resp, sum, filter, req.GetWithSummary())
	if resp.Users, err = s.answers(ctx, org, users...); err != nil {
		return nil, err
	}
	if n := page.Fit(resp.Users); n < len(users) {
		resp.Users, resp.NextPageToken = resp.Users[:n], s.pages.After(ctx, req, users[n-1].Cursor(span.Order))
	}
	return resp, nil
}

// userFilter reads a filter.
func (s *Users) userFilter(ctx context.Context, org string, in *identityv1.ListUsersRequest_Filter) (f store.UserFilter, err error) {
	f = store.UserFilter{
		Name: contact.Fold(in.GetName()), Email: contact.Fold(in.GetEmail()), RoleID: in.GetRoleId(), Now: store.At(s.Now()),
		State: store.UserState(in.GetState()), DeletedAfter: expired(s.Now()),
	}
	if strings.ContainsFunc(f.Email, unicode.IsSpace) {
		return f, answer.Invalid("filter.email", "email", "must be a part of an e-mail address"+plusIsBlank)
	}
	if in.GetEmailExact() != "" {
		address, ok := contact.ParseEmail(in.GetEmailExact())
		if !ok {
			return f, answer.Invalid("filter.email_exact", "email", "must be an e-mail address"+plusIsBlank)
		}
		f.EmailKey = address.Key
	}
	if f.RoleID == "" {
		return f, nil
	}
	_, cat, err := s.authority.Organization(ctx, org)
	if err != nil {
		return f, err
	}
	if role, ok := cat.RoleByID[f.RoleID]; !ok || !cat.Visible(role, org, door.CallOf(ctx).Caller.Platform) {
		return f, answer.ErrNotFound
	}
	return f, nil
}

// plusIsBlank is what mostly went wrong.
const plusIsBlank = "; in a query + stands for a blank, so write it as %2B"

// countUsers fills in how many match: exactly where the badges know, up to a
// cap otherwise.
func countUsers(resp *identityv1.ListUsersResponse, b store.Tally, f store.UserFilter, summary bool) {
	total := b.UsersActive + b.UsersPending + b.UsersDisabled
	if f.State == store.Deleted {
		total = b.Matched
	}
	if f.Counted() {
		resp.TotalSize = page.Clamp(total)
	} else {
		resp.TotalSize, resp.TotalCapped = page.Capped(total, b.Capped)
	}
	if summary {
		resp.Summary = &identityv1.ListUsersResponse_Summary{
			Total: resp.GetTotalSize(), Active: page.Clamp(b.UsersActive), Pending: page.Clamp(b.UsersPending), Disabled: page.Clamp(b.UsersDisabled),
			Capped: resp.GetTotalCapped(),
		}
	}
}

func stateOf(u *store.User) identityv1.User_State {
	switch {
	case u.Deleted != 0:
		return identityv1.User_DELETED
	case !u.Enabled:
		return identityv1.User_DISABLED
	case !u.Confirmed:
		return identityv1.User_PENDING
	}
	return identityv1.User_ACTIVE
}

func userProto(u *store.User, g authority.Granted, lockedUntil store.Micros) *identityv1.User {
	var masked *string
	if u.PhoneMasked != "" {
		masked = &u.PhoneMasked
	}
	return &identityv1.User{
		Id: u.ID, OrganizationId: u.Org, Email: &u.Email, FirstName: &u.FirstName, LastName: &u.LastName,
		DisplayName: u.DisplayName, Confirmed: &u.Confirmed, Enabled: &u.Enabled, State: stateOf(u),
		Phone: masked, PhoneVerified: u.PhoneVerified,
		Roles: g.Roles, Permissions: g.Permissions, RoleIds: g.RoleIDs, PermissionKeys: g.Keys,
		LockedUntil: wire.Stamp(lockedUntil), CreateTime: wire.Stamp(u.Created), UpdateTime: wire.Stamp(u.Updated), CreatedBy: u.CreatedBy,
		LastSignInTime: wire.Stamp(u.LastSignIn), DeleteTime: wire.Stamp(u.Deleted), Etag: wire.Etag(u.Version),
	}
}
