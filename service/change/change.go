// Package change runs one change of identity or authority: it takes the lock of
// the organization, reads the caller again, and gives the rule a Tx with the
// rules that several nouns share: nobody grants what they do not hold, an
// administrator stays, grants, the end of sessions, versions, events and request
// ids. It must not know the rules of one noun alone.
package change

import (
	"context"

	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/authority"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/kit"
	"github.com/bizmetry/identity/service/perm"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/service/wire"
	"github.com/bizmetry/identity/store"
)

// Changes runs changes of identity and authority.
type Changes struct {
	kit.Kit

	store     *store.Store
	ring      *secret.KeyRing
	authority *authority.Authority
}

// New returns the runner of changes.
func New(k kit.Kit, st *store.Store, ring *secret.KeyRing, a *authority.Authority) *Changes {
	return &Changes{Kit: k, store: st, ring: ring, authority: a}
}

// Decision is what a change, or a look ahead of one, is decided by: the call,
// its caller as they are now, the catalogue, the organization and the time.
type Decision struct {
	Call      *door.Call
	By        *door.Caller
	Org       store.Organization
	Catalogue *authority.Catalogue
	Now       store.Micros
	// Operation is the id shared by all events of a bulk change or import.
	Operation string
}

// Tx is one change under the lock of the organization that a call is about.
type Tx struct {
	*store.Tx
	Decision
	s *Changes
}

// Run runs fn under the lock, after it read the caller again: who was
// disabled or lost the permission a moment ago changes nothing any more. Of two
// administrators who remove each other, one wins.
func (s *Changes) Run(ctx context.Context, fn func(*Tx) error) error {
	c := door.CallOf(ctx)
	return s.authority.Commit(ctx, c.Org, func(t *store.Tx) error {
		d, err := s.decide(ctx, t.Reads)
		if err != nil {
			return err
		}
		return fn(&Tx{Tx: t, Decision: d, s: s})
	}, c.Caller.Org)
}

// decide reads the caller, and what is decided by, and repeats what the door
// decided with the rights as they are now.
func (s *Changes) decide(ctx context.Context, q store.Reads) (d Decision, err error) {
	d = Decision{Call: door.CallOf(ctx), Now: store.At(s.Now())}
	if d.By, d.Catalogue, d.Org, err = s.authority.ReadCaller(ctx, q, d.Call.Caller.Claims, d.Call.Org); err != nil {
		return d, err
	}
	if !d.Call.Method.Allows(d.By, d.Call.Self) {
		return d, d.Call.Denied()
	}
	if !d.Call.Method.Opens(d.By, d.Call.Org) {
		return d, answer.ErrNotFound
	}
	return d, nil
}

// Note notes the event of this change: its type, what it was done to, and
// names and values that say what changed.
func (tx *Tx) Note(kind, target string, data store.Data) {
	tx.NoteIn(tx.Org.ID, kind, target, data)
}

// NoteIn is Note for an event of another organization whose lock is held.
func (tx *Tx) NoteIn(org, kind, target string, data store.Data) {
	tx.Record(tx.Event(org, kind, target, data))
}

// Event is an event of this change.
func (d *Decision) Event(org, kind, target string, data store.Data) store.Event {
	e := store.Event{
		Org: org, Time: d.Now, Type: kind, Target: target, Data: data,
		Actor: d.By.ID, Credential: d.By.Proof(), RequestID: d.Call.RequestID, Source: d.Call.Source, Operation: d.Operation,
	}
	if d.By.Org != org {
		e.ActorOrg = d.By.Org
	}
	return e
}

// MustHold returns ErrGrantExceedsOwn unless the caller holds all of set, at least
// until the given time (0: for ever).
func (d *Decision) MustHold(set perm.Set, until store.Micros) error {
	missing := d.By.Held.Missing(set, int64(until))
	if !missing.Empty() || !d.By.Set.Contains(set) {
		return answer.ErrGrantExceedsOwn
	}
	return nil
}

// MustControl returns ErrGrantExceedsOwn unless the caller now holds all that p
// holds. It guards whatever shuts p out or lets it in again, and taking from it.
func (tx *Tx) MustControl(ctx context.Context, p store.Principal) error {
	held, err := tx.Catalogue.HeldBy(ctx, tx.Reads, p, tx.Now)
	if err != nil {
		return err
	}
	return tx.MustHold(held.Set(), tx.Now)
}

// MustOutlive returns ErrGrantExceedsOwn unless the caller holds all that p holds,
// for as long as p does, up to until (0: for ever). It guards setting
// anything that p signs in with, because whoever sets it could act as p.
func (tx *Tx) MustOutlive(ctx context.Context, p store.Principal, until store.Micros) error {
	return tx.outlives(ctx, tx.Reads, p, until)
}

func (d *Decision) outlives(ctx context.Context, q store.Reads, p store.Principal, until store.Micros) error {
	held, err := d.Catalogue.HeldBy(ctx, q, p, d.Now)
	if err != nil {
		return err
	}
	if !d.By.Held.MissingOf(held, int64(until)).Empty() || !d.By.Set.Contains(held.Set()) {
		return answer.ErrGrantExceedsOwn
	}
	return nil
}

// PrincipalOf is the common part of a row of this organization.
func (d *Decision) PrincipalOf(kind, id string) store.Principal {
	return store.Principal{Org: d.Org.ID, ID: id, Kind: kind, Platform: d.Org.Platform}
}

// NextEpoch returns an epoch after the given one; what was issued before is void.
func (d *Decision) NextEpoch(epoch store.Micros) store.Micros { return max(d.Now, epoch+1) }

// CheckEtag compares the version that a caller saw, where it names one.
func CheckEtag(etag string, version int64) error {
	if etag != "" && etag != wire.Etag(version) {
		return answer.ErrEtag
	}
	return nil
}
