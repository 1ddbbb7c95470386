// Package serviceaccount implements ServiceAccountService and the rules of the
// OAuth 2.0 endpoints: service accounts, their credentials, and the tokens that
// are issued for them, introspected and revoked.
// It must not know the rules of users.
package serviceaccount

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/authority"
	"github.com/bizmetry/identity/service/change"
	"github.com/bizmetry/identity/service/contact"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/kit"
	"github.com/bizmetry/identity/service/limit"
	"github.com/bizmetry/identity/service/page"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/service/token"
	"github.com/bizmetry/identity/service/wire"
	"github.com/bizmetry/identity/store"
)

// Accounts implements ServiceAccountService, and the OAuth 2.0 endpoints.
type Accounts struct {
	identityv1.UnsafeServiceAccountServiceServer
	kit.Kit

	store     *store.Store
	ring      *secret.KeyRing
	door      *door.Door
	authority *authority.Authority
	limits    *limit.Limits
	changes   *change.Changes
	pages     *page.Pages
}

// New returns the implementation of ServiceAccountService.
func New(k kit.Kit, st *store.Store, ring *secret.KeyRing, d *door.Door, a *authority.Authority, limits *limit.Limits, changes *change.Changes, pages *page.Pages) *Accounts {
	s := &Accounts{Kit: k, store: st, ring: ring, door: d, authority: a, limits: limits, changes: changes, pages: pages}
	s.checkAccounts()
	return s
}

// CreateServiceAccount adds a machine.
func (s *Accounts) CreateServiceAccount(ctx context.Context, req *identityv1.CreateServiceAccountRequest) (*identityv1.ServiceAccount, error) {
	in := req.GetServiceAccount()
	if (in.GetParentType() == "") != (in.GetParentId() == "") {
		return nil, answer.Invalid("service_account.parent_id", "with_parent_type", "parent_type and parent_id go together")
	}
	networks, err := readNetworks(in.GetAllowedNetworks())
	if err != nil {
		return nil, err
	}
	resp := &identityv1.ServiceAccount{}
	err = s.changes.Run(ctx, func(tx *change.Tx) error {
		if done, err := s.changes.Replay(ctx, tx.Reads, req, resp); done || err != nil {
			return err
		}
		add := change.Assignment{Roles: in.GetRoleIds(), Keys: in.GetPermissionKeys()}
		if err := tx.MustGrant(add); err != nil {
			return err
		}
		a := store.ServiceAccount{
			Org: tx.Org.ID, ID: s.NewID(), DisplayName: in.GetDisplayName(), NameKey: contact.Fold(in.GetDisplayName()),
			Description: in.GetDescription(), Enabled: in.Enabled == nil || in.GetEnabled(),
			ParentType: in.GetParentType(), ParentID: in.GetParentId(), ParentName: in.GetParentName(),
			Audiences: s.readAudiences(in.GetAudiences()), AllowedNetworks: networks,
			TokenLifetime: store.Micros(in.GetTokenLifetime().AsDuration().Microseconds()),
			Epoch:         tx.Now, Version: 1, Created: tx.Now, Updated: tx.Now, CreatedBy: tx.By.ID,
		}
		if err := addAccount(ctx, tx, a, add); err != nil {
			return err
		}
		if resp, err = s.answer(ctx, tx, a); err != nil {
			return err
		}
		return tx.Remember(ctx, req, resp)
	})
	return resp, err
}

// readNetworks brings networks into their one canonical form, each once.
func readNetworks(texts []string) (networks []string, err error) {
	for i, text := range texts {
		network, ok := contact.ParseNetwork(text)
		if !ok {
			return nil, answer.Invalid(fmt.Sprintf("service_account.allowed_networks[%d]", i), "ip_prefix", "must be a network in CIDR form")
		}
		if !slices.Contains(networks, network.String()) {
			networks = append(networks, network.String())
		}
	}
	return networks, nil
}

func addAccount(ctx context.Context, tx *change.Tx, a store.ServiceAccount, add change.Assignment) error {
	if err := tx.AddServiceAccount(ctx, a); err != nil {
		if store.Taken(err) != "" {
			return answer.ErrParentTaken
		}
		return err
	}
	if err := tx.Enlist(ctx, store.Entry{Kind: store.ClientID, Key: a.ID, Org: a.Org, ID: a.ID}); err != nil {
		return err
	}
	if err := tx.Assign(ctx, a.Org, a.ID, add); err != nil {
		return err
	}
	data := add.Data()
	if a.ParentID != "" {
		data["parent_type"], data["parent_id"] = a.ParentType, a.ParentID
	}
	tx.Note(store.EventServiceAccountCreated, a.ID, data)
	return nil
}

