package service_test

import (
	"bytes"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service"
	"github.com/bizmetry/identity/service/servicetest"
)

// retryables are all methods that take a request id.
func retryables() (methods []protoreflect.MethodDescriptor) {
	for _, d := range rpcs() {
		if d.Input().Fields().ByName("request_id") != nil {
			methods = append(methods, d)
		}
	}
	return methods
}

// withoutSecret is an answer as a retry gets it.
func withoutSecret(resp proto.Message) string {
	resp = proto.Clone(resp)
	if f := resp.ProtoReflect().Descriptor().Fields().ByName("secret"); f != nil {
		resp.ProtoReflect().Clear(f)
	}
	return marshal(resp)
}

// eachRetryable runs the body for every method with a world, a customer, and
// two contexts that may make the call.
func eachRetryable(t *testing.T, body func(t *testing.T, r *retry)) {
	t.Helper()
	eachWorld(t, func(t *testing.T, w *world) {
		operator := w.NewPerson("", servicetest.SuperUser, servicetest.PlatformOperator)
		for _, d := range retryables() {
			t.Run(rpcName(d), func(t *testing.T) {
				a := w.newTenant()
				colleague := w.NewPerson(a.GetId(), servicetest.SuperUser)
				from := requestOf(t, rpcName(d))
				r := &retry{world: w, a: a, d: d, from: from, email: a.Admin.GetEmail(), token: from.as(w, a), other: colleague.Token}
				if from.root {
					r.email, r.other = servicetest.RootEmail, operator.Token
				}
				body(t, r)
			})
		}
	})
}

type retry struct {
	*world
	a            *tenant
	d            protoreflect.MethodDescriptor
	from         request
	email        string // of the caller
	token, other string
}

// request is new content under a request id.
func (r *retry) request(id string) proto.Message {
	req := r.from.make(r.world, r.a)
	if c, ok := req.(*identityv1.CreateCredentialRequest); ok { // the table's is always the same
		c.Credential.DisplayName = ptr(randomID())
		c.ServiceAccountId = r.NewMachine(r.a.Admin.Token, "", servicetest.MonitoringUser).GetId()
	}
	if c, ok := req.(*identityv1.CreateOrganizationRequest); ok {
		c.Organization.DisplayName = ptr(randomID())
	}
	return setText(req, "request_id", id)
}

func (r *retry) ask(token string, req proto.Message) (proto.Message, error) {
	return call(r.As(token), r.Conn, r.d, req)
}

func TestRequestIDs_GR09(t *testing.T) {
	var names []string
	for _, d := range retryables() {
		names = append(names, rpcName(d))
	}
	for _, d := range rpcs() { // every create and mint takes one
		if strings.HasPrefix(string(d.Name()), "Create") && !slices.Contains(names, rpcName(d)) {
			t.Errorf("%s takes no request id", rpcName(d))
		}
	}
	for _, name := range []string{"SessionService.SignIn", "ServiceAccountService.IssueToken"} {
		if slices.Contains(names, name) {
			t.Errorf("%s takes a request id: it would keep a secret", name)
		}
	}
}

// TestRetry_GR09: a repeat gets the first outcome and does nothing.
func TestRetry_GR09(t *testing.T) {
	eachRetryable(t, func(t *testing.T, r *retry) {
		req := r.request("first")
		first := must[proto.Message](t)(r.ask(r.token, req))
		events := r.events(t)
		for _, step := range []time.Duration{0, time.Second, 10 * time.Minute} {
			r.Clock.Add(step)
			again, err := r.ask(r.token, req)
			if err != nil || marshal(again) != withoutSecret(first) {
				t.Errorf("after %v: %v, %v, want %v", step, again, err, first)
			}
		}
		if n := r.events(t); n != events {
			t.Errorf("%d more events", n-events)
		}
		r.Clock.Add(-10*time.Minute - time.Second) // the next method's turn
		secret := first.ProtoReflect().Descriptor().Fields().ByName("secret")
		var kept []byte
		if err := r.db.QueryRowContext(t.Context(), `SELECT response FROM request_ids ORDER BY create_time DESC`).Scan(&kept); err != nil {
			t.Fatal(err)
		}
		if secret != nil && (first.ProtoReflect().Get(secret).String() == "" || bytes.Contains(kept, []byte("bms_"))) {
			t.Error("the secret was not shown, or was kept")
		}
	})
}

