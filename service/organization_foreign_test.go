package service_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// ids lists the fields of a request that name a thing.
func ids(d protoreflect.MethodDescriptor) (paths []path) {
	for _, p := range texts(d.Input()) {
		name := string(p.last().Name())
		named := name == "id" || strings.HasSuffix(name, "_id") || strings.HasSuffix(name, "_ids")
		made := p.behaves(annotations.FieldBehavior_OUTPUT_ONLY) || // made by the server: TestOutputOnly_AC03
			(p.behaves(annotations.FieldBehavior_IDENTIFIER) && d.Input().Fields().ByName("update_mask") == nil)
		if named && !made && name != "request_id" && p.String() != "service_account.parent_id" { // a caller's own word: TestTenants_AC04
			paths = append(paths, p)
		}
	}
	return paths
}

// foreign are the things of another organization that could be named in a field.
func (b *tenant) foreign(p path) map[string]string {
	switch name := string(p.last().Name()); {
	case name == "organization_id" || p.last().Parent().Name() == "GetOrganizationRequest":
		return map[string]string{"organization": b.GetId()}
	case strings.HasPrefix(name, "role_id"):
		return map[string]string{"role": b.role}
	case name == "parent_id":
		return map[string]string{"parent": b.machine.GetParentId()}
	}
	return map[string]string{ // any id in place of any other
		"user": b.user.GetId(), "administrator": b.Admin.GetId(), "service account": b.machine.GetId(), "role": b.role,
		"credential": b.machine.Credential, "session": b.session, "organization": b.GetId(),
	}
}

// codesOfMissing are what a missing id gets that is not NOT_FOUND: a filter
// matches nothing, and a client is told that its credentials are wrong.
var codesOfMissing = map[string]codes.Code{
	"filter.actor_id": codes.OK, "filter.target_id": codes.OK, "filter.parent_id": codes.OK, "client_id": codes.Unauthenticated,
}

// snapshot is all of an organization that its administrator can see.
func (b *tenant) snapshot(t testing.TB, w *world) string {
	t.Helper()
	var all []string
	for _, name := range []string{"EventService.ListEvents", "UserService.ListUsers", "ServiceAccountService.ListServiceAccounts", "RoleService.ListRoles"} {
		d := rpc(t, name)
		req := newMessage(d.Input())
		req.ProtoReflect().Set(d.Input().Fields().ByName("page_size"), protoreflect.ValueOfInt32(1000))
		all = append(all, marshal(must[proto.Message](t)(call(w.As(b.Admin.Token), w.Conn, d, req))))
	}
	credentials, err := w.Accounts.ListCredentials(w.As(b.Admin.Token), &identityv1.ListCredentialsRequest{ServiceAccountId: b.machine.GetId()})
	return strings.Join(append(all, answerOf(credentials, err)), "\n")
}

// events counts the events of all organizations.
func (w *world) events(t testing.TB) (n int) {
	t.Helper()
	if err := w.db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM events`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestForeignIDs_AC02 puts ids of another organization into every id field of
// every method, at each position: the answers are, to the byte, those to ids
// that nobody has, and nothing happens.
func TestForeignIDs_AC02(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, b := w.newTenant(), w.newTenant()
		before := b.snapshot(t, w)
		for _, d := range rpcs() {
			r := requestOf(t, rpcName(d))
			as, valid := w.As(r.as(w, a)), r.make(w, a)
			ask := func(req proto.Message) (string, codes.Code) {
				resp, err := call(as, w.Conn, d, req)
				return answerOf(resp, err), status.Code(err)
			}
			events := w.events(t)
			for _, p := range ids(d) {
				want, ok := codesOfMissing[p.String()]
				if !ok {
					want = codes.NotFound
				}
				for i := range max(1, p.size(valid)) {
					missing, code := ask(with(valid, p, i, randomID()))
					if code != want {
						t.Errorf("%s, %s %d: a missing id gets %v, want %v", rpcName(d), p, i, code, want)
					}
					for _, kind := range slices.Sorted(maps.Keys(b.foreign(p))) {
						if got, code := ask(with(valid, p, i, b.foreign(p)[kind])); got != missing {
							t.Errorf("%s, %s %d: a foreign %s gets %v, not what a missing id gets", rpcName(d), p, i, kind, code)
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

// TestForeignOrganization_AC02 makes requests that are right in their own
// organization, but name that organization in the name of a stranger.
func TestForeignOrganization_AC02(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, b := w.newTenant(), w.newTenant()
		machine := w.NewMachine(a.Admin.Token, "", servicetest.SuperUser)
		strangers := map[string]string{
			"administrator": a.Admin.Token, "user without rights": a.user.Token, "machine": w.Token(machine, ""),
			"scoped machine":       w.Token(machine, "platform.users.read platform.users.write"),
			"platform without act": w.NewPerson("", servicetest.SuperUser).Token,
			"platform with other system rights": holder(t, w.World, "", "platform.users.read", "platform.users.write", "platform.roles.read",
				"platform.serviceaccounts.write", "platform.serviceaccounts.read", "system.organizations.read", "system.tokens.introspect").Token,
		}
		before := b.snapshot(t, w)
		for _, d := range rpcs() {
			org := d.Input().Fields().ByName("organization_id")
			if org == nil {
				continue
			}
			valid := requestOf(t, rpcName(d)).make(w, a)
			events := w.events(t)
			all := []proto.Message{valid, newMessage(d.Input())} // the second is about the caller, where that can be
			foreign := proto.Clone(valid)
			for _, p := range ids(d) {
				for kind, id := range b.foreign(p) {
					if kind == "user" || kind == "role" || kind == "parent" {
						p.set(foreign, 0, id)
					}
				}
			}
			if self, ok := proto.Clone(valid).(*identityv1.CheckPermissionRequest); ok {
				self.PrincipalId = ""
				all = append(all, self)
			}
			all = append(all, foreign)
			for name, token := range strangers {
				for i, req := range all {
					ask := func(org string) (string, error) {
						req := proto.Clone(req)
						req.ProtoReflect().Set(d.Input().Fields().ByName("organization_id"), protoreflect.ValueOfString(org))
						resp, err := call(w.As(token), w.Conn, d, req)
						return strings.ReplaceAll(answerOf(resp, err), org, "the one that was named"), err // a denial repeats it
					}
					missing, _ := ask(randomID())
					got, err := ask(b.GetId())
					if got != missing {
						t.Errorf("%s %d as %s: %v, not what a missing organization gets", rpcName(d), i, name, err)
					}
					if code := status.Code(err); code != codes.NotFound && code != codes.PermissionDenied {
						t.Errorf("%s %d as %s: %v", rpcName(d), i, name, err)
					}
					if code := status.Code(err); name == "administrator" && code != codes.NotFound {
						t.Errorf("%s %d as %s: %v, want NOT_FOUND", rpcName(d), i, name, err)
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
