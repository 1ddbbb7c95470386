package user

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"strconv"

	"google.golang.org/protobuf/proto"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/change"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/page"
	"github.com/bizmetry/identity/service/perm"
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

// bulk is a change of everybody who matches a filter.
type bulk struct {
	s      *Users
	req    bulkRequest
	enable bool
	resp   *identityv1.BulkUsersResponse
}

// BulkEnableUsers enables all users who match a filter.
func (s *Users) BulkEnableUsers(ctx context.Context, req *identityv1.BulkEnableUsersRequest) (*identityv1.BulkUsersResponse, error) {
	return (&bulk{s, req, true, &identityv1.BulkUsersResponse{}}).run(ctx)
}

// BulkDisableUsers disables all users who match a filter.
func (s *Users) BulkDisableUsers(ctx context.Context, req *identityv1.BulkDisableUsersRequest) (*identityv1.BulkUsersResponse, error) {
	return (&bulk{s, req, false, &identityv1.BulkUsersResponse{}}).run(ctx)
}

// run changes all or nobody. A preview is the same change up to where it would
// write, under the same lock.
func (b *bulk) run(ctx context.Context) (*identityv1.BulkUsersResponse, error) {
	if done, err := b.replay(ctx, b.s.store.Reads); done || err != nil {
		return b.resp, err
	}
	filter, err := b.s.userFilter(ctx, door.CallOf(ctx).Org, b.req.GetFilter())
	if err != nil {
		return nil, err
	}
	err = b.s.changes.Run(ctx, func(tx *change.Tx) error {
		if done, err := b.replay(ctx, tx.Reads); done || err != nil {
			return err
		}
		rows := b.rows(tx, filter)
		if err := b.match(ctx, tx, rows); err != nil {
			return err
		}
		if b.resp.GetChanged() > changedAtMost {
			return answer.Refuse(answer.ErrLimitReached, "limit", strconv.Itoa(changedAtMost))
		}
		if b.req.GetValidateOnly() {
			return b.mustLeaveAdministrator(ctx, tx, rows)
		}
		if err := b.changeAll(ctx, tx, rows); err != nil {
			return err
		}
		return b.remember(ctx, tx)
	})
	return b.resp, err
}

// rows says which rows are changed: of those who match, but for the caller and for whoever
// holds what the caller does not hold. What somebody holds is the sum of
// grants, so it is enough to look at each role and permission once.
func (b *bulk) rows(tx *change.Tx, filter store.UserFilter) store.Bulk {
	filter.Now = tx.Now
	rows := store.Bulk{Org: tx.Org.ID, Filter: filter, Enable: b.enable, But: tx.By.ID}
	beyond := func(g store.Grant) bool {
		held := tx.Catalogue.HeldOf([]store.Grant{g}, tx.Org.Platform, tx.Now)
		return tx.MustHold(held.Set(), tx.Now) != nil
	}
	for _, r := range tx.Catalogue.Roles {
		if beyond(store.Grant{Role: r.ID}) {
			rows.Roles = append(rows.Roles, r.ID)
		}
	}
	for _, p := range tx.Catalogue.Permissions {
		if beyond(store.Grant{Permit: p.Key}) {
			rows.Permissions = append(rows.Permissions, p.Key)
		}
	}
	return rows
}

// match counts who matches, who would change and who is skipped, and holds a
// token of a preview against them.
func (b *bulk) match(ctx context.Context, tx *change.Tx, rows store.Bulk) error {
	ids := sha256.New()
	var matched, changed, skipped int64
	skip := func(m store.Match, reason identityv1.SkippedUser_Reason) {
		if skipped++; skipped <= skippedAtMost {
			b.resp.Skipped = append(b.resp.Skipped, &identityv1.SkippedUser{Id: m.ID, Email: m.Email, Reason: reason})
		}
	}
	count := func(m store.Match) {
		matched++
		_, _ = io.WriteString(ids, m.ID) // a hash takes everything
		switch {
		case !m.Open:
		case m.ID == rows.But:
			skip(m, identityv1.SkippedUser_SELF)
		case m.Beyond:
			skip(m, identityv1.SkippedUser_GRANT_EXCEEDS_OWN)
		default:
			changed++
		}
	}
	if err := tx.EachMatch(ctx, rows, count); err != nil {
		return err
	}
	b.resp.Matched, b.resp.Changed, b.resp.SkippedTotal = page.Clamp(matched), page.Clamp(changed), page.Clamp(skipped)
	return b.token(tx, ids.Sum(nil))
}

// token names the set of those who match. A token that is not of the
// same set, caller, method, organization and filter is refused.
func (b *bulk) token(tx *change.Tx, set []byte) error {
	filter, err := proto.MarshalOptions{Deterministic: true}.Marshal(b.req.GetFilter())
	if err != nil {
		return err
	}
	of := []string{tx.Call.Method.Name, tx.By.ID, tx.Org.ID, string(filter), string(set)}
	if b.req.GetMatchToken() != "" {
		mac, err := base64.RawURLEncoding.Strict().DecodeString(b.req.GetMatchToken())
		if err != nil || !b.s.ring.VerifyMAC("match", mac, of...) {
			return answer.ErrMatchChanged
		}
	}
	mac := b.s.ring.MAC("match", of...)
	b.resp.MatchToken = base64.RawURLEncoding.EncodeToString(mac[:])
	return nil
}

// mustLeaveAdministrator refuses in a preview what KeepAdministrator would
// undo.
func (b *bulk) mustLeaveAdministrator(ctx context.Context, tx *change.Tx, rows store.Bulk) error {
	if b.enable || b.resp.GetChanged() == 0 {
		return nil
	}
	has, err := tx.Administered(ctx)
	if err != nil || !has {
		return err
	}
	left, err := tx.HasAdministratorBeside(ctx, rows, tx.Catalogue.RolesWith(perm.Administer), perm.Administer)
	if err == nil && !left {
		err = answer.ErrLastAdministrator
	}
	return err
}

// changeAll writes the change, with an event a person that names the operation.
func (b *bulk) changeAll(ctx context.Context, tx *change.Tx, rows store.Bulk) error {
	if b.resp.GetChanged() == 0 {
		return nil
	}
	e := tx.Event(tx.Org.ID, store.EventUserDisabled, "", nil)
	e.Operation = b.s.NewID()
	if b.enable {
		e.Type = store.EventUserEnabled
	}
	return tx.KeepAdministrator(ctx, func() error {
		changed, err := tx.ChangeAll(ctx, rows, e)
		b.resp.Changed = page.Clamp(changed)
		return err
	})
}

// remember keeps the outcome without addresses, which must not outlive their
// people; replay puts in those that are still there.
func (b *bulk) remember(ctx context.Context, tx *change.Tx) error {
	bare := proto.CloneOf(b.resp)
	for _, skipped := range bare.GetSkipped() {
		skipped.Email = ""
	}
	return tx.Remember(ctx, b.req, bare)
}

func (b *bulk) replay(ctx context.Context, q store.Reads) (found bool, err error) {
	if found, err = b.s.changes.Replay(ctx, q, b.req, b.resp); !found || err != nil {
		return found, err
	}
	ids := make([]string, len(b.resp.GetSkipped()))
	for i, skipped := range b.resp.GetSkipped() {
		ids[i] = skipped.GetId()
	}
	addresses, err := q.Addresses(ctx, door.CallOf(ctx).Org, ids...)
	for _, skipped := range b.resp.GetSkipped() {
		skipped.Email = addresses[skipped.GetId()]
	}
	return true, err
}
