package service_test

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store/storetest"
)

// What tests that are made from the descriptors of the contract have in common.

const contractPackage = "bizmetry.identity.v1"

// rpcs are all methods of the contract, by name.
func rpcs() (methods []protoreflect.MethodDescriptor) {
	protoregistry.GlobalFiles.RangeFilesByPackage(contractPackage, func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			for j := range f.Services().Get(i).Methods().Len() {
				methods = append(methods, f.Services().Get(i).Methods().Get(j))
			}
		}
		return true
	})
	slices.SortFunc(methods, func(a, b protoreflect.MethodDescriptor) int { return cmp.Compare(a.FullName(), b.FullName()) })
	return methods
}

func rpc(t testing.TB, name string) protoreflect.MethodDescriptor {
	t.Helper()
	for _, d := range rpcs() {
		if rpcName(d) == name {
			return d
		}
	}
	t.Fatalf("no method %s", name)
	return nil
}

// rpcName is the short name, such as UserService.GetUser.
func rpcName(d protoreflect.MethodDescriptor) string {
	return strings.TrimPrefix(string(d.FullName()), contractPackage+".")
}

func accessOf(d protoreflect.MethodDescriptor) *identityv1.Access {
	access, _ := proto.GetExtension(d.Options(), identityv1.E_Access).(*identityv1.Access)
	return access
}

func newMessage(d protoreflect.MessageDescriptor) proto.Message {
	t, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		panic(err)
	}
	return t.New().Interface()
}

// call makes any call of the contract.
func call(ctx context.Context, conn grpc.ClientConnInterface, d protoreflect.MethodDescriptor, req proto.Message, options ...grpc.CallOption) (proto.Message, error) {
	resp := newMessage(d.Output())
	name := fmt.Sprintf("/%s/%s", d.Parent().FullName(), d.Name())
	if d.IsStreamingClient() || d.IsStreamingServer() {
		return resp, callStream(ctx, conn, d, name, req, resp, options...)
	}
	return resp, conn.Invoke(ctx, name, req, resp, options...)
}

// callStream makes a call of one message to a stream; its answers are merged into resp.
func callStream(ctx context.Context, conn grpc.ClientConnInterface, d protoreflect.MethodDescriptor, name string, req, resp proto.Message, options ...grpc.CallOption) error {
	desc := &grpc.StreamDesc{ClientStreams: d.IsStreamingClient(), ServerStreams: d.IsStreamingServer()}
	stream, err := conn.NewStream(ctx, desc, name, options...)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(req); err != nil && !errors.Is(err, io.EOF) { // the answer says why
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for {
		part := newMessage(d.Output())
		switch err := stream.RecvMsg(part); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		proto.Merge(resp, part)
	}
}

// answerOf is all that a client sees of an answer. The entries of a map in a
// detail of an error come in any order.
func answerOf(resp proto.Message, err error) string {
	if err == nil {
		return marshal(resp)
	}
	p := status.Convert(err).Proto()
	for _, detail := range p.GetDetails() {
		inner, err := detail.UnmarshalNew()
		if err != nil {
			return err.Error()
		}
		detail.Value = []byte(marshal(inner))
	}
	return "refused: " + marshal(p)
}

func marshal(m proto.Message) string {
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// infos are the ErrorInfos of an error.
func infos(err error) (found []*errdetails.ErrorInfo) {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			found = append(found, info)
		}
	}
	return found
}

// badFields are the fields that an error complains about.
func badFields(err error) (fields []string) {
	for _, d := range status.Convert(err).Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok {
			for _, v := range bad.GetFieldViolations() {
				fields = append(fields, v.GetField())
			}
		}
	}
	return fields
}

// path leads to a string field of a request.
type path []protoreflect.FieldDescriptor

func (p path) String() string {
	names := make([]string, len(p))
	for i, f := range p {
		names[i] = string(f.Name())
	}
	return strings.Join(names, ".")
}

func (p path) last() protoreflect.FieldDescriptor { return p[len(p)-1] }

