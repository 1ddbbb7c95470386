package user

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"strconv"

	"github.com/bizmetry/identity/service/page"
	"github.com/bizmetry/identity/service/perm"

	"github.com/bizmetry/identity/service/change"

	"github.com/bizmetry/identity/service/door"

	"github.com/bizmetry/identity/service/answer"

	"google.golang.org/protobuf/proto"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/store"
)

// Bounds of a bulk call.
const (
	// changedAtMost is what one transaction does well within a call's deadline.
	changedAtMost = 200_000
	// skippedAtMost is how many of those who were skipped are named.
	skippedAtMost = 100
)

// bulkRequest is what both bulk calls share.
type bulkRequest interface {
	change.Retryable
	GetFilter() *identityv1.ListUsersRequest_Filter
	GetValidateOnly() bool
	GetMatchToken() string
}

// BulkEnableUsers lets in again everybody who matches a filter.
func (s *Users) BulkEnableUsers(ctx context.Context, req *identityv1.BulkEnableUsersRequest) (*identityv1.BulkUsersResponse, error) {
	return s.switchUsers(ctx, req, true)
}

// BulkDisableUsers shuts out everybody who matches a filter.
func (s *Users) BulkDisableUsers(ctx context.Context, req *identityv1.BulkDisableUsersRequest) (*identityv1.BulkUsersResponse, error) {
	return s.switchUsers(ctx, req, false)
}

// switchUsers changes all or nobody. A preview is the same change up to where
// it would write, under the same lock.
func (s *Users) switchUsers(ctx context.Context, req bulkRequest, enable bool) (*identityv1.BulkUsersResponse, error) {
	resp := &identityv1.BulkUsersResponse{}
	if done, err := s.replayBulk(ctx, s.store.Reads, req, resp); done || err != nil {
		return resp, err
	}
	filter, none, err := s.userFilter(ctx, door.CallOf(ctx).Org, req.GetFilter())
	if err != nil {
		return nil, err
	}
	err = s.changes.Run(ctx, func(tx *change.Tx) error {
		if done, err := s.replayBulk(ctx, tx.Reads, req, resp); done || err != nil {
			return err
		}
		b := s.bulk(tx, filter, enable)
		if err := s.match(ctx, tx, req, b, none, resp); err != nil {
			return err
		}
		if resp.GetChanged() > changedAtMost {
			return answer.Refuse(answer.ErrLimitReached, "limit", strconv.Itoa(changedAtMost))
		}
		if req.GetValidateOnly() {
			return s.mustLeaveAdministrator(ctx, tx, b, resp)
		}
		if err := s.changeAll(ctx, tx, b, resp); err != nil {
			return err
		}
		return s.rememberBulk(ctx, tx, req, resp)
	})
	return resp, err
}

// bulk is the change of those who match, but for the caller and for whoever
// holds what the caller does not hold. What somebody holds is the sum of
// grants, so it is enough to look at each role and permission once.
func (s *Users) bulk(tx *change.Tx, filter store.UserFilter, enable bool) store.Bulk {
	filter.Now = tx.Now
	b := store.Bulk{Org: tx.Org.ID, Filter: filter, Enable: enable, But: tx.By.ID}
	beyond := func(g store.Grant) bool {
		held := tx.Catalogue.HeldOf([]store.Grant{g}, tx.Org.Platform, tx.Now)
		return tx.MustHold(held.Set(), tx.Now) != nil
	}
	for _, r := range tx.Catalogue.Roles {
		if beyond(store.Grant{Role: r.ID}) {
			b.Roles = append(b.Roles, r.ID)
		}
	}
	for _, p := range tx.Catalogue.Permissions {
		if beyond(store.Grant{Permit: p.Key}) {
			b.Permissions = append(b.Permissions, p.Key)
		}
	}
	return b
}

