package letter

import (
	"context"
	"slices"
	"time"

	"github.com/bizmetry/identity/service/change"
	"github.com/bizmetry/identity/service/limit"
	"github.com/bizmetry/identity/service/outbox"
	"github.com/bizmetry/identity/store"
)

// noticesToAddress is how many notices of a kind an address gets at once from
// an organization. One more goes out when the window ends, so that whoever
// spends it first does not keep the last change from the person.
var noticesToAddress = limit.Budget{Name: "notices: address, organization and kind", Limit: 5, Window: time.Hour}

// Notice is a mail that tells a person of a change of how they sign in.
type Notice struct {
	Kind string
	To   store.User // with the address that it goes to
	more map[string]string
}

// Notify mails notices to a person, named as they are now, in the transaction
// of the change.
func (s *Letters) Notify(ctx context.Context, t *store.Tx, org store.Organization, u store.User, notices ...Notice) error {
	if len(notices) == 0 {
		return nil
	}
	charges := make([]limit.Charge, len(notices))
	for i, n := range notices {
		charges[i] = noticesToAddress.One(org.ID + " " + n.Kind + " " + n.To.EmailKey)
	}
	all, err := s.limits.Take(ctx, t, charges...)
	if err != nil {
		return err
	}
	var messages []store.Message
	for i, n := range notices {
		if all[i].Used > noticesToAddress.Limit+1 {
			continue
		}
		values := map[string]string{
			"name": u.DisplayName, "organization": org.DisplayName, "time": s.Now().UTC().Format("15:04 UTC on 2 January 2006"),
		}
		for name, value := range n.more {
			values[name] = value
		}
		m, err := s.outbox.Message(u.Org, n.Kind, mailbox(n.To), values)
		if err != nil {
			return err
		}
		m.Principal = u.ID
		if all[i].Used > noticesToAddress.Limit {
			m.Due = all[i].Again
		}
		messages = append(messages, m)
	}
	return t.Enqueue(ctx, messages...)
}

// Tell mails what was changed to the person, in the same transaction: under
// the address that they had before, so that whoever took an account over
// cannot keep it from them. A new address is told too. One that nobody proved
// gets nothing but links: in place of those that the change made void. Who is
// confirmed without a link, and has no password, gets one to choose it.
func (s *Letters) Tell(ctx context.Context, tx *change.Tx, former, u store.User, changed []string) error {
	var notices []Notice
	for _, what := range []string{"password", "phone"} {
		if former.Confirmed && slices.Contains(changed, what) {
			notices = append(notices, Notice{Kind: "mail." + what + "_changed", To: former})
		}
	}
	if former.EmailKey != u.EmailKey {
		both := map[string]string{"old": outbox.Masked(former.Email), "new": outbox.Masked(u.Email)}
		if former.Confirmed {
			notices = append(notices, Notice{"mail.email_changed", former, both})
		}
		if former.Confirmed || u.Confirmed {
			notices = append(notices, Notice{"mail.email_changed", u, both})
		}
	}
	if err := s.Notify(ctx, tx.Tx, tx.Org, u, notices...); err != nil {
		return err
	}
	void := former.EmailKey != u.EmailKey || slices.Contains(changed, "password")
	if vouched := !former.Confirmed && u.Confirmed; (!void && !vouched) || !u.Enabled {
		return nil
	}
	return s.InviteIfNeeded(ctx, tx, tx.Org, u)
}
