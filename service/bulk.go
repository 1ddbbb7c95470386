package service

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"strconv"

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
	retryable
	GetFilter() *identityv1.ListUsersRequest_Filter
	GetValidateOnly() bool
	GetMatchToken() string
}

// BulkEnableUsers lets in again everybody who matches a filter.
func (s *Service) BulkEnableUsers(ctx context.Context, req *identityv1.BulkEnableUsersRequest) (*identityv1.BulkUsersResponse, error) {
	return s.switchUsers(ctx, req, true)
}

// BulkDisableUsers shuts out everybody who matches a filter.
func (s *Service) BulkDisableUsers(ctx context.Context, req *identityv1.BulkDisableUsersRequest) (*identityv1.BulkUsersResponse, error) {
	return s.switchUsers(ctx, req, false)
}

// switchUsers changes all or nobody. A preview is the same change up to where
// it would write, under the same lock.
func (s *Service) switchUsers(ctx context.Context, req bulkRequest, enable bool) (*identityv1.BulkUsersResponse, error) {
	resp := &identityv1.BulkUsersResponse{}
	if done, err := s.replayBulk(ctx, s.store.Reads, req, resp); done || err != nil {
		return resp, err
	}
	filter, none, err := s.userFilter(ctx, callOf(ctx).org, req.GetFilter())
	if err != nil {
		return nil, err
	}
	err = s.change(ctx, func(ch *change) error {
		if done, err := s.replayBulk(ctx, ch.Reads, req, resp); done || err != nil {
			return err
		}
		b := ch.bulk(filter, enable)
		if err := ch.match(ctx, req, b, none, resp); err != nil {
			return err
		}
		if resp.GetChanged() > changedAtMost {
			return refuse(errLimitReached, "limit", strconv.Itoa(changedAtMost))
		}
		if req.GetValidateOnly() {
			return ch.mustLeaveAdministrator(ctx, b, resp)
		}
		if err := ch.changeAll(ctx, b, resp); err != nil {
			return err
		}
		return ch.rememberBulk(ctx, req, resp)
	})
	return resp, err
}

// bulk is the change of those who match, but for the caller and for whoever
// holds what the caller does not hold. What somebody holds is the sum of
// grants, so it is enough to look at each role and permission once.
func (ch *change) bulk(filter store.UserFilter, enable bool) store.Bulk {
	filter.Now = ch.now
	b := store.Bulk{Org: ch.org.ID, Filter: filter, Enable: enable, But: ch.by.ID}
	beyond := func(g store.Grant) bool {
		held := ch.cat.heldOf([]store.Grant{g}, ch.org.Platform, ch.now)
		return ch.mustHold(held.Set(), ch.now) != nil
	}
	for _, r := range ch.cat.roles {
		if beyond(store.Grant{Role: r.ID}) {
			b.Roles = append(b.Roles, r.ID)
		}
	}
	for _, p := range ch.cat.permissions {
		if beyond(store.Grant{Permit: p.Key}) {
			b.Permissions = append(b.Permissions, p.Key)
		}
	}
	return b
}

// match counts who matches, who would change and who is skipped, and holds a
// token of a preview against them. none means that nobody can match.
func (ch *change) match(ctx context.Context, req bulkRequest, b store.Bulk, none bool, resp *identityv1.BulkUsersResponse) error {
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
		if err := ch.EachMatch(ctx, b, count); err != nil {
			return err
		}
	}
	resp.Matched, resp.Changed, resp.SkippedTotal = clamp(matched), clamp(changed), clamp(skipped)
	return ch.matchToken(req, ids.Sum(nil), resp)
}

// matchToken names the set of those who match. A token that is not of the
// same set, caller, method, organization and filter is refused.
func (ch *change) matchToken(req bulkRequest, set []byte, resp *identityv1.BulkUsersResponse) error {
	filter, err := proto.MarshalOptions{Deterministic: true}.Marshal(req.GetFilter())
	if err != nil {
		return err
	}
	of := []string{ch.c.method.name, ch.by.ID, ch.org.ID, string(filter), string(set)}
	if req.GetMatchToken() != "" {
		mac, err := base64.RawURLEncoding.Strict().DecodeString(req.GetMatchToken())
		if err != nil || !ch.s.ring.VerifyMAC("match", mac, of...) {
			return errMatchChanged
		}
	}
	mac := ch.s.ring.MAC("match", of...)
	resp.MatchToken = base64.RawURLEncoding.EncodeToString(mac[:])
	return nil
}

// mustLeaveAdministrator refuses in a preview what keepingAdministrator would
// undo.
func (ch *change) mustLeaveAdministrator(ctx context.Context, b store.Bulk, resp *identityv1.BulkUsersResponse) error {
	if b.Enable || resp.GetChanged() == 0 {
		return nil
	}
	has, err := ch.hasAdministrator(ctx)
	if err != nil || !has {
		return err
	}
	left, err := ch.HasAdministratorBeside(ctx, b, ch.cat.RolesWith(administers), administers)
	if err == nil && !left {
		err = errLastAdministrator
	}
	return err
}

// changeAll writes the change, with an event a person that names the operation.
func (ch *change) changeAll(ctx context.Context, b store.Bulk, resp *identityv1.BulkUsersResponse) error {
	if resp.GetChanged() == 0 {
		return nil
	}
	e := ch.event(ch.org.ID, "user.disabled", "", nil)
	e.Operation = ch.s.newID()
	if b.Enable {
		e.Type = "user.enabled"
	}
	return ch.keepingAdministrator(ctx, func() error {
		changed, err := ch.ChangeAll(ctx, b, e)
		resp.Changed = clamp(changed)
		return err
	})
}

// rememberBulk keeps the outcome without addresses, which must not outlive
// their people; replayBulk puts in those that are still there.
func (ch *change) rememberBulk(ctx context.Context, req bulkRequest, resp *identityv1.BulkUsersResponse) error {
	bare := proto.CloneOf(resp)
	for _, skipped := range bare.GetSkipped() {
		skipped.Email = ""
	}
	return ch.remember(ctx, req, bare)
}

func (s *Service) replayBulk(ctx context.Context, q store.Reads, req bulkRequest, resp *identityv1.BulkUsersResponse) (found bool, err error) {
	if found, err = s.replay(ctx, q, req, resp); !found || err != nil {
		return found, err
	}
	ids := make([]string, len(resp.GetSkipped()))
	for i, skipped := range resp.GetSkipped() {
		ids[i] = skipped.GetId()
	}
	addresses, err := q.Addresses(ctx, callOf(ctx).org, ids...)
	for _, skipped := range resp.GetSkipped() {
		skipped.Email = addresses[skipped.GetId()]
	}
	return true, err
}