// GetServiceAccount returns one machine.
func (s *Accounts) GetServiceAccount(ctx context.Context, req *identityv1.GetServiceAccountRequest) (*identityv1.ServiceAccount, error) {
	return s.Read(ctx, door.CallOf(ctx).Org, req.GetId())
}

// Read returns a machine of an organization as answers show it.
func (s *Accounts) Read(ctx context.Context, org, id string) (*identityv1.ServiceAccount, error) {
	a, err := s.store.ServiceAccount(ctx, org, id)
	if err != nil {
		return nil, err
	}
	answers, err := s.answers(ctx, org, a)
	if err != nil {
		return nil, err
	}
	return answers[0], nil
}

// answers describes machines of one organization as they are remembered.
func (s *Accounts) answers(ctx context.Context, org string, accounts ...store.ServiceAccount) ([]*identityv1.ServiceAccount, error) {
	_, cat, err := s.authority.Organization(ctx, org)
	if err != nil {
		return nil, err
	}
	return s.describe(ctx, s.store.Reads, cat, org, accounts...)
}

// answer describes a machine as the change leaves it.
func (s *Accounts) answer(ctx context.Context, tx *change.Tx, a store.ServiceAccount) (*identityv1.ServiceAccount, error) {
	answers, err := s.describe(ctx, tx.Reads, tx.Catalogue, a.Org, a)
	if err != nil {
		return nil, err
	}
	return answers[0], nil
}

// describe describes machines of one organization, with one query for all their grants.
func (s *Accounts) describe(
	ctx context.Context, q store.Reads, cat *authority.Catalogue, org string, accounts ...store.ServiceAccount,
) ([]*identityv1.ServiceAccount, error) {
	ids := make([]string, len(accounts))
	for i := range accounts {
		ids[i] = accounts[i].ID
	}
	granted, err := cat.DescribeEach(ctx, q, org, store.At(s.Now()), ids...)
	if err != nil {
		return nil, err
	}
	answers := make([]*identityv1.ServiceAccount, len(accounts))
	for i := range accounts {
		answers[i] = accountProto(accounts[i], granted[i])
	}
	return answers, nil
}

// ListServiceAccounts returns a page of machines.
func (s *Accounts) ListServiceAccounts(ctx context.Context, req *identityv1.ListServiceAccountsRequest) (*identityv1.ListServiceAccountsResponse, error) {
	org := door.CallOf(ctx).Org
	filter := store.AccountFilter{
		Name: contact.Fold(req.GetFilter().GetName()), ParentType: req.GetFilter().GetParentType(), ParentID: req.GetFilter().GetParentId(),
	}
	span, err := s.pages.Open(ctx, req, req.GetOrderBy(), "create_time desc")
	if err != nil {
		return nil, err
	}
	found, err := s.store.ServiceAccounts(ctx, org, filter, span)
	if err != nil {
		return nil, err
	}
	resp := &identityv1.ListServiceAccountsResponse{}
	accounts, next := page.NextShort(ctx, s.pages, req, found, func(a store.ServiceAccount) store.Cursor { return a.Cursor(span.Order) })
	resp.NextPageToken = next
	if resp.ServiceAccounts, err = s.answers(ctx, org, accounts...); err != nil {
		return nil, err
	}
	if n := page.Fit(resp.ServiceAccounts); n < len(accounts) {
		resp.ServiceAccounts, resp.NextPageToken = resp.ServiceAccounts[:n], s.pages.After(ctx, req, accounts[n-1].Cursor(span.Order))
	}
	var b store.Tally
	if filter == (store.AccountFilter{}) {
		b.Badges, err = s.store.Badges(ctx, org)
		resp.TotalSize = page.Clamp(b.AccountsTotal)
	} else {
		b, err = s.store.CountServiceAccounts(ctx, org, filter, page.MaxCount+1)
		resp.TotalSize, resp.TotalCapped = page.Capped(b.AccountsTotal, b.Capped)
	}
	if req.GetWithSummary() {
		resp.Summary = &identityv1.ListServiceAccountsResponse_Summary{
			Total: resp.GetTotalSize(), Active: page.Clamp(b.AccountsActive), Capped: resp.GetTotalCapped(),
		}
	}
	return resp, err
}

