package service_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/web"
)

// mirror serves the REST mirror of a world.
func (w *world) mirror(t testing.TB) string {
	t.Helper()
	handler := must[http.Handler](t)(web.New(web.Config{Service: w.Service, Now: w.Clock.Now}))
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// restReply is what a client of the mirror sees.
type restReply struct {
	status int
	body   string
}

// reason is the reason in a Status of JSON.
func (a restReply) reason() string {
	var body struct {
		Details []struct{ Reason string }
	}
	if json.Unmarshal([]byte(a.body), &body) != nil {
		return "no JSON"
	}
	for _, d := range body.Details {
		if d.Reason != "" {
			return d.Reason
		}
	}
	return ""
}

// rest makes a call by its google.api.http rule.
func rest(t testing.TB, base, token string, d protoreflect.MethodDescriptor, req proto.Message) restReply {
	t.Helper()
	rule, _ := proto.GetExtension(d.Options(), annotations.E_Http).(*annotations.HttpRule)
	var verb, target string
	switch p := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		verb, target = http.MethodGet, p.Get
	case *annotations.HttpRule_Post:
		verb, target = http.MethodPost, p.Post
	case *annotations.HttpRule_Patch:
		verb, target = http.MethodPatch, p.Patch
	case *annotations.HttpRule_Delete:
		verb, target = http.MethodDelete, p.Delete
	default:
		t.Fatalf("%s has a path of a kind that this test does not know: %v", rpcName(d), p)
	}
	req = proto.Clone(req)
	m := req.ProtoReflect()
	target = inPath.ReplaceAllStringFunc(target, func(name string) string { return take(m, strings.Split(name[1:len(name)-1], ".")) })
	if mask := m.Descriptor().Fields().ByName("update_mask"); mask != nil {
		m.Clear(mask) // the mirror makes it of the body
	}
	var body io.Reader
	switch rule.GetBody() {
	case "":
	case "*":
		if d.IsStreamingClient() { // the body is the file, all else stands in the query
			data := m.Descriptor().Fields().ByName("data")
			body = bytes.NewReader(m.Get(data).Bytes())
			m.Clear(data)
			break
		}
		body = strings.NewReader(toJSON(t, m))
		m = newMessage(d.Input()).ProtoReflect()
	default:
		f := m.Descriptor().Fields().ByName(protoreflect.Name(rule.GetBody()))
		body = strings.NewReader(toJSON(t, m.Get(f).Message()))
		m.Clear(f)
	}
	query := url.Values{}
	inQuery(query, "", m)
	r, err := http.NewRequestWithContext(t.Context(), verb, base+target+"?"+query.Encode(), body)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if d.IsStreamingClient() {
		r.Header.Set("Content-Type", "text/csv")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return restReply{resp.StatusCode, string(must[[]byte](t)(io.ReadAll(resp.Body)))}
}

var inPath = regexp.MustCompile(`\{[a-z_.]+\}`)

// take moves a field out of a message into a path.
func take(m protoreflect.Message, names []string) string {
	f := m.Descriptor().Fields().ByName(protoreflect.Name(names[0]))
	if len(names) > 1 {
		return take(m.Mutable(f).Message(), names[1:])
	}
	text := m.Get(f).String()
	m.Clear(f)
	return url.PathEscape(text)
}

func toJSON(t testing.TB, m protoreflect.Message) string {
	return string(must[[]byte](t)(protojson.Marshal(m.Interface())))
}

// inQuery writes what is set in a message as parameters.
func inQuery(query url.Values, before string, m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		name := before + f.JSONName()
		switch {
		case f.IsList():
			for i := range v.List().Len() {
				query.Add(name, v.List().Get(i).String())
			}
		case f.Kind() == protoreflect.MessageKind:
			inQuery(query, name+".", v.Message())
		case f.Kind() == protoreflect.EnumKind:
			query.Set(name, string(f.Enum().Values().ByNumber(v.Enum()).Name()))
		default:
			query.Set(name, fmt.Sprint(v.Interface()))
		}
		return true
	})
}

// httpCodes are the statuses of the mirror.
var httpCodes = map[codes.Code]int{
	codes.OK: 200, codes.InvalidArgument: 400, codes.Unauthenticated: 401, codes.PermissionDenied: 403, codes.NotFound: 404,
}

// TestRequestsREST: the requests of the table work here too.
func TestRequestsREST_AC05(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, base := w.newTenant(), w.mirror(t)
		for _, d := range rpcs() {
			r := requestOf(t, rpcName(d))
			if got := rest(t, base, r.as(w, a), d, r.make(w, a)); got.status != 200 {
				t.Errorf("%s: %d %s", rpcName(d), got.status, got.body)
			}
		}
	})
}