// TestOtherContent_GR09: an id stands for one content of one method.
func TestOtherContent_GR09(t *testing.T) {
	eachRetryable(t, func(t *testing.T, r *retry) {
		id := "other content " + rpcName(r.d)
		must[proto.Message](t)(r.ask(r.token, r.request(id)))
		second := r.request(id)
		events := r.events(t)
		_, err := r.ask(r.token, second)
		servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_REQUEST_ID_REUSED)
		var others []string
		for _, d := range retryables() {
			if d == r.d || requestOf(t, rpcName(d)).root != r.from.root {
				continue
			}
			others = append(others, rpcName(d))
			req := setText(requestOf(t, rpcName(d)).make(r.world, r.a), "request_id", id)
			before := r.events(t)
			_, err := call(r.As(r.token), r.Conn, d, req)
			servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_REQUEST_ID_REUSED)
			events += r.events(t) - before
		}
		if n := r.events(t); len(others) == 0 && n != events {
			t.Errorf("%d more events", n-events)
		}
	})
}

// TestOtherCaller_GR09: an id is the caller's own.
func TestOtherCaller_GR09(t *testing.T) {
	eachRetryable(t, func(t *testing.T, r *retry) {
		id := "other caller"
		first := must[proto.Message](t)(r.ask(r.token, r.request(id)))
		admin := r.a.Admin.Token
		if r.from.own {
			r.a.Admin.Token = r.other
		}
		req := r.request(id)
		r.a.Admin.Token = admin
		second, err := r.ask(r.other, req)
		if err != nil || withoutSecret(first) == withoutSecret(second) {
			t.Errorf("another caller gets %v, %v", second, err)
		}
		again, err := r.ask(r.SignIn(r.email, servicetest.RootPassword), r.request(id))
		if servicetest.Reason(err) != identityv1.Error_REQUEST_ID_REUSED.String() {
			t.Errorf("another session of the first caller gets %v, %v", again, err)
		}
	})
}

// TestAtOnce_GR09: of eight repeats at once one does it.
func TestAtOnce_GR09(t *testing.T) {
	eachRetryable(t, func(t *testing.T, r *retry) {
		once := r.request("once")
		before := r.events(t)
		must[proto.Message](t)(r.ask(r.token, once))
		each := r.events(t) - before
		req := r.request("at once")
		before = r.events(t)
		var all sync.WaitGroup
		answers, failures := make([]proto.Message, 8), make([]error, 8)
		for i := range answers {
			all.Go(func() { answers[i], failures[i] = r.ask(r.token, req) })
		}
		all.Wait()
		secrets := 0
		for i, resp := range answers {
			if failures[i] != nil || withoutSecret(resp) != withoutSecret(answers[0]) {
				t.Errorf("%v, %v, want %v", resp, failures[i], answers[0])
			}
			if marshal(resp) != withoutSecret(resp) {
				secrets++
			}
		}
		if want := 1; answers[0].ProtoReflect().Descriptor().Fields().ByName("secret") != nil && secrets != want {
			t.Errorf("%d answers with a secret, want %d", secrets, want)
		}
		if n := r.events(t) - before; n != each {
			t.Errorf("%d events, want %d", n, each)
		}
	})
}

// TestDay_GR09: an id is good again after a day.
func TestDay_GR09(t *testing.T) {
	eachRetryable(t, func(t *testing.T, r *retry) {
		id := "a day"
		req := r.request(id)
		first := must[proto.Message](t)(r.ask(r.SignIn(r.email, servicetest.RootPassword), req))
		machine := r.request(id) // made now: tokens of the world end meanwhile
		r.Clock.Add(24*time.Hour - time.Second)
		token := r.SignIn(r.email, servicetest.RootPassword)
		if again, err := r.ask(token, req); err != nil || marshal(again) != withoutSecret(first) {
			t.Errorf("just before: %v, %v", again, err)
		}
		_, err := r.ask(token, machine)
		servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_REQUEST_ID_REUSED)
		r.Clock.Add(2 * time.Second)
		if r.from.own { // what was begun a day ago is over
			r.a.Admin.Token = token
			machine = r.request(id)
		}
		fresh, err := r.ask(token, machine)
		if err != nil || withoutSecret(fresh) == withoutSecret(first) {
			t.Errorf("afterwards: %v, %v", fresh, err)
		}
		if again, err := r.ask(token, machine); err != nil || marshal(again) != withoutSecret(fresh) {
			t.Errorf("and again: %v, %v", again, err)
		}
		r.Clock.Add(-24*time.Hour - time.Second) // the next method's turn
	})
}

