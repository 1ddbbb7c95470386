package service

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/bizmetry/identity/store"
)

// letter is what of a message only its recipient may know.
type letter struct {
	To     string            `json:"to"`
	Values map[string]string `json:"values"` // what its templates show
}

// message makes the row of a message, to be enqueued in the transaction of
// what it tells of. Kinds "mail.…" go by mail, "sms.…" by SMS. Where it means
// nothing any more after a while, the caller sets Expires.
func (s *Service) message(org, kind, to string, values map[string]string) (store.Message, error) {
	now := store.At(s.now())
	m := store.Message{Org: org, ID: s.newID(), Kind: kind, Recipient: masked(to), Created: now, Due: now}
	text, err := json.Marshal(letter{to, values})
	if err != nil {
		return m, err
	}
	m.Sealed = s.ring.Seal("outbox", text, m.Org, m.ID, m.Kind)
	return m, nil
}

// open is what message sealed.
func (s *Service) open(m store.Message) (l letter, err error) {
	text, err := s.ring.Open("outbox", m.Sealed, m.Org, m.ID, m.Kind)
	if err == nil {
		err = json.Unmarshal(text, &l)
	}
	return l, err
}

// masked leaves of an address the first letter and the domain, and of a
// number its last two digits.
func masked(to string) string {
	if local, domain, ok := strings.Cut(to, "@"); ok {
		_, size := utf8.DecodeRuneInString(local)
		return local[:size] + "…@" + domain
	}
	return "…" + to[max(0, len(to)-2):]
}