// TestAnonymousREST_AC01: the mirror answers nobody either.
func TestAnonymousREST_AC01(t *testing.T) {
	w := sqliteWorld(t)
	base := w.mirror(t)
	for _, d := range rpcs() {
		if accessOf(d).GetPublic() {
			continue
		}
		for name, token := range map[string]string{"nothing": "", "garbage": "garbage"} {
			req := newMessage(d.Input())
			for _, p := range texts(d.Input()) {
				if name := p.last().Name(); name == "id" || name == "service_account_id" {
					p.set(req, 0, randomID()) // for the path
				}
			}
			if got := rest(t, base, token, d, req); got.status != 401 || got.reason() != identityv1.Error_TOKEN_INVALID.String() {
				t.Errorf("%s with %s: %d %s", rpcName(d), name, got.status, got.body)
			}
		}
	}
}

// TestForeignIDsREST_AC02 is TestForeignIDs_AC02 through the mirror: to the
// byte the same for foreign ids and for missing ones, and of the same reason
// as over gRPC (AC-05).
func TestForeignIDsREST_AC02(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, b := w.newTenant(), w.newTenant()
		base, before := w.mirror(t), b.snapshot(t, w)
		for _, d := range rpcs() {
			r := requestOf(t, rpcName(d))
			token, valid := r.as(w, a), r.make(w, a)
			events := w.events(t)
			for _, p := range ids(d) {
				want, ok := codesOfMissing[p.String()]
				if !ok {
					want = codes.NotFound
				}
				for i := range max(1, p.size(valid)) {
					random := with(valid, p, i, randomID())
					missing := rest(t, base, token, d, random)
					_, err := call(w.As(token), w.Conn, d, random)
					if missing.status != httpCodes[want] || status.Code(err) != want || missing.reason() != servicetest.Reason(err) {
						t.Errorf("%s, %s %d: a missing id gets %v and %v", rpcName(d), p, i, missing, err)
					}
					for _, kind := range slices.Sorted(maps.Keys(b.foreign(p))) {
						if got := rest(t, base, token, d, with(valid, p, i, b.foreign(p)[kind])); got != missing {
							t.Errorf("%s, %s %d: a foreign %s gets %v, not %v", rpcName(d), p, i, kind, got, missing)
						}
					}
				}
			}
			if n := w.events(t); n != events {
				t.Errorf("%s: %d events", rpcName(d), n-events)
			}
		}
		if b.snapshot(t, w) != before {
			t.Error("the other organization is not what it was")
		}
	})
}

// TestNULREST_IN05: U+0000 is refused wherever a text stands: in the path, the query or the body.
func TestNULREST_IN05(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, base := w.newTenant(), w.mirror(t)
		for _, d := range rpcs() {
			r := requestOf(t, rpcName(d))
			token, valid := r.as(w, a), r.make(w, a)
			for _, p := range texts(d.Input()) {
				if p.String() == "update_mask.paths" {
					continue // the mirror makes it
				}
				got := rest(t, base, token, d, with(valid, p, 0, "a\x00b"))
				if got.status != 400 || got.reason() == "" {
					t.Errorf("%s, %s: %d %s", rpcName(d), p, got.status, got.body)
				}
			}
		}
	})
}

// TestOutputOnlyREST_AC03: a body changes no field that the server sets, and takes none that is not there.
func TestOutputOnlyREST_AC03(t *testing.T) {
	w := servicetest.SQLite(t)
	base, id := (&world{World: w}).mirror(t), w.CreateUser("").GetId()
	passed := []string{
		`{"organizationId":"` + randomID() + `"}`, `{"enabled":true}`, `{"state":"DISABLED"}`, `{"createdBy":"x"}`, `{"roles":[{"id":"x"}]}`,
		`{"roles":[]}`, `{"lockedUntil":"2030-01-01T00:00:00Z"}`,
	}
	for _, body := range append(passed,
		`{"enabled":false}`, `{"passwordHash":"x"}`, `{"password_hash":"x"}`, `{"epoch":1}`, `{"user":{"firstName":"x"}}`,
		`{"firstName":"Ok","unknown":1}`, `{"firstName":"A","firstName":"B"}`, `{"firstName":null,"state":"DISABLED"}`, `[]`, `null`, `"x"`, `{`,
	) {
		want := 400
		if slices.Contains(passed, body) {
			want = 200
		}
		t.Run(body, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, base+"/v1/users/"+id, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + w.Root}}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text := string(must[[]byte](t)(io.ReadAll(resp.Body)))
			if resp.StatusCode != want {
				t.Errorf("%d %s", resp.StatusCode, text)
			}
		})
	}
	u := must[*identityv1.User](t)(w.Users.GetUser(w.As(w.Root), &identityv1.GetUserRequest{Id: id}))
	if u.GetEtag() != "1" {
		t.Errorf("afterwards %v", u)
	}
}
