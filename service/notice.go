package service

import (
	"context"
	"slices"
	"time"

	"github.com/bizmetry/identity/store"
)

// noticesToAddress is how many notices of a kind an address gets at once from
// an organization. One more goes out when the window ends, so that whoever
// spends it first does not keep the last change from the person.
var noticesToAddress = budget{"notices: address, organization and kind", 5, time.Hour}

// notice is a mail that tells a person of a change of how they sign in.
type notice struct {
	kind string
	to   store.User // with the address that it goes to
	more map[string]string
}

// notify mails notices to a person, named as they are now, in the transaction
// of the change.
func (s *Service) notify(ctx context.Context, t *store.Tx, org store.Organization, u store.User, notices ...notice) error {
	if len(notices) == 0 {
		return nil
	}
	charges := make([]charge, len(notices))
	for i, n := range notices {
		charges[i] = noticesToAddress.one(org.ID + " " + n.kind + " " + n.to.EmailKey)
	}
	all, err := s.take(ctx, t, charges...)
	if err != nil {
		return err
	}
	var messages []store.Message
	for i, n := range notices {
		if all[i].used > noticesToAddress.limit+1 {
			continue
		}
		values := map[string]string{
			"name": u.DisplayName, "organization": org.DisplayName, "time": s.now().UTC().Format("15:04 UTC on 2 January 2006"),
		}
		for name, value := range n.more {
			values[name] = value
		}
		m, err := s.courier.message(u.Org, n.kind, mailbox(n.to), values)
		if err != nil {
			return err
		}
		m.Principal = u.ID
		if all[i].used > noticesToAddress.limit {
			m.Due = all[i].again
		}
		messages = append(messages, m)
	}
	return t.Enqueue(ctx, messages...)
}

// tell mails what was changed to the person, in the same transaction: under
// the address that they had before, so that whoever took an account over
// cannot keep it from them. A new address is told too. One that nobody proved
// gets nothing but links: in place of those that the change made void.
func (ch *change) tell(ctx context.Context, former, u store.User, changed []string) error {
	var notices []notice
	for _, what := range []string{"password", "phone"} {
		if former.Confirmed && slices.Contains(changed, what) {
			notices = append(notices, notice{kind: "mail." + what + "_changed", to: former})
		}
	}
	if former.EmailKey != u.EmailKey {
		both := map[string]string{"old": masked(former.Email), "new": masked(u.Email)}
		if former.Confirmed {
			notices = append(notices, notice{"mail.email_changed", former, both})
		}
		if former.Confirmed || u.Confirmed {
			notices = append(notices, notice{"mail.email_changed", u, both})
		}
	}
	if err := ch.s.notify(ctx, ch.Tx, ch.org, u, notices...); err != nil {
		return err
	}
	if void := former.EmailKey != u.EmailKey || slices.Contains(changed, "password"); !void || !u.Enabled {
		return nil
	}
	return ch.inviteUnlessConfirmed(ctx, ch.org, u)
}
