package service_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/store/storetest"
)

// held is what a limit holds now, as the metrics say.
func held(t *testing.T, metrics *prometheus.Registry, limit string) float64 {
	t.Helper()
	families, err := metrics.Gather()
	noError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "identity_limit_held" && m.GetLabel()[0].GetValue() == limit {
				return m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no metric of %s", limit)
	return 0
}

// longEvents gives an organization events that are long to answer with.
func longEvents(t *testing.T, w *servicetest.World, org string, n int) {
	t.Helper()
	_, err := w.Store.Change(t.Context(), org, func(tx *store.Tx) error {
		for range n {
			tx.Record(store.Event{Org: org, Time: 1, Type: "organization.updated", Target: org, Data: store.Data{"text": strings.Repeat("x", 20<<10)}})
		}
		return nil
	})
	noError(t, err)
}

// A page of more than 200 ends where its answer is large enough, and its token goes on.
func TestAnswers_LargePagesEndEarly(t *testing.T) {
	eachURL(t, func(t *testing.T, url string) {
		w := servicetest.New(t, url)
		org := w.NewOrg()
		longEvents(t, w, org.GetId(), 450)
		req := &identityv1.ListEventsRequest{PageSize: 1000, Filter: &identityv1.ListEventsRequest_Filter{Type: new("organization.updated")}}
		var sizes []int
		seen := map[int64]bool{}
		for {
			resp, err := w.Events.ListEvents(w.As(org.Admin.Token), req, grpc.MaxCallRecvMsgSize(16<<20))
			noError(t, err)
			for _, e := range resp.GetEvents() {
				if seen[e.GetSequence()] {
					t.Fatalf("event %d comes twice", e.GetSequence())
				}
				seen[e.GetSequence()] = true
			}
			sizes = append(sizes, len(resp.GetEvents()))
			if req.PageToken = resp.GetNextPageToken(); req.GetPageToken() == "" {
				break
			}
		}
		if len(seen) != 450 || !slices.Equal(sizes, []int{200, 200, 50}) {
			t.Errorf("%d events in pages of %v", len(seen), sizes)
		}
	})
}

// Whoever asks for large pages and does not read them holds a share of the bytes, and
// gives it back when they go. Others are answered meanwhile.
func TestAnswers_UnreadOnesAreBounded(t *testing.T) {
	metrics := prometheus.NewRegistry()
	w := servicetest.New(t, storetest.SQLite(t), func(c *service.Config) { c.Metrics = metrics })
	a, b := w.NewOrg(), w.NewOrg()
	longEvents(t, w, a.GetId(), 200)
	for i := range 30 {
		conn, err := grpc.NewClient(fmt.Sprintf("passthrough:///%s", w.Conn.Target()), grpc.WithTransportCredentials(insecure.NewCredentials()))
		noError(t, err)
		defer conn.Close()
		ctx, stop := context.WithCancel(w.As(a.Admin.Token))
		defer stop()
		stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, identityv1.EventService_ListEvents_FullMethodName)
		noError(t, err)
		noError(t, stream.SendMsg(&identityv1.ListEventsRequest{PageSize: 1000}))
		noError(t, stream.CloseSend())
		if i == 29 {
			servicetest.Eventually(t, "answers are unread", func() bool { return held(t, metrics, "answer bytes") > 1<<20 })
			time.Sleep(200 * time.Millisecond)
			if n := held(t, metrics, "answer bytes"); n > 16<<20 {
				t.Errorf("%.0f bytes are held for one caller", n)
			}
			if _, err := w.Events.ListEvents(w.As(b.Admin.Token), &identityv1.ListEventsRequest{PageSize: 1000}); err != nil {
				t.Errorf("another organization: %v", err)
			}
		}
		if i%2 == 0 { // some go by ending the call, the others by their connection
			defer stop()
		}
	}
	t.Cleanup(func() {
		servicetest.Eventually(t, "nothing is held when all have gone", func() bool { return held(t, metrics, "answer bytes") == 0 })
	})
}
