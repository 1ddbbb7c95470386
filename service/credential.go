package service

import (
	"context"
	"strconv"
	"strings"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/store"
)

// credentialsAtMost an account may have.
const credentialsAtMost = 10

// CreateCredential makes a credential and shows its secret once.
func (s *Service) CreateCredential(ctx context.Context, req *identityv1.CreateCredentialRequest) (*identityv1.CreateCredentialResponse, error) {
	resp := &identityv1.CreateCredentialResponse{}
	err := s.change(ctx, func(ch *change) error {
		if done, err := s.replay(ctx, ch.Reads, req, resp); done || err != nil {
			return err
		}
		account, err := ch.ServiceAccount(ctx, ch.org.ID, req.GetServiceAccountId())
		if err != nil {
			return err
		}
		c := store.Credential{
			Org: ch.org.ID, ID: s.newID(), Account: account.ID, Kind: identityv1.Credential_SECRET.String(),
			DisplayName: strings.TrimSpace(req.GetCredential().GetDisplayName()), Enabled: true,
			Expires: s.expiry(req.GetCredential().GetExpireTime(), req.GetCredential().GetTtl()),
			Created: ch.now, CreatedBy: ch.by.ID,
		}
		if err := ch.mustOutlive(ctx, ch.principal(store.KindServiceAccount, account.ID), c.Expires); err != nil {
			return err
		}
		text, err := ch.addSecret(ctx, &c)
		if err != nil {
			return err
		}
		resp.Credential = credentialProto(c)
		if err := ch.remember(ctx, req, resp); err != nil {
			return err
		}
		resp.Secret = text // after it was remembered: what is kept holds no secret
		return nil
	})
	return resp, err
}

// addSecret makes the secret of a new credential and writes the row.
func (ch *change) addSecret(ctx context.Context, c *store.Credential) (text string, err error) {
	present, err := ch.Credentials(ctx, c.Org, c.Account)
	if err != nil {
		return "", err
	}
	if len(present) >= credentialsAtMost {
		return "", refuse(errLimitReached, "limit", strconv.Itoa(credentialsAtMost))
	}
	text, digest, err := secret.NewMachineSecret(ch.s.rand, c.ID)
	if err != nil {
		return "", err
	}
	c.Digest = digest[:]
	data := store.Data{"service_account": c.Account, "kind": c.Kind}
	ch.record("credential.created", c.ID, data)
	return text, ch.AddCredential(ctx, *c)
}

// ListCredentials returns the credentials of a machine, without secrets.
func (s *Service) ListCredentials(ctx context.Context, req *identityv1.ListCredentialsRequest) (*identityv1.ListCredentialsResponse, error) {
	org := callOf(ctx).org
	if _, err := s.store.ServiceAccount(ctx, org, req.GetServiceAccountId()); err != nil {
		return nil, err
	}
	credentials, err := s.store.Credentials(ctx, org, req.GetServiceAccountId())
	if err != nil {
		return nil, err
	}
	resp := &identityv1.ListCredentialsResponse{}
	for _, c := range credentials {
		resp.Credentials = append(resp.Credentials, credentialProto(c))
	}
	return resp, nil
}

// DeleteCredential revokes a credential: its row is what its tokens live by.
func (s *Service) DeleteCredential(ctx context.Context, req *identityv1.DeleteCredentialRequest) (*identityv1.Credential, error) {
	var resp *identityv1.Credential
	err := s.change(ctx, func(ch *change) error {
		if _, err := ch.ServiceAccount(ctx, ch.org.ID, req.GetServiceAccountId()); err != nil {
			return err
		}
		c, err := ch.Credential(ctx, ch.org.ID, req.GetServiceAccountId(), req.GetId())
		if err != nil {
			return err
		}
		if err := ch.mustControl(ctx, ch.principal(store.KindServiceAccount, c.Account)); err != nil {
			return err
		}
		if err := ch.DropCredential(ctx, c.Org, c.ID); err != nil {
			return err
		}
		ch.record("credential.deleted", c.ID, store.Data{"service_account": c.Account, "kind": c.Kind})
		c.Enabled = false
		resp = credentialProto(c)
		return nil
	})
	return resp, err
}

func credentialProto(c store.Credential) *identityv1.Credential {
	p := &identityv1.Credential{
		Id: c.ID, ServiceAccountId: c.Account, Kind: identityv1.Credential_Kind(identityv1.Credential_Kind_value[c.Kind]),
		DisplayName: &c.DisplayName, Enabled: c.Enabled,
		LastUsedTime: stamp(c.LastUsed), CreateTime: stamp(c.Created), CreatedBy: c.CreatedBy,
	}
	if c.Expires != 0 {
		p.Expiration = &identityv1.Credential_ExpireTime{ExpireTime: stamp(c.Expires)}
	}
	return p
}
