package service

import (
	"context"
	"errors"

	"github.com/bizmetry/identity/service/perm"
	"github.com/bizmetry/identity/store"
)

// decision is what a change, or a look ahead of one, is decided by: the call,
// its caller as they are now, the catalogue, the organization and the time.
type decision struct {
	c   *call
	by  *caller
	org store.Organization
	cat *catalogue
	now store.Micros
	// operation is the id that all events of a change of many have.
	operation string
}

// change is one change under the lock of the organization that a call is about.
type change struct {
	*store.Tx
	decision
	s *Service
}

// change runs fn under the lock, after it read the caller again: who was
// disabled or lost the permission a moment ago changes nothing any more. Of two
// administrators who remove each other, one wins.
func (s *Service) change(ctx context.Context, fn func(*change) error) error {
	c := callOf(ctx)
	err := s.commit(ctx, c.org, func(t *store.Tx) error {
		d, err := s.decide(ctx, t.Reads)
		if err != nil {
			return err
		}
		return fn(&change{Tx: t, decision: d, s: s})
	}, c.caller.Org)
	if errors.Is(err, errEmailTaken) {
		return s.onTaken(ctx, err)
	}
	return err
}

// decide reads the caller, and what is decided by, and repeats what the door
// decided with the rights as they are now.
func (s *Service) decide(ctx context.Context, q store.Reads) (d decision, err error) {
	d = decision{c: callOf(ctx), now: store.At(s.now())}
	if d.by, d.cat, d.org, err = s.readCaller(ctx, q, d.c.caller.claims, d.c.org); err != nil {
		return d, err
	}
	if !d.c.method.allows(d.by, false) {
		return d, d.c.denied()
	}
	if !d.c.method.opens(d.by, d.c.org) {
		return d, errNotFound
	}
	return d, nil
}

// record notes the event of this change: its type, what it was done to, and
// names and values that say what changed.
func (ch *change) record(kind, target string, data store.Data) {
	ch.recordIn(ch.org.ID, kind, target, data)
}

func (ch *change) recordIn(org, kind, target string, data store.Data) {
	ch.Record(ch.event(org, kind, target, data))
}

// event is an event of this change.
func (d *decision) event(org, kind, target string, data store.Data) store.Event {
	e := store.Event{
		Org: org, Time: d.now, Type: kind, Target: target, Data: data,
		Actor: d.by.ID, Credential: d.by.proof(), RequestID: d.c.requestID, Source: d.c.source, Operation: d.operation,
	}
	if d.by.Org != org {
		e.ActorOrg = d.by.Org
	}
	return e
}

// mustHold refuses to grant what the caller does not hold, at least until the
// given time (0: for ever).
func (d *decision) mustHold(set perm.Set, until store.Micros) error {
	missing := d.by.held.Missing(set, int64(until))
	if !missing.Empty() || !d.by.set.Contains(set) {
		return errGrantExceedsOwn
	}
	return nil
}

// mustControl refuses to silence or let in again a principal that holds what
// the caller does not hold now.
func (ch *change) mustControl(ctx context.Context, p store.Principal) error {
	held, err := ch.cat.heldBy(ctx, ch.Reads, p, ch.now)
	if err != nil {
		return err
	}
	return ch.mustHold(held.Set(), ch.now)
}

// mustOutlive refuses to become a principal, by a password or credential good
// until the given time, that then holds what the caller no longer does.
func (ch *change) mustOutlive(ctx context.Context, p store.Principal, until store.Micros) error {
	return ch.outlives(ctx, ch.Reads, p, until)
}

func (d *decision) outlives(ctx context.Context, q store.Reads, p store.Principal, until store.Micros) error {
	held, err := d.cat.heldBy(ctx, q, p, d.now)
	if err != nil {
		return err
	}
	if !d.by.held.MissingOf(held, int64(until)).Empty() || !d.by.set.Contains(held.Set()) {
		return errGrantExceedsOwn
	}
	return nil
}

// principal is the common part of a row of this organization.
func (d *decision) principal(kind, id string) store.Principal {
	return store.Principal{Org: d.org.ID, ID: id, Kind: kind, Platform: d.org.Platform}
}

// nextEpoch ends everything that was issued in an epoch.
func (d *decision) nextEpoch(epoch store.Micros) store.Micros { return max(d.now, epoch+1) }

// checkEtag compares the version that a caller saw, where it names one.
func checkEtag(etag string, version int64) error {
	if etag != "" && etag != etagOf(version) {
		return errEtag
	}
	return nil
}