// match counts who matches, who would change and who is skipped, and holds a
// token of a preview against them. none means that nobody can match.
func (s *Users) match(ctx context.Context, tx *change.Tx, req bulkRequest, b store.Bulk, none bool, resp *identityv1.BulkUsersResponse) error {
	ids := sha256.New()
	var matched, changed, skipped int64
	skip := func(m store.Match, reason identityv1.SkippedUser_Reason) {
		if skipped++; skipped <= skippedAtMost {
			resp.Skipped = append(resp.Skipped, &identityv1.SkippedUser{Id: m.ID, Email: m.Email, Reason: reason})
		}
	}
	count := func(m store.Match) {
		matched++
		_, _ = io.WriteString(ids, m.ID) // a hash takes everything
		switch {
		case !m.Open:
		case m.ID == b.But:
			skip(m, identityv1.SkippedUser_SELF)
		case m.Beyond:
			skip(m, identityv1.SkippedUser_GRANT_EXCEEDS_OWN)
		default:
			changed++
		}
	}
	if !none {
		if err := tx.EachMatch(ctx, b, count); err != nil {
			return err
		}
	}
	resp.Matched, resp.Changed, resp.SkippedTotal = page.Clamp(matched), page.Clamp(changed), page.Clamp(skipped)
	return s.matchToken(tx, req, ids.Sum(nil), resp)
}

// matchToken names the set of those who match. A token that is not of the
// same set, caller, method, organization and filter is refused.
func (s *Users) matchToken(tx *change.Tx, req bulkRequest, set []byte, resp *identityv1.BulkUsersResponse) error {
	filter, err := proto.MarshalOptions{Deterministic: true}.Marshal(req.GetFilter())
	if err != nil {
		return err
	}
	of := []string{tx.Call.Method.Name, tx.By.ID, tx.Org.ID, string(filter), string(set)}
	if req.GetMatchToken() != "" {
		mac, err := base64.RawURLEncoding.Strict().DecodeString(req.GetMatchToken())
		if err != nil || !s.ring.VerifyMAC("match", mac, of...) {
			return answer.ErrMatchChanged
		}
	}
	mac := s.ring.MAC("match", of...)
	resp.MatchToken = base64.RawURLEncoding.EncodeToString(mac[:])
	return nil
}

// mustLeaveAdministrator refuses in a preview what keepingAdministrator would
// undo.
func (s *Users) mustLeaveAdministrator(ctx context.Context, tx *change.Tx, b store.Bulk, resp *identityv1.BulkUsersResponse) error {
	if b.Enable || resp.GetChanged() == 0 {
		return nil
	}
	has, err := tx.Administered(ctx)
	if err != nil || !has {
		return err
	}
	left, err := tx.HasAdministratorBeside(ctx, b, tx.Catalogue.RolesWith(perm.Administer), perm.Administer)
	if err == nil && !left {
		err = answer.ErrLastAdministrator
	}
	return err
}

// changeAll writes the change, with an event a person that names the operation.
func (s *Users) changeAll(ctx context.Context, tx *change.Tx, b store.Bulk, resp *identityv1.BulkUsersResponse) error {
	if resp.GetChanged() == 0 {
		return nil
	}
	e := tx.Event(tx.Org.ID, store.EventUserDisabled, "", nil)
	e.Operation = s.NewID()
	if b.Enable {
		e.Type = store.EventUserEnabled
	}
	return tx.KeepAdministrator(ctx, func() error {
		changed, err := tx.ChangeAll(ctx, b, e)
		resp.Changed = page.Clamp(changed)
		return err
	})
}

// rememberBulk keeps the outcome without addresses, which must not outlive
// their people; replayBulk puts in those that are still there.
func (s *Users) rememberBulk(ctx context.Context, tx *change.Tx, req bulkRequest, resp *identityv1.BulkUsersResponse) error {
	bare := proto.CloneOf(resp)
	for _, skipped := range bare.GetSkipped() {
		skipped.Email = ""
	}
	return tx.Remember(ctx, req, bare)
}

func (s *Users) replayBulk(ctx context.Context, q store.Reads, req bulkRequest, resp *identityv1.BulkUsersResponse) (found bool, err error) {
	if found, err = s.changes.Replay(ctx, q, req, resp); !found || err != nil {
		return found, err
	}
	ids := make([]string, len(resp.GetSkipped()))
	for i, skipped := range resp.GetSkipped() {
		ids[i] = skipped.GetId()
	}
	addresses, err := q.Addresses(ctx, door.CallOf(ctx).Org, ids...)
	for _, skipped := range resp.GetSkipped() {
		skipped.Email = addresses[skipped.GetId()]
	}
	return true, err
}
