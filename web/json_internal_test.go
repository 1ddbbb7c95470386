package web

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/timestamppb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
)

// Texts, numbers and times that have a form of their own in JSON.
var (
	oddTexts   = []string{"", "Ann", "Žofie 李", `"quoted\"`, "two\nlines\x00\x1f\x7f", "<b>&\u2028", "a\xffb"}
	oddNumbers = []int64{0, 1, -1, 1<<31 - 1, -1 << 31}
	oddTimes   = []*timestamppb.Timestamp{
		{},
		{Seconds: 1_700_000_000},
		{Seconds: 1, Nanos: 120_000_000},
		{Seconds: 2, Nanos: 123_456_000},
		{Nanos: 1},
		{Seconds: -62_135_596_800},
		{Seconds: 1 << 60},
	}
)

// fill sets some of the fields of a message, and of those in it.
func fill(m protoreflect.Message, r *rand.Rand, depth int) {
	if _, ok := m.Interface().(*timestamppb.Timestamp); ok {
		proto.Merge(m.Interface(), oddTimes[r.IntN(len(oddTimes))])
		return
	}
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		if r.IntN(3) == 0 || f.IsMap() || f.Message() != nil && depth == 0 {
			continue
		}
		if !f.IsList() {
			m.Set(f, odd(m.NewField(f), f, r, depth))
			continue
		}
		for range r.IntN(3) {
			l := m.Mutable(f).List()
			l.Append(odd(l.NewElement(), f, r, depth))
		}
	}
}

func odd(v protoreflect.Value, f protoreflect.FieldDescriptor, r *rand.Rand, depth int) protoreflect.Value {
	n := oddNumbers[r.IntN(len(oddNumbers))]
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(n > 0)
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(oddTexts[r.IntN(len(oddTexts))])
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(n))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(n << 20)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(r.IntN(9)))
	case protoreflect.MessageKind:
		fill(v.Message(), r, depth-1)
	}
	return v
}

// Every message is written as protojson writes it, but for the spaces, and
// refused where that refuses it.
func TestCodec(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	written, refused := 0, 0
	protoregistry.GlobalTypes.RangeMessages(func(kind protoreflect.MessageType) bool {
		if kind.Descriptor().ParentFile().Package() != identityv1.File_bizmetry_identity_v1_user_proto.Package() {
			return true
		}
		for range 200 {
			m := kind.New()
			fill(m, r, 4)
			text, err := codec.Marshal(m.Interface())
			want, wantErr := codec.MarshalOptions.Marshal(m.Interface())
			if (err == nil) != (wantErr == nil) {
				t.Fatalf("%v: %v, protojson: %v", m, err, wantErr)
			}
			if err != nil {
				refused++
				continue
			}
			written++
			var got, expected bytes.Buffer
			if err := json.Compact(&got, text); err != nil {
				t.Fatalf("%v: %v\n%s", m, err, text)
			}
			if err := json.Compact(&expected, want); err != nil {
				t.Fatal(err)
			}
			if got.String() != expected.String() {
				t.Fatalf("%v:\n%s\nprotojson:\n%s", kind.Descriptor().FullName(), got.String(), expected.String())
			}
		}
		return true
	})
	if written < 1000 || refused < 100 {
		t.Errorf("only %d messages were written and %d refused: the test looks in the wrong place", written, refused)
	}
}
