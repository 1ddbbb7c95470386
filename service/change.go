package service

import (
	"context"
	"errors"

	"github.com/bizmetry/identity/service/perm"
	"github.com/bizmetry/identity/store"
)

// change is one change under the lock of the organization that a call is about.
type change struct {
	*store.Tx
	s   *Service
	c   *call
	org store.Organization
	by  *caller // read under the lock
	cat *catalogue
	now store.Micros
	// operation is the id that all events of a change of many have.
	operation string
}

// change runs fn under the lock, after it read the caller again: who was
// disabled or lost the permission a moment ago changes nothing any more. Of two
// administrators who remove each other, one wins.
func (s *Service) change(ctx context.Context, fn func(*change) error) error {
	c := callOf(ctx)
	err := s.commit(ctx, c.org, func(t *store.Tx) error {
		ch := &change{Tx: t, s: s, c: c, now: store.At(s.now())}
		if err := ch.begin(ctx, t.Reads); err != nil {
			return err
		}
		return fn(ch)
	}, c.caller.Org)
	if errors.Is(err, errEmailTaken) {
		return s.tellTaken(ctx, err)
	}
	return err
}

// begin reads the caller, and what is decided by.
func (ch *change) begin(ctx context.Context, q store.Reads) (err error) {
	if ch.by, ch.cat, ch.org, err = ch.s.readCaller(ctx, q, ch.c.caller.claims, ch.c.org); err != nil {
		return err
	}
	return ch.authorizeAgain()
}

// authorizeAgain repeats what the door decided, with the rights as they are now.
func (ch *change) authorizeAgain() error {
	m := ch.c.method
	if !m.allows(ch.by, false) {
		return ch.s.denied(ch.c)
	}
	if ch.c.org != ch.by.Org && !m.across(ch.by) && !ch.by.has(actInOrganizations) {
		return errNotFound
	}
	return nil
}

// record notes the event of this change: its type, what it was done to, and
// names and values that say what changed.
func (ch *change) record(kind, target string, data store.Data) {
	ch.recordIn(ch.org.ID, kind, target, data)
}

func (ch *change) recordIn(org, kind, target string, data store.Data) {
	ch.Record(ch.event(org, kind, target, data))
}

func (ch *change) event(org, kind, target string, data store.Data) store.Event {
	e := store.Event{
		Org: org, Time: ch.now, Type: kind, Target: target, Data: data,
		Actor: ch.by.ID, Credential: ch.by.proof(), RequestID: ch.c.requestID, Source: ch.c.source, Operation: ch.operation,
	}
	if ch.by.Org != org {
		e.ActorOrg = ch.by.Org
	}
	return e
}

// mustHold refuses to grant what the caller does not hold, at least until the
// given time (0: for ever).
func (ch *change) mustHold(set perm.Set, until store.Micros) error {
	missing := ch.by.held.Missing(set, int64(until))
	if !missing.Empty() || !ch.by.set.Contains(set) {
		return errGrantExceedsOwn
	}
	return nil
}

// mustControl refuses to silence or let in again a principal that holds what
// the caller does not hold now.
func (ch *change) mustControl(ctx context.Context, p store.Principal) error {
	held, err := ch.s.heldBy(ctx, ch.Reads, ch.cat, p)
	if err != nil {
		return err
	}
	return ch.mustHold(held.Set(), ch.now)
}

// mustOutlive refuses to become a principal, by a password or credential good
// until the given time, that then holds what the caller no longer does.
func (ch *change) mustOutlive(ctx context.Context, p store.Principal, until store.Micros) error {
	return ch.s.mustOutlive(ctx, ch.Reads, ch.cat, ch.by, p, until)
}

func (s *Service) mustOutlive(ctx context.Context, q store.Reads, cat *catalogue, by *caller, p store.Principal, until store.Micros) error {
	held, err := s.heldBy(ctx, q, cat, p)
	if err != nil {
		return err
	}
	if !by.held.MissingOf(held, int64(until)).Empty() || !by.set.Contains(held.Set()) {
		return errGrantExceedsOwn
	}
	return nil
}

// principal is the common part of a row of this organization.
func (ch *change) principal(kind, id string) store.Principal {
	return store.Principal{Org: ch.org.ID, ID: id, Kind: kind, Platform: ch.org.Platform}
}

// administers is the permission that makes an administrator.
const administers = "platform.administer"

// keepingAdministrator makes a change after which the organization still has
// an administrator, if it had one before; otherwise everything is rolled back.
func (ch *change) keepingAdministrator(ctx context.Context, fn func() error) error {
	before, err := ch.hasAdministrator(ctx)
	if err != nil {
		return err
	}
	if err := fn(); err != nil || !before {
		return err
	}
	after, err := ch.hasAdministrator(ctx)
	if err == nil && !after {
		err = errLastAdministrator
	}
	return err
}

func (ch *change) hasAdministrator(ctx context.Context) (bool, error) {
	return ch.HasAdministrator(ctx, ch.org.ID, ch.cat.RolesWith(administers), administers)
}

// nextEpoch ends everything that was issued in an epoch.
func (ch *change) nextEpoch(epoch store.Micros) store.Micros { return max(ch.now, epoch+1) }

// checkEtag compares the version that a caller saw, where it names one.
func checkEtag(etag string, version int64) error {
	if etag != "" && etag != etagOf(version) {
		return errEtag
	}
	return nil
}