// EnableServiceAccount lets a disabled machine in again.
func (s *Accounts) EnableServiceAccount(ctx context.Context, req *identityv1.EnableServiceAccountRequest) (*identityv1.ServiceAccount, error) {
	return s.switchAccount(ctx, req.GetId(), req.GetEtag(), store.EventServiceAccountEnabled, func(a *store.ServiceAccount) bool {
		done := !a.Enabled
		a.Enabled = true
		return done
	})
}

// DisableServiceAccount shuts a machine out.
func (s *Accounts) DisableServiceAccount(ctx context.Context, req *identityv1.DisableServiceAccountRequest) (*identityv1.ServiceAccount, error) {
	return s.switchAccount(ctx, req.GetId(), req.GetEtag(), store.EventServiceAccountDisabled, func(a *store.ServiceAccount) bool {
		done := a.Enabled
		a.Enabled = false
		return done
	})
}

// DeleteServiceAccount removes a machine and its credentials.
func (s *Accounts) DeleteServiceAccount(ctx context.Context, req *identityv1.DeleteServiceAccountRequest) (*identityv1.ServiceAccount, error) {
	now := store.At(s.Now())
	return s.switchAccount(ctx, req.GetId(), req.GetEtag(), store.EventServiceAccountDeleted, func(a *store.ServiceAccount) bool {
		a.Deleted = now
		return true
	})
}

// switchAccount changes the state of a machine.
func (s *Accounts) switchAccount(ctx context.Context, id, etag, event string, flip func(*store.ServiceAccount) bool) (*identityv1.ServiceAccount, error) {
	return change.Switch(ctx, s.changes, change.Switched[store.ServiceAccount, identityv1.ServiceAccount]{
		Kind: store.KindServiceAccount, ID: id, Etag: etag, Event: event, Flip: flip,
		Read: func(ctx context.Context, tx *change.Tx) (store.ServiceAccount, error) {
			return tx.ServiceAccount(ctx, tx.Org.ID, id)
		},
		Version: func(a store.ServiceAccount) int64 { return a.Version },
		Save:    saveSwitched, Answer: s.answer,
	})
}

func saveSwitched(ctx context.Context, tx *change.Tx, former store.ServiceAccount, a *store.ServiceAccount) error {
	a.Version, a.Updated = a.Version+1, tx.Now
	if !a.Enabled || a.Deleted != 0 {
		a.Epoch = tx.NextEpoch(a.Epoch)
	}
	if a.Deleted != 0 {
		if err := tx.Delist(ctx, store.ClientID, a.ID, a.ID); err != nil {
			return err
		}
		if err := tx.DropCredentials(ctx, a.Org, a.ID); err != nil {
			return err
		}
	}
	return tx.SaveServiceAccount(ctx, former, *a)
}

func accountProto(a store.ServiceAccount, g authority.Granted) *identityv1.ServiceAccount {
	p := &identityv1.ServiceAccount{
		Id: a.ID, OrganizationId: a.Org, DisplayName: &a.DisplayName, Description: &a.Description, Enabled: &a.Enabled,
		ParentType: &a.ParentType, ParentId: &a.ParentID, ParentName: &a.ParentName,
		Roles: g.Roles, Permissions: g.Permissions, RoleIds: g.RoleIDs, PermissionKeys: g.Keys,
		Audiences: a.Audiences, AllowedNetworks: a.AllowedNetworks,
		LastUsedTime: wire.Stamp(a.LastUsed), CreateTime: wire.Stamp(a.Created), UpdateTime: wire.Stamp(a.Updated), CreatedBy: a.CreatedBy,
		DeleteTime: wire.Stamp(a.Deleted), Etag: wire.Etag(a.Version),
	}
	p.TokenLifetime = durationpb.New(lifetimeOf(a))
	return p
}

func lifetimeOf(a store.ServiceAccount) time.Duration {
	if a.TokenLifetime == 0 {
		return token.DefaultLifetime
	}
	return time.Duration(a.TokenLifetime) * time.Microsecond
}
