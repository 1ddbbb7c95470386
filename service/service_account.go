package service

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/token"
	"github.com/bizmetry/identity/store"
)

// CreateServiceAccount adds a machine.
func (s *Service) CreateServiceAccount(ctx context.Context, req *identityv1.CreateServiceAccountRequest) (*identityv1.ServiceAccount, error) {
	in := req.GetServiceAccount()
	if (in.GetParentType() == "") != (in.GetParentId() == "") {
		return nil, invalid("service_account.parent_id", "with_parent_type", "parent_type and parent_id go together")
	}
	networks, err := readNetworks(in.GetAllowedNetworks())
	if err != nil {
		return nil, err
	}
	resp := &identityv1.ServiceAccount{}
	err = s.change(ctx, func(ch *change) error {
		if done, err := s.replay(ctx, ch.Reads, req, resp); done || err != nil {
			return err
		}
		add := assignment{roles: in.GetRoleIds(), keys: in.GetPermissionKeys()}
		if err := ch.mustGrant(add); err != nil {
			return err
		}
		a := store.ServiceAccount{
			Org: ch.org.ID, ID: s.newID(), DisplayName: strings.TrimSpace(in.GetDisplayName()), NameKey: fold(in.GetDisplayName()),
			Description: in.GetDescription(), Enabled: true,
			ParentType: in.GetParentType(), ParentID: in.GetParentId(), ParentName: in.GetParentName(),
			Audiences: in.GetAudiences(), AllowedNetworks: networks,
			TokenLifetime: store.Micros(in.GetTokenLifetime().AsDuration().Microseconds()),
			Epoch:         ch.now, Version: 1, Created: ch.now, Updated: ch.now, CreatedBy: ch.by.ID,
		}
		if err := ch.addAccount(ctx, a, add); err != nil {
			return err
		}
		if resp, err = ch.accountAnswer(ctx, a); err != nil {
			return err
		}
		return ch.remember(ctx, req, resp)
	})
	return resp, err
}

// readNetworks brings networks into their one canonical form.
func readNetworks(texts []string) (networks []string, err error) {
	for _, text := range texts {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, invalid("service_account.allowed_networks", "ip_prefix", "must be networks in CIDR form")
		}
		networks = append(networks, network.Masked().String())
	}
	return networks, nil
}

func (ch *change) addAccount(ctx context.Context, a store.ServiceAccount, add assignment) error {
	if err := ch.AddServiceAccount(ctx, a); err != nil {
		if store.Taken(err) != "" {
			return errParentTaken
		}
		return err
	}
	if err := ch.Enlist(ctx, store.Entry{Kind: store.ClientID, Key: a.ID, Org: a.Org, ID: a.ID}); err != nil {
		return err
	}
	if err := ch.putGrants(ctx, a.Org, a.ID, add); err != nil {
		return err
	}
	data := add.data()
	if a.ParentID != "" {
		data["parent_type"], data["parent_id"] = a.ParentType, a.ParentID
	}
	ch.record("service_account.created", a.ID, data)
	return nil
}

// GetServiceAccount returns one machine.
func (s *Service) GetServiceAccount(ctx context.Context, req *identityv1.GetServiceAccountRequest) (*identityv1.ServiceAccount, error) {
	org := callOf(ctx).org
	a, err := s.store.ServiceAccount(ctx, org, req.GetId())
	if err != nil {
		return nil, err
	}
	answers, err := s.accountAnswers(ctx, s.store.Reads, nil, org, a)
	if err != nil {
		return nil, err
	}
	return answers[0], nil
}

// accountAnswers describes machines of one organization, with one query for all their grants.
func (s *Service) accountAnswers(ctx context.Context, q store.Reads, cat *catalogue, org string, accounts ...store.ServiceAccount) ([]*identityv1.ServiceAccount, error) {
	ids := make([]string, len(accounts))
	for i, a := range accounts {
		ids[i] = a.ID
	}
	var err error
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
	answers := make([]*identityv1.ServiceAccount, len(accounts))
	for i, a := range accounts {
		answers[i] = accountProto(a, cat.describe(of[a.ID], now))
	}
	return answers, nil
}

func (ch *change) accountAnswer(ctx context.Context, a store.ServiceAccount) (*identityv1.ServiceAccount, error) {
	answers, err := ch.s.accountAnswers(ctx, ch.Reads, ch.cat, a.Org, a)
	if err != nil {
		return nil, err
	}
	return answers[0], nil
}

