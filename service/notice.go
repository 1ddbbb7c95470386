package service

import (
	"context"
	"slices"

	"github.com/bizmetry/identity/store"
)

// notice is a mail that tells a person of a change of how they sign in.
func (s *Service) notice(org store.Organization, u store.User, kind, to string, more map[string]string) (store.Message, error) {
	values := map[string]string{
		"name": u.DisplayName, "organization": org.DisplayName, "time": s.now().UTC().Format("15:04 UTC on 2 January 2006"),
	}
	for name, value := range more {
		values[name] = value
	}
	m, err := s.message(u.Org, kind, to, values)
	m.Principal = u.ID
	return m, err
}

// tell mails what was changed to the person, in the same transaction: under
// the address that they had before, so that whoever took an account over
// cannot keep it from them. A new address is told too, and where it is not
// confirmed gets a link.
func (ch *change) tell(ctx context.Context, former, u store.User, changed []string) error {
	var messages []store.Message
	add := func(kind, to string, more map[string]string) error {
		m, err := ch.s.notice(ch.org, u, kind, to, more)
		messages = append(messages, m)
		return err
	}
	for _, what := range []string{"password", "phone"} {
		if slices.Contains(changed, what) {
			if err := add("mail."+what+"_changed", mailbox(former), nil); err != nil {
				return err
			}
		}
	}
	if former.EmailKey != u.EmailKey {
		both := map[string]string{"old": masked(former.Email), "new": masked(u.Email)}
		for _, to := range []string{mailbox(former), mailbox(u)} {
			if err := add("mail.email_changed", to, both); err != nil {
				return err
			}
		}
	}
	if err := ch.Enqueue(ctx, messages...); err != nil {
		return err
	}
	if former.EmailKey != u.EmailKey && !u.Confirmed {
		return ch.invite(ctx, ch.org, u)
	}
	return nil
}