// TestRestart_GR09: another process on the same database knows the ids.
func TestRestart_GR09(t *testing.T) {
	eachRetryable(t, func(t *testing.T, r *retry) {
		req := r.request("restart")
		first := must[proto.Message](t)(r.ask(r.token, req))
		conn := r.replica(t)
		again, err := call(r.As(r.token), conn, r.d, req)
		if err != nil || marshal(again) != withoutSecret(first) {
			t.Errorf("got %v, %v, want %v", again, err, first)
		}
		_, err = call(r.As(r.token), conn, r.d, r.request("restart"))
		servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_REQUEST_ID_REUSED)
	})
}

// replica serves a second Service on the same store.
func (w *world) replica(t *testing.T) *grpc.ClientConn {
	t.Helper()
	svc := must[*service.Service](t)(service.New(t.Context(), service.Config{
		Store: w.Store, Ring: w.Ring, Issuer: servicetest.Issuer, Passwords: w.Passwords, Now: w.Clock.Now,
	}))
	server := grpc.NewServer(svc.Door.ServerOptions()...)
	svc.Register(server)
	port := must[net.Listener](t)((&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0"))
	go func() { _ = server.Serve(port) }()
	t.Cleanup(server.Stop)
	conn := must[*grpc.ClientConn](t)(grpc.NewClient(port.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials())))
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// TestRequestIDForms_GR09: the id stands in the field or in the header.
func TestRequestIDForms_GR09(t *testing.T) {
	eachRetryable(t, func(t *testing.T, r *retry) {
		for _, row := range []struct {
			name, field string
			header      []string
			want        codes.Code
		}{
			{"header", "", []string{"in the header"}, codes.OK},
			{"both the same", "in both", []string{"in both"}, codes.OK},
			{"both, but others", "one", []string{"two"}, codes.InvalidArgument},
			{"two headers", "", []string{"one", "two"}, codes.InvalidArgument},
			{"an empty header", "", []string{""}, codes.OK},
			{"as long as may be", strings.Repeat("k", 128), nil, codes.OK},
			{"of any script", "ключ 鍵 🔑 '; --", nil, codes.OK},
			{"too long", strings.Repeat("k", 129), nil, codes.InvalidArgument},
			{"too long a header", "", []string{strings.Repeat("k", 129)}, codes.InvalidArgument},
		} {
			t.Run(row.name, func(t *testing.T) {
				ctx := r.As(r.token)
				for _, value := range row.header {
					ctx = metadata.AppendToOutgoingContext(ctx, "idempotency-key", value)
				}
				req := r.request(row.field)
				first, err := call(ctx, r.Conn, r.d, req)
				if status.Code(err) != row.want {
					t.Fatalf("got %v, want %v", err, row.want)
				}
				if row.want != codes.OK {
					refusedField(t, err, "request_id")
					return
				}
				if row.field == "" && strings.Join(row.header, "") == "" {
					return // no id, no memory
				}
				id := strings.Join(append(row.header[:min(1, len(row.header))], row.field)[:1], "")
				again, err := r.ask(r.token, setText(req, "request_id", id))
				if err != nil || marshal(again) != withoutSecret(first) {
					t.Errorf("again: %v, %v", again, err)
				}
			})
		}
		t.Run("what was refused is not remembered", func(t *testing.T) {
			req := r.request("refused")
			wrong := setText(req, "request_id", "refused")
			if f := wrong.ProtoReflect().Descriptor().Fields().ByName("organization_id"); f != nil {
				wrong.ProtoReflect().Set(f, protoreflect.ValueOfString(randomID()))
			} else {
				wrong.(*identityv1.CreateOrganizationRequest).Administrator.Password = ptr("weak")
			}
			if _, err := r.ask(r.token, wrong); err == nil {
				t.Error("it was not refused")
			}
			if _, err := r.ask(r.token, req); err != nil {
				t.Error(err)
			}
		})
	})
}