// ListServiceAccounts returns a page of machines.
func (s *Service) ListServiceAccounts(ctx context.Context, req *identityv1.ListServiceAccountsRequest) (*identityv1.ListServiceAccountsResponse, error) {
	org := callOf(ctx).org
	filter := store.AccountFilter{
		Name: fold(req.GetFilter().GetName()), ParentType: req.GetFilter().GetParentType(), ParentID: req.GetFilter().GetParentId(),
	}
	page, err := s.openPage(ctx, req, req.GetOrderBy(), "create_time desc")
	if err != nil {
		return nil, err
	}
	accounts, err := s.store.ServiceAccounts(ctx, org, filter, page)
	if err != nil {
		return nil, err
	}
	resp := &identityv1.ListServiceAccountsResponse{}
	accounts, resp.NextPageToken = nextPage(ctx, s, req, accounts, func(a store.ServiceAccount) store.Cursor { return a.Cursor(page.Order) })
	if resp.ServiceAccounts, err = s.accountAnswers(ctx, s.store.Reads, nil, org, accounts...); err != nil {
		return nil, err
	}
	var b store.Badges
	if filter == (store.AccountFilter{}) {
		b, err = s.store.Badges(ctx, org)
		resp.TotalSize = clamp(b.AccountsTotal)
	} else {
		b, err = s.store.CountServiceAccounts(ctx, org, filter, maxCount+1)
		resp.TotalSize, resp.TotalCapped = capped(b.AccountsTotal)
	}
	if req.GetWithSummary() {
		resp.Summary = &identityv1.ListServiceAccountsResponse_Summary{
			Total: resp.GetTotalSize(), Active: clamp(b.AccountsActive), Capped: resp.GetTotalCapped(),
		}
	}
	return resp, err
}

// EnableServiceAccount lets a disabled machine in again.
func (s *Service) EnableServiceAccount(ctx context.Context, req *identityv1.EnableServiceAccountRequest) (*identityv1.ServiceAccount, error) {
	return s.switchAccount(ctx, req.GetId(), req.GetEtag(), "service_account.enabled", func(a *store.ServiceAccount) bool {
		done := !a.Enabled
		a.Enabled = true
		return done
	})
}

// DisableServiceAccount shuts a machine out.
func (s *Service) DisableServiceAccount(ctx context.Context, req *identityv1.DisableServiceAccountRequest) (*identityv1.ServiceAccount, error) {
	return s.switchAccount(ctx, req.GetId(), req.GetEtag(), "service_account.disabled", func(a *store.ServiceAccount) bool {
		done := a.Enabled
		a.Enabled = false
		return done
	})
}

// DeleteServiceAccount removes a machine and its credentials.
func (s *Service) DeleteServiceAccount(ctx context.Context, req *identityv1.DeleteServiceAccountRequest) (*identityv1.ServiceAccount, error) {
	now := store.At(s.now())
	return s.switchAccount(ctx, req.GetId(), req.GetEtag(), "service_account.deleted", func(a *store.ServiceAccount) bool {
		a.Deleted = now
		return true
	})
}

// switchAccount changes the state of a machine. The flip tells whether it
// changed anything; if not, the answer is the machine as it is.
func (s *Service) switchAccount(ctx context.Context, id, etag, event string, flip func(*store.ServiceAccount) bool) (*identityv1.ServiceAccount, error) {
	var resp *identityv1.ServiceAccount
	err := s.change(ctx, func(ch *change) error {
		former, err := ch.ServiceAccount(ctx, ch.org.ID, id)
		if err != nil {
			return err
		}
		if err := checkEtag(etag, former.Version); err != nil {
			return err
		}
		if err := ch.mustControl(ctx, ch.principal(store.KindServiceAccount, id)); err != nil {
			return err
		}
		a := former
		if flip(&a) {
			if err := ch.saveSwitchedAccount(ctx, former, &a); err != nil {
				return err
			}
			ch.record(event, id, nil)
		}
		resp, err = ch.accountAnswer(ctx, a)
		return err
	})
	return resp, err
}

func (ch *change) saveSwitchedAccount(ctx context.Context, former store.ServiceAccount, a *store.ServiceAccount) error {
	a.Version, a.Updated = a.Version+1, ch.now
	if !a.Enabled || a.Deleted != 0 {
		a.Epoch = ch.nextEpoch(a.Epoch)
	}
	if a.Deleted != 0 {
		if err := ch.Delist(ctx, store.ClientID, a.ID, a.ID); err != nil {
			return err
		}
		if err := ch.DropCredentials(ctx, a.Org, a.ID); err != nil {
			return err
		}
	}
	return ch.SaveServiceAccount(ctx, former, *a)
}

func accountProto(a store.ServiceAccount, g granted) *identityv1.ServiceAccount {
	p := &identityv1.ServiceAccount{
		Id: a.ID, OrganizationId: a.Org, DisplayName: &a.DisplayName, Description: &a.Description, Enabled: a.Enabled,
		ParentType: &a.ParentType, ParentId: &a.ParentID, ParentName: &a.ParentName,
		Roles: g.roles, Permissions: g.permissions, RoleIds: g.roleIDs, PermissionKeys: g.keys,
		Audiences: a.Audiences, AllowedNetworks: a.AllowedNetworks,
		LastUsedTime: stamp(a.LastUsed), CreateTime: stamp(a.Created), UpdateTime: stamp(a.Updated), CreatedBy: a.CreatedBy,
		DeleteTime: stamp(a.Deleted), Etag: etagOf(a.Version),
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
