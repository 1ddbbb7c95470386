package web

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// codec reads and writes proto3 JSON: scalars always shown, absent messages
// not, unknown fields refused.
var codec = &jsonCodec{runtime.JSONPb{MarshalOptions: protojson.MarshalOptions{EmitDefaultValues: true}}}

type jsonCodec struct{ runtime.JSONPb }

// ContentType implements runtime.Marshaler.
func (*jsonCodec) ContentType(any) string { return typeJSON }

// texts are buffers that an answer grows in. Growing one for each page of a
// list would take several times the page in memory.
var texts = sync.Pool{New: func() any { return new([]byte) }}

// textAtMost is the size of the largest buffer that is kept.
const textAtMost = 1 << 20

// Marshal implements runtime.Marshaler.
func (c *jsonCodec) Marshal(v any) ([]byte, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return c.JSONPb.Marshal(v)
	}
	buffer := texts.Get().(*[]byte) //nolint:forcetypeassert // there is nothing else in it
	text, err := c.message((*buffer)[:0], m.ProtoReflect())
	if err != nil {
		return nil, err
	}
	if cap(text) <= textAtMost {
		*buffer = text
		defer texts.Put(buffer)
	}
	return bytes.Clone(text), nil
}

// shape is what is always the same about a kind of messages. protojson finds it
// out and sorts it anew for each one, which takes half of the time of a page.
type shape struct {
	// plain messages have but fields that are written here; the others are
	// left to protojson, as is whatever is rare or has a form of its own.
	plain  bool
	fields []field
}

type field struct {
	protoreflect.FieldDescriptor
	key    string // in quotes, with the colon
	absent bool   // whether it is left out where it is not set
}

var shapes sync.Map // of *shape by protoreflect.MessageDescriptor

func shapeOf(d protoreflect.MessageDescriptor) *shape {
	if known, ok := shapes.Load(d); ok {
		return known.(*shape) //nolint:forcetypeassert // there is nothing else in it
	}
	s := &shape{plain: !strings.HasPrefix(string(d.FullName()), "google.protobuf.")}
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		switch f.Kind() {
		case protoreflect.BoolKind, protoreflect.StringKind, protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.MessageKind:
		case protoreflect.EnumKind:
			s.plain = s.plain && f.Enum().FullName() != "google.protobuf.NullValue"
		default:
			s.plain = false
		}
		s.plain = s.plain && !f.IsMap()
		s.fields = append(s.fields, field{f, strconv.Quote(f.JSONName()) + ":", f.HasPresence()})
	}
	shapes.Store(d, s)
	return s
}

// message appends a message as protojson would write it.
func (c *jsonCodec) message(b []byte, m protoreflect.Message) ([]byte, error) {
	if at, ok := m.Interface().(*timestamppb.Timestamp); ok && at.IsValid() {
		return appendTime(b, at), nil
	}
	s := shapeOf(m.Descriptor())
	if !s.plain {
		return c.MarshalAppend(b, m.Interface())
	}
	var err error
	b = append(b, '{')
	first := true
	for i := range s.fields {
		f := &s.fields[i]
		if f.absent && !m.Has(f.FieldDescriptor) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, f.key...)
		v := m.Get(f.FieldDescriptor)
		if f.IsList() {
			b, err = c.list(b, f, v.List())
		} else {
			b, err = c.value(b, f, v)
		}
		if err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func (c *jsonCodec) list(b []byte, f *field, l protoreflect.List) ([]byte, error) {
	var err error
	b = append(b, '[')
	for i := range l.Len() {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = c.value(b, f, l.Get(i)); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

func (c *jsonCodec) value(b []byte, f *field, v protoreflect.Value) ([]byte, error) {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return strconv.AppendBool(b, v.Bool()), nil
	case protoreflect.StringKind:
		return c.text(b, v.String())
	case protoreflect.Int32Kind:
		return strconv.AppendInt(b, v.Int(), 10), nil
	case protoreflect.Int64Kind: // in quotes, because it is too large for JavaScript
		return append(strconv.AppendInt(append(b, '"'), v.Int(), 10), '"'), nil
	case protoreflect.EnumKind:
		if known := f.Enum().Values().ByNumber(v.Enum()); known != nil {
			return append(append(append(b, '"'), known.Name()...), '"'), nil
		}
		return strconv.AppendInt(b, int64(v.Enum()), 10), nil
	case protoreflect.MessageKind:
		return c.message(b, v.Message())
	}
	return nil, fmt.Errorf("a field of kind %s is not plain", f.Kind())
}

// text appends a string; what has to be escaped is left to protojson.
func (c *jsonCodec) text(b []byte, s string) ([]byte, error) {
	ascii := true
	for i := range len(s) {
		if s[i] < ' ' || s[i] == '"' || s[i] == '\\' {
			return c.MarshalAppend(b, wrapperspb.String(s))
		}
		ascii = ascii && s[i] < utf8.RuneSelf
	}
	if !ascii && !utf8.ValidString(s) {
		return c.MarshalAppend(b, wrapperspb.String(s)) // which says what is wrong
	}
	return append(append(append(b, '"'), s...), '"'), nil
}

// appendTime appends a time as protojson writes it, with 0, 3, 6 or 9 digits
// of a second.
func appendTime(b []byte, at *timestamppb.Timestamp) []byte {
	layout := `"2006-01-02T15:04:05.000000000Z"`
	switch n := at.GetNanos(); {
	case n == 0:
		layout = `"2006-01-02T15:04:05Z"`
	case n%1_000_000 == 0:
		layout = `"2006-01-02T15:04:05.000Z"`
	case n%1_000 == 0:
		layout = `"2006-01-02T15:04:05.000000Z"`
	}
	return at.AsTime().AppendFormat(b, layout)
}
