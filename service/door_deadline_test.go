package service_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store"
)

// Calls that ran out of time and are made again leave exactly one person each.
func TestTransport_GR05_Deadlines(t *testing.T) {
	const people, callers = 200, 8
	eachURL(t, func(t *testing.T, url string) {
		book := &logBook{}
		w := servicetest.New(t, url, func(c *service.Config) { c.Log = book.logger() })
		org := w.NewOrg()
		drafts := make([]*identityv1.User, people)
		for i := range drafts {
			drafts[i] = w.Draft()
			drafts[i].Password, drafts[i].Confirmed = nil, nil
		}
		said, mu := map[codes.Code]int{}, sync.Mutex{}
		create := func(ctx context.Context, i int) (*identityv1.User, error) {
			return w.Users.CreateUser(ctx, &identityv1.CreateUserRequest{User: drafts[i], RequestId: fmt.Sprint("create ", i)})
		}
		each := func(fn func(i int)) {
			var wg sync.WaitGroup
			for c := range callers {
				wg.Go(func() {
					for i := c; i < people; i += callers {
						fn(i)
					}
				})
			}
			wg.Wait()
		}
		each(func(i int) {
			wait := time.Millisecond // for half of them, and for the others more and more
			if i%2 == 1 {
				wait = time.Duration(i) * 300 * time.Microsecond
			}
			ctx, cancel := context.WithTimeout(w.As(org.Admin.Token), wait)
			defer cancel()
			_, err := create(ctx, i)
			mu.Lock()
			defer mu.Unlock()
			said[status.Code(err)]++
		})
		ids := make([]string, people)
		each(func(i int) {
			u, err := create(w.As(org.Admin.Token), i)
			if err != nil {
				t.Errorf("retry of %d: %v", i, err)
			}
			ids[i] = u.GetId()
		})
		t.Logf("before the retry: %v", said)
		for code := range said {
			if code != codes.OK && code != codes.DeadlineExceeded && code != codes.Unavailable {
				t.Errorf("a call that ran out of time says %v", code)
			}
		}
		events, err := trail(t.Context(), w.Store, org.GetId())
		noError(t, err)
		created := map[string]int{}
		for _, e := range events {
			if e.Type == "user.created" {
				created[e.Target]++
			}
		}
		for i, id := range ids {
			list, err := w.Store.Users(t.Context(), org.GetId(), store.UserFilter{EmailKey: drafts[i].GetEmail()}, store.Page{Order: "email", Limit: 5})
			if err != nil || len(list) != 1 || list[0].ID != id || created[id] != 1 {
				t.Errorf("%d people, %d events, %v", len(list), created[id], err)
			}
		}
		badges, err := w.Store.Badges(t.Context(), org.GetId())
		if err != nil || badges.UsersPending != people || len(created) != people+1 {
			t.Errorf("%+v, %d created, %v", badges, len(created), err)
		}
		if text := book.String(); strings.Contains(text, `"level":"ERROR"`) {
			t.Errorf("the log: %.1000s", text[strings.Index(text, `"level":"ERROR"`):])
		}
	})
}

// gRPC's health check needs no token and tells nothing else.
func TestTransport_GR02_Health(t *testing.T) {
	w, _ := observed(t)
	server := grpc.NewServer(w.Service.Door.ServerOptions()...)
	w.Service.Register(server)
	state := health.NewServer()
	healthv1.RegisterHealthServer(server, state)
	there := serveAt(t, server)
	client := healthv1.NewHealthClient(there)
	got, err := client.Check(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil || got.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("%v, %v", got, err)
	}
	_, err = client.Check(t.Context(), &healthv1.HealthCheckRequest{Service: "nobody"})
	if status.Code(err) != codes.NotFound {
		t.Errorf("an unknown service: %v", err)
	}
	state.SetServingStatus("", healthv1.HealthCheckResponse_NOT_SERVING)
	got, err = client.Check(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil || got.GetStatus() != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("%v, %v", got, err)
	}
	watch, err := client.Watch(t.Context(), &healthv1.HealthCheckRequest{})
	noError(t, err)
	if got, err := watch.Recv(); err != nil || got.GetStatus() != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("watch: %v, %v", got, err)
	}
	_, err = identityv1.NewUserServiceClient(there).GetMe(t.Context(), &identityv1.GetMeRequest{})
	servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID)
	for _, token := range []string{"", w.Root} {
		list, err := client.List(servicetest.As(t.Context(), token), &healthv1.HealthListRequest{})
		if err != nil || list.GetStatuses()[""].GetStatus() != healthv1.HealthCheckResponse_NOT_SERVING {
			t.Errorf("list: %v, %v", list, err)
		}
		var answer healthv1.HealthListResponse // what nobody declared is for nobody
		err = there.Invoke(servicetest.As(t.Context(), token), "/grpc.health.v1.Health/Else", &healthv1.HealthListRequest{}, &answer)
		servicetest.Refused(t, err, codes.Unimplemented, identityv1.Error_UNKNOWN_METHOD)
	}
}
