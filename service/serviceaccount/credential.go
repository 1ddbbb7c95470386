package serviceaccount

import (
	"context"
	"strconv"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/change"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/service/wire"
	"github.com/bizmetry/identity/store"
)

// How many credentials an account may have. Those that ended stay for a while, so that
// people see what became of them: the oldest go when there are too many.
const (
	credentialsAtMost = 10
	endedKept         = 40
)

// CreateCredential makes a credential and shows its secret once.
func (s *Accounts) CreateCredential(ctx context.Context, req *identityv1.CreateCredentialRequest) (*identityv1.CreateCredentialResponse, error) {
	resp := &identityv1.CreateCredentialResponse{}
	err := s.changes.Run(ctx, func(tx *change.Tx) error {
		if done, err := s.changes.Replay(ctx, tx.Reads, req, resp); done || err != nil {
			return err
		}
		account, err := tx.ServiceAccount(ctx, tx.Org.ID, req.GetServiceAccountId())
		if err != nil {
			return err
		}
		c := store.Credential{
			Org: tx.Org.ID, ID: s.NewID(), Account: account.ID, Kind: identityv1.Credential_SECRET.String(),
			DisplayName: req.GetCredential().GetDisplayName(), Enabled: true,
			Expires: s.changes.Expiry(req.GetCredential().GetExpireTime(), req.GetCredential().GetTtl()),
			Created: tx.Now, CreatedBy: tx.By.ID,
		}
		if err := tx.MustOutlive(ctx, tx.PrincipalOf(store.KindServiceAccount, account.ID), c.Expires); err != nil {
			return err
		}
		text, err := s.addSecret(ctx, tx, &c)
		if err != nil {
			return err
		}
		resp.Credential = credentialProto(c, tx.Now)
		if err := tx.Remember(ctx, req, resp); err != nil {
			return err
		}
		resp.Secret = text // after it was remembered: what is kept holds no secret
		return nil
	})
	return resp, err
}

// addSecret makes the secret of a new credential and writes the row.
func (s *Accounts) addSecret(ctx context.Context, tx *change.Tx, c *store.Credential) (text string, err error) {
	if err := s.makeRoom(ctx, tx, c.Account); err != nil {
		return "", err
	}
	text, digest, err := secret.NewMachineSecret(s.Rand, c.ID)
	if err != nil {
		return "", err
	}
	c.Digest = digest[:]
	data := store.Data{"service_account": c.Account, "kind": c.Kind}
	tx.Note(store.EventCredentialCreated, c.ID, data)
	return text, tx.AddCredential(ctx, *c)
}

// makeRoom refuses one credential more than an account may have. What has ended does
// not count, and is deleted where it is too much.
func (s *Accounts) makeRoom(ctx context.Context, tx *change.Tx, account string) error {
	present, err := tx.Credentials(ctx, tx.Org.ID, account) // the newest first
	if err != nil {
		return err
	}
	live, ended := 0, 0
	for _, c := range present {
		if !wire.Ended(c.Expires, tx.Now) {
			live++
			continue
		}
		if ended++; ended <= endedKept {
			continue
		}
		if err := tx.DropCredential(ctx, c.Org, c.ID); err != nil {
			return err
		}
		tx.Note(store.EventCredentialDeleted, c.ID, store.Data{"service_account": c.Account, "kind": c.Kind})
	}
	if live >= credentialsAtMost {
		return answer.Refuse(answer.ErrLimitReached, "limit", strconv.Itoa(credentialsAtMost))
	}
	return nil
}

// ListCredentials returns the credentials of a machine, without secrets.
func (s *Accounts) ListCredentials(ctx context.Context, req *identityv1.ListCredentialsRequest) (*identityv1.ListCredentialsResponse, error) {
	org := door.CallOf(ctx).Org
	if _, err := s.store.ServiceAccount(ctx, org, req.GetServiceAccountId()); err != nil {
		return nil, err
	}
	credentials, err := s.store.Credentials(ctx, org, req.GetServiceAccountId())
	if err != nil {
		return nil, err
	}
	resp, now := &identityv1.ListCredentialsResponse{}, store.At(s.Now())
	for _, c := range credentials {
		resp.Credentials = append(resp.Credentials, credentialProto(c, now))
	}
	return resp, nil
}

// DeleteCredential revokes a credential: its row is what its tokens live by.
func (s *Accounts) DeleteCredential(ctx context.Context, req *identityv1.DeleteCredentialRequest) (*identityv1.Credential, error) {
	var resp *identityv1.Credential
	err := s.changes.Run(ctx, func(tx *change.Tx) error {
		if _, err := tx.ServiceAccount(ctx, tx.Org.ID, req.GetServiceAccountId()); err != nil {
			return err
		}
		c, err := tx.Credential(ctx, tx.Org.ID, req.GetServiceAccountId(), req.GetId())
		if err != nil {
			return err
		}
		if err := tx.MustControl(ctx, tx.PrincipalOf(store.KindServiceAccount, c.Account)); err != nil {
			return err
		}
		if err := tx.DropCredential(ctx, c.Org, c.ID); err != nil {
			return err
		}
		tx.Note(store.EventCredentialDeleted, c.ID, store.Data{"service_account": c.Account, "kind": c.Kind})
		c.Enabled = false
		resp = credentialProto(c, tx.Now)
		return nil
	})
	return resp, err
}

func credentialState(c store.Credential, now store.Micros) identityv1.Credential_State {
	switch {
	case wire.Ended(c.Expires, now):
		return identityv1.Credential_EXPIRED
	case !c.Enabled:
		return identityv1.Credential_DISABLED
	}
	return identityv1.Credential_ACTIVE
}

func credentialProto(c store.Credential, now store.Micros) *identityv1.Credential {
	p := &identityv1.Credential{
		Id: c.ID, ServiceAccountId: c.Account, Kind: identityv1.Credential_Kind(identityv1.Credential_Kind_value[c.Kind]),
		DisplayName: &c.DisplayName, Enabled: c.Enabled, State: credentialState(c, now),
		LastUsedTime: wire.Stamp(c.LastUsed), CreateTime: wire.Stamp(c.Created), CreatedBy: c.CreatedBy,
	}
	if c.Expires != 0 {
		p.Expiration = &identityv1.Credential_ExpireTime{ExpireTime: wire.Stamp(c.Expires)}
	}
	return p
}
