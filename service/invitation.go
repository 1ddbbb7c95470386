package service

import (
	"context"
	"strings"
	"time"

	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/store"
)

// linkLife is how long an activation link is good.
const linkLife = 72 * time.Hour

// How many links are mailed, whatever for. Of an address each organization has
// a budget of its own, so that none keeps another from inviting somebody.
var (
	linksToAddress        = budget{"links: address and organization", 5, time.Hour}
	linksToAddressFromAll = budget{"links: address", 20, time.Hour}
	linksByCaller         = budget{"links: caller", 10_000, 24 * time.Hour}
	linksOfOrganization   = budget{"links: organization", 10_000, 24 * time.Hour}
)

// invite makes activation links for people who were just written, in place of
// those they had, and mails them in the same transaction. Whom a spent budget
// leaves without is returned, by id, with the time when there may be a link
// again; an event says so too.
func (ch *change) invite(ctx context.Context, org store.Organization, users ...store.User) (withheld map[string]store.Micros, err error) {
	if len(users) == 0 {
		return nil, nil
	}
	withheld, err = ch.spendOnLinks(ctx, org, users)
	if err != nil {
		return nil, err
	}
	var links []store.Link
	var messages []store.Message
	for _, u := range users {
		if withheld[u.ID] != 0 {
			ch.recordIn(org.ID, "user.activation_withheld", u.ID, nil)
			continue
		}
		l, m, err := ch.s.invitation(org, u)
		if err != nil {
			return nil, err
		}
		links, messages = append(links, l), append(messages, m)
	}
	if err := ch.PutLinks(ctx, links...); err != nil {
		return nil, err
	}
	return withheld, ch.Enqueue(ctx, messages...)
}

// spendOnLinks takes a link for each person, with one statement for a few of
// them, and returns for whom there is none.
func (ch *change) spendOnLinks(ctx context.Context, org store.Organization, users []store.User) (map[string]store.Micros, error) {
	n := int64(len(users))
	charges := []charge{{linksByCaller, ch.by.ID, n}, {linksOfOrganization, org.ID, n}}
	for _, u := range users {
		charges = append(charges, linksToAddress.one(org.ID+" "+u.EmailKey), linksToAddressFromAll.one(u.EmailKey))
	}
	all, err := ch.s.take(ctx, ch, charges...)
	if err != nil {
		return nil, err
	}
	withheld := map[string]store.Micros{}
	left, again := min(all[0].left, all[1].left), max(all[0].again, all[1].again)
	for i, u := range users {
		here, anywhere := all[2+2*i], all[3+2*i]
		switch {
		case left == 0:
			withheld[u.ID] = again
		case here.left == 0 || anywhere.left == 0:
			withheld[u.ID] = max(here.again, anywhere.again)
		default:
			left--
		}
	}
	return withheld, nil
}

// inviteUnlessConfirmed is invite for a person whose address may be proven already.
func (ch *change) inviteUnlessConfirmed(ctx context.Context, org store.Organization, u store.User) error {
	if u.Confirmed {
		return nil
	}
	_, err := ch.invite(ctx, org, u)
	return err
}

// invitation is the link of a person and the mail with it. It is void as soon
// as the address or the epoch is another, so nothing that changes either has
// to think of it.
func (s *Service) invitation(org store.Organization, u store.User) (store.Link, store.Message, error) {
	token, digest, err := secret.NewLinkToken(s.rand)
	if err != nil {
		return store.Link{}, store.Message{}, err
	}
	now := s.now()
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
	m, err := s.courier.message(u.Org, "mail.activation", mailbox(u), values)
	m.Principal, m.Expires = u.ID, l.Expires
	return l, m, err
}

// mailbox is where mail for a person goes: the address as given, with the
// domain in the form that mail servers know.
func mailbox(u store.User) string {
	return u.Email[:strings.LastIndexByte(u.Email, '@')] + u.EmailKey[strings.LastIndexByte(u.EmailKey, '@'):]
}
