// Package event implements EventService: it reads the audit trail. Whatever
// makes a change records its event in the same transaction, mostly through
// package change. It must not know what events mean.
package event

import (
	"context"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/page"
	"github.com/bizmetry/identity/service/wire"
	"github.com/bizmetry/identity/store"
)

// Events implements EventService.
type Events struct {
	identityv1.UnsafeEventServiceServer

	store *store.Store
	pages *page.Pages
}

// New returns the implementation of EventService.
func New(st *store.Store, pages *page.Pages) *Events { return &Events{store: st, pages: pages} }

// ListEvents returns a page of the audit trail, newest first.
func (s *Events) ListEvents(ctx context.Context, req *identityv1.ListEventsRequest) (*identityv1.ListEventsResponse, error) {
	c := door.CallOf(ctx)
	org := c.Org
	in := req.GetFilter()
	filter := store.EventFilter{Actor: in.GetActorId(), Target: in.GetTargetId(), Type: in.GetType()}
	if in.GetStartTime() != nil {
		filter.From = store.At(in.GetStartTime().AsTime())
	}
	if in.GetEndTime() != nil {
		filter.To = store.At(in.GetEndTime().AsTime())
	}
	span, err := s.pages.Open(ctx, req, "seq desc", "")
	if err != nil {
		return nil, err
	}
	var before int64
	if span.After != nil {
		before = span.After.Key.(int64)
	}
	found, err := s.store.Events(ctx, org, filter, before, span.Skip, span.Limit)
	if err != nil {
		return nil, err
	}
	resp := &identityv1.ListEventsResponse{}
	var events []store.Event
	events, resp.NextPageToken = page.NextShort(ctx, s.pages, req, found, func(e store.Event) store.Cursor { return store.Cursor{Key: e.Seq} })
	for _, e := range events {
		resp.Events = append(resp.Events, eventProto(e, c.Caller.Org))
	}
	if n := page.Fit(resp.Events); n < len(events) {
		resp.Events, resp.NextPageToken = resp.Events[:n], s.pages.After(ctx, req, store.Cursor{Key: events[n-1].Seq})
	}
	n, err := s.store.CountEvents(ctx, org, filter, page.MaxCount+1)
	resp.TotalSize, resp.TotalCapped = page.Capped(n.Matched, n.Capped)
	return resp, err
}

// eventProto is an event as a reader of an organization sees it. From where people of
// another organization called, such as operators of the platform, is theirs to know.
func eventProto(e store.Event, reader string) *identityv1.Event {
	if e.ActorOrg != "" && e.ActorOrg != reader {
		e.Source = ""
	}
	return &identityv1.Event{
		Sequence: e.Seq, OrganizationId: e.Org, Time: wire.Stamp(e.Time), Type: e.Type,
		Actor:    &identityv1.Event_Actor{Id: e.Actor, OrganizationId: e.ActorOrg, CredentialId: e.Credential},
		TargetId: e.Target, Data: e.Data, RequestId: e.RequestID, Source: e.Source, OperationId: e.Operation,
	}
}
