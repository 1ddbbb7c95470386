// Package letter writes activation links and notices for users into the outbox,
// in the same transaction as the change they are about, within mail budgets. It
// must not know the rules by which users change.
package letter

import (
	"context"
	"strings"
	"time"

	"github.com/bizmetry/identity/service/change"
	"github.com/bizmetry/identity/service/kit"
	"github.com/bizmetry/identity/service/limit"
	"github.com/bizmetry/identity/service/outbox"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/store"
)

// Letters mails links and notices, in the transaction of what they tell of.
type Letters struct {
	kit.Kit

	issuer string
	limits *limit.Limits
	outbox *outbox.Outbox
}

// New makes letters whose links lead to the issuer.
func New(k kit.Kit, issuer string, limits *limit.Limits, o *outbox.Outbox) *Letters {
	return &Letters{Kit: k, issuer: issuer, limits: limits, outbox: o}
}

// linkLife is how long an activation link is good.
const linkLife = 72 * time.Hour

// How many links are mailed, whatever for. Of an address each organization has
// a budget of its own, so that none keeps another from inviting somebody.
var (
	linksToAddress        = limit.Budget{Name: "links: address and organization", Limit: 5, Window: time.Hour}
	linksToAddressFromAll = limit.Budget{Name: "links: address", Limit: 20, Window: time.Hour}
	linksByCaller         = limit.Budget{Name: "links: caller", Limit: 10_000, Window: 24 * time.Hour}
	linksOfOrganization   = limit.Budget{Name: "links: organization", Limit: 10_000, Window: 24 * time.Hour}
)

// Invite makes activation links for people who were just written, in place of
// those they had, and mails them in the same transaction. Whom a spent budget
// leaves without is returned, by id, with the time when there may be a link
// again; an event says so too.
func (s *Letters) Invite(ctx context.Context, tx *change.Tx, org store.Organization, users ...store.User) (withheld map[string]store.Micros, err error) {
	if len(users) == 0 {
		return nil, nil
	}
	withheld, err = s.spendOnLinks(ctx, tx, org, users)
	if err != nil {
		return nil, err
	}
	var links []store.Link
	var messages []store.Message
	for _, u := range users {
		if withheld[u.ID] != 0 {
			tx.NoteIn(org.ID, store.EventUserActivationWithheld, u.ID, nil)
			continue
		}
		l, m, err := s.invitation(org, u)
		if err != nil {
			return nil, err
		}
		links, messages = append(links, l), append(messages, m)
	}
	if err := tx.PutLinks(ctx, links...); err != nil {
		return nil, err
	}
	return withheld, tx.Enqueue(ctx, messages...)
}

// spendOnLinks takes a link for each person, with one statement for a few of
// them, and returns for whom there is none.
func (s *Letters) spendOnLinks(ctx context.Context, tx *change.Tx, org store.Organization, users []store.User) (map[string]store.Micros, error) {
	n := int64(len(users))
	charges := []limit.Charge{{Of: linksByCaller, Whose: tx.By.ID, N: n}, {Of: linksOfOrganization, Whose: org.ID, N: n}}
	for _, u := range users {
		charges = append(charges, linksToAddress.One(org.ID+" "+u.EmailKey), linksToAddressFromAll.One(u.EmailKey))
	}
	all, err := s.limits.Take(ctx, tx, charges...)
	if err != nil {
		return nil, err
	}
	withheld := map[string]store.Micros{}
	left, again := min(all[0].Left, all[1].Left), max(all[0].Again, all[1].Again)
	for i, u := range users {
		here, anywhere := all[2+2*i], all[3+2*i]
		switch {
		case left == 0:
			withheld[u.ID] = again
		case here.Left == 0 || anywhere.Left == 0:
			withheld[u.ID] = max(here.Again, anywhere.Again)
		default:
			left--
		}
	}
	return withheld, nil
}

// InviteUnlessConfirmed is Invite for a person whose address may be proven already, or
// who is not let in yet: enabling them sends the link.
func (s *Letters) InviteUnlessConfirmed(ctx context.Context, tx *change.Tx, org store.Organization, u store.User) error {
	if u.Confirmed || !u.Enabled {
		return nil
	}
	_, err := s.Invite(ctx, tx, org, u)
	return err
}

// invitation is the link of a person and the mail with it. It is void as soon
// as the address or the epoch is another, so nothing that changes either has
// to think of it.
func (s *Letters) invitation(org store.Organization, u store.User) (store.Link, store.Message, error) {
	token, digest, err := secret.NewLinkToken(s.Rand)
	if err != nil {
		return store.Link{}, store.Message{}, err
	}
	now := s.Now()
	l := store.Link{
		Org: u.Org, User: u.ID, Digest: digest, EmailKey: u.EmailKey, Epoch: u.Epoch,
		Created: store.At(now), Expires: store.At(now.Add(linkLife)),
	}
	values := map[string]string{
		"name": u.DisplayName, "organization": org.DisplayName, "link": strings.TrimSuffix(s.issuer, "/") + "/activate?token=" + token, "password": "set",
	}
	if u.PasswordHash == "" {
		values["password"] = "none"
	}
	m, err := s.outbox.Message(u.Org, "mail.activation", mailbox(u), values)
	m.Principal, m.Expires = u.ID, l.Expires
	return l, m, err
}

// mailbox is where mail for a person goes: the address as given, with the
// domain in the form that mail servers know.
func mailbox(u store.User) string {
	return u.Email[:strings.LastIndexByte(u.Email, '@')] + u.EmailKey[strings.LastIndexByte(u.EmailKey, '@'):]
}
