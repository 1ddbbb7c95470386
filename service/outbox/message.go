package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bizmetry/identity/service/notify"
	"github.com/bizmetry/identity/store"
)

// messageLife is how long a message means something where nothing else is said.
const messageLife = 7 * 24 * time.Hour

// letter is what of a message only its recipient may know.
type letter struct {
	To     string            `json:"to"`
	Values map[string]string `json:"values"` // what its text shows
}

// Message makes the row of a message, to be enqueued in the transaction of
// what it tells of. Kinds "mail.…" go by mail, "sms.…" by SMS; each has a
// template in notify. Where it means nothing any more sooner than after a
// week, the caller sets Expires.
func (s *Outbox) Message(org, kind, to string, values map[string]string) (store.Message, error) {
	now := s.Now()
	m := store.Message{
		Org: org, ID: s.NewID(), Kind: kind, Recipient: Masked(to),
		Created: store.At(now), Due: store.At(now), Expires: store.At(now.Add(messageLife)),
	}
	if err := notify.Check(kind, values); err != nil { // now, while somebody sees it
		return m, err
	}
	text, err := json.Marshal(letter{to, values})
	if err != nil {
		return m, err
	}
	m.Sealed = s.ring.Seal("outbox", text, m.Org, m.ID, m.Kind)
	return m, nil
}

// written is a message as it goes out.
func (s *Outbox) written(m store.Message) (notify.Message, error) {
	text, err := s.ring.Open("outbox", m.Sealed, m.Org, m.ID, m.Kind)
	if err != nil {
		return notify.Message{}, fmt.Errorf("message %s: %w", m.ID, err)
	}
	var l letter
	if err := json.Unmarshal(text, &l); err != nil {
		return notify.Message{}, fmt.Errorf("message %s: %w", m.ID, err)
	}
	return notify.Write(m.ID, m.Kind, l.To, l.Values)
}

// Masked keeps the first letter and the domain of an address, or the last two
// digits of a number.
func Masked(to string) string {
	if at := strings.LastIndexByte(to, '@'); at >= 0 {
		_, size := utf8.DecodeRuneInString(to)
		return to[:min(size, at)] + "…" + to[at:]
	}
	return "…" + to[max(0, len(to)-2):]
}

// Activation is the kind of message that is nothing without its link.
const Activation = "mail.activation"

// voidOf returns which messages have a link that leads nowhere any more: the address
// was corrected, the user was deleted or disabled, or a newer link was sent.
func (s *Outbox) voidOf(ctx context.Context, claimed []store.Message, now store.Micros) (map[string]bool, error) {
	with := slices.DeleteFunc(slices.Clone(claimed), func(m store.Message) bool { return m.Kind != Activation })
	if len(with) == 0 {
		return nil, nil
	}
	links, err := s.store.OpenLinks(ctx, with, now)
	if err != nil {
		return nil, err
	}
	made := map[string]store.Micros{}
	for _, l := range links {
		made[l.User] = l.Created
	}
	void := map[string]bool{}
	for _, m := range with {
		link, open := made[m.Principal]
		void[m.ID] = !open || m.Created < link // that of the message was replaced
	}
	return void, nil
}