// behaves tells whether the field or one that it is in has a behavior.
func (p path) behaves(want annotations.FieldBehavior) bool {
	return slices.ContainsFunc(p, func(f protoreflect.FieldDescriptor) bool {
		list, _ := proto.GetExtension(f.Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior)
		return slices.Contains(list, want)
	})
}

func (p path) rules() *validate.FieldRules {
	rules, _ := proto.GetExtension(p.last().Options(), validate.E_Field).(*validate.FieldRules)
	return rules
}

// texts lists the string fields of a message, through all messages of the
// contract in it, and those of its update mask.
func texts(d protoreflect.MessageDescriptor, before ...protoreflect.FieldDescriptor) (paths []path) {
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		here := append(slices.Clone(before), f)
		switch {
		case f.IsMap():
		case f.Kind() == protoreflect.StringKind:
			paths = append(paths, here)
		case f.Kind() == protoreflect.MessageKind &&
			(f.Message().ParentFile().Package() == contractPackage || f.Message().FullName() == "google.protobuf.FieldMask"):
			paths = append(paths, texts(f.Message(), here...)...)
		}
	}
	return paths
}

// set writes a text: into element i where the field is a list, behind its end if it is shorter.
func (p path) set(msg proto.Message, i int, text string) {
	m := msg.ProtoReflect()
	for _, f := range p[:len(p)-1] {
		if f.IsList() {
			list := m.Mutable(f).List()
			if list.Len() == 0 {
				list.AppendMutable()
			}
			m = list.Get(0).Message()
			continue
		}
		m = m.Mutable(f).Message()
	}
	value := protoreflect.ValueOfString(text)
	switch f := p.last(); {
	case !f.IsList():
		m.Set(f, value)
	case i < m.Get(f).List().Len():
		m.Mutable(f).List().Set(i, value)
	default:
		m.Mutable(f).List().Append(value)
	}
}

// size is how many texts there are now: 1 where the field is no list.
func (p path) size(msg proto.Message) int {
	m := msg.ProtoReflect()
	for _, f := range p[:len(p)-1] {
		if f.IsList() {
			return 1
		}
		m = m.Get(f).Message()
	}
	if p.last().IsList() {
		return m.Get(p.last()).List().Len()
	}
	return 1
}

// with is a copy of the request with one text changed.
func with(req proto.Message, p path, i int, text string) proto.Message {
	req = proto.Clone(req)
	p.set(req, i, text)
	return req
}

// randomID is an id of the right shape that nothing has.
func randomID() string { return uuid.Must(uuid.NewV7()).String() }

// world is a world together with its database, for rows that no call makes yet.
type world struct {
	*servicetest.World
	url string
	db  *sql.DB
}

// eachWorld runs the body in a new world on each database.
func eachWorld(t *testing.T, body func(t *testing.T, w *world)) {
	t.Helper()
	eachURL(t, func(t *testing.T, url string) { body(t, newWorld(t, url)) })
}

func sqliteWorld(t *testing.T) *world { return newWorld(t, storetest.SQLite(t)) }

func postgresWorld(t *testing.T) *world { return newWorld(t, storetest.Postgres(t)) }

func newWorld(t *testing.T, url string, options ...func(*service.Config)) *world {
	t.Helper()
	return &world{World: servicetest.New(t, url, options...), url: url, db: secondConnection(t, url)}
}

// newRole makes a role of an organization.
func (w *world) newRole(org string, keys ...string) string {
	w.T.Helper()
	id := randomID()
	w.sql(fmt.Sprintf(`INSERT INTO roles (organization_id, id, name, name_key, description) VALUES ('%s', '%s', 'Role %s', 'role %s', '')`,
		org, id, id, id))
	for _, key := range keys {
		w.sql(fmt.Sprintf(`INSERT INTO role_permissions (organization_id, role_id, permission_key) VALUES ('%s', '%s', '%s')`, org, id, key))
	}
	return id
}

func (w *world) sql(statement string) {
	w.T.Helper()
	for _, text := range []string{statement, `UPDATE organization_clock SET roles_epoch = roles_epoch + 1`} { // it may be about roles
		if _, err := w.db.ExecContext(w.T.Context(), text); err != nil {
			w.T.Fatal(err)
		}
	}
}

// must fails the test where a call is refused that has to work.
func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
