package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/bizmetry/identity/service/door"
)

// Which parameter or field cannot be read, and what it takes. The gateway and
// protojson say so in texts that quote the request, which may be a secret in the
// wrong place.

// checkValues refuses parameters that cannot be read, all at once.
func (rt *route) checkValues(query url.Values) *refusal {
	no := badParameter
	given := map[string]string{} // path by path: name
	for _, key := range slices.Sorted(maps.Keys(query)) {
		f, path := rt.parameter(key)
		values := query[key]
		switch other, twice := given[path]; {
		case f == nil:
		case twice:
			no = no.about(key, "is given as "+other+" too")
		case len(values) > 1 && !f.IsList():
			no = no.about(key, "is given more than once")
		case !slices.ContainsFunc(values, func(v string) bool { return !isText(v) }) &&
			runtime.PopulateQueryParameters(dynamicpb.NewMessage(rt.rpc.Input()), url.Values{key: values}, noFilter) == nil:
		default:
			no = no.about(key, takes(f))
		}
		given[path] = key
	}
	if len(no.violations) == 0 {
		return nil
	}
	return no
}

// about adds a parameter or field, and what is wrong with it.
func (no *refusal) about(field, text string) *refusal {
	own := *no
	own.violations = append(slices.Clone(no.violations), &errdetails.BadRequest_FieldViolation{Field: field, Reason: "unreadable", Description: text})
	return &own
}

// takes says in words what can stand in a field.
func takes(f protoreflect.FieldDescriptor) string {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return "must be true or false"
	case protoreflect.EnumKind:
		return door.OneOf(f.Enum())
	case protoreflect.StringKind:
		return "must be a text, in valid Unicode"
	case protoreflect.BytesKind:
		return "must be base64"
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return "must be a number"
	case protoreflect.MessageKind:
		return takesMessage(f.Message().FullName())
	}
	return "must be a whole number"
}

func takesMessage(name protoreflect.FullName) string {
	switch name {
	case "google.protobuf.Timestamp":
		return "must be a time such as 2026-01-31T12:00:00Z"
	case "google.protobuf.Duration":
		return "must be a number of seconds such as 900s"
	case "google.protobuf.FieldMask":
		return "must be names of fields, separated by commas"
	}
	return "must be an object"
}

// reading is a body that the gateway reads, for the answer when it cannot.
type reading struct {
	rt   *route
	body []byte
}

type readingKey struct{}

// message is the kind of message that the body is.
func (r *reading) message() protoreflect.MessageDescriptor {
	if f := r.rt.rpc.Input().Fields().ByName(protoreflect.Name(r.rt.body)); f != nil {
		return f.Message()
	}
	return r.rt.rpc.Input()
}

// halves refuses half a surrogate pair, which encoding/json takes and protojson refuses
// without saying where.
func (r *reading) halves() *refusal {
	at := halfSurrogate(r.body)
	if at < 0 {
		return nil
	}
	before := r.body[:at]
	line := before[bytes.LastIndexByte(before, '\n')+1:]
	position := fmt.Sprintf("%d:%d", bytes.Count(before, []byte("\n"))+1, utf8.RuneCount(line)+1)
	return r.explain(badBody.with("position", position), position)
}

// halfSurrogate finds an escape that is half of a pair, in valid JSON.
func halfSurrogate(body []byte) int {
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' {
			continue
		}
		r, ok := unescape(body[i:])
		switch {
		case !ok:
			i++ // what is escaped, such as another backslash
		case !utf16.IsSurrogate(r):
		default:
			other, _ := unescape(body[i+escapeLength:])
			if utf16.DecodeRune(r, other) == unicode.ReplacementChar {
				return i
			}
			i += 2*escapeLength - 1
		}
	}
	return -1
}

// escapeLength is that of an escape such as \u00e4.
const escapeLength = 6

func unescape(text []byte) (rune, bool) {
	if len(text) < escapeLength || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseInt(string(text[2:escapeLength]), 16, 32)
	return rune(n), err == nil
}

// explain adds the field that stands at a position, where the contract has it.
func (r *reading) explain(no *refusal, position string) *refusal {
	path, err := pathAt(r.body, position)
	if err != nil {
		return no
	}
	message, name := r.message(), ""
	var f protoreflect.FieldDescriptor
	for _, step := range path {
		if step.index >= 0 {
			name += fmt.Sprintf("[%d]", step.index)
			continue
		}
		if message == nil {
			return no
		}
		if f = fieldOf(message, step.key); f == nil {
			return no
		}
		name, message = strings.TrimPrefix(name+"."+step.key, "."), f.Message()
	}
	switch {
	case f == nil:
		return no
	case f.IsList() && path[len(path)-1].index < 0:
		return no.about(name, "must be a list")
	}
	return no.about(name, takes(f))
}

// step leads from a JSON value to one inside: a key, or where index is not negative an item.
type step struct {
	key   string
	index int
}

// pathAt finds the value that a position of protojson ("line:column") lies in.
func pathAt(body []byte, position string) (path []step, err error) {
	offset, err := offsetOf(body, position)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	key := false // the next token is a key
	for {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		last := len(path) - 1
		if text, ok := t.(string); ok && key {
			path[last].key, key = text, false
			if d.InputOffset() > offset {
				return trimmed(path[:last]), nil // it is about the key
			}
			continue
		}
		if last >= 0 && path[last].index >= 0 && t != json.Delim(']') {
			path[last].index++
		}
		if d.InputOffset() > offset {
			return trimmed(path), nil
		}
		switch t {
		case json.Delim('{'):
			path = append(path, step{index: -1})
		case json.Delim('['):
			path = append(path, step{index: 0})
		case json.Delim('}'), json.Delim(']'):
			path = path[:last]
		}
		key = len(path) > 0 && path[len(path)-1].index < 0
	}
}

// trimmed has items count from 0. While it is read, a list counts those that began.
func trimmed(path []step) []step {
	own := slices.Clone(path)
	for i := range own {
		if own[i].index >= 0 {
			own[i].index--
		}
	}
	return own
}

// offsetOf is a position as a number of bytes. Columns count characters.
func offsetOf(body []byte, position string) (int64, error) {
	line, column, ok := strings.Cut(position, ":")
	l, lineErr := strconv.Atoi(line)
	c, columnErr := strconv.Atoi(column)
	if err := errors.Join(lineErr, columnErr); err != nil || !ok {
		return 0, fmt.Errorf("position %q: %w", position, err)
	}
	offset := 0
	for ; l > 1; l-- {
		offset += bytes.IndexByte(body[offset:], '\n') + 1
	}
	for ; c > 1 && offset < len(body); c-- {
		_, size := utf8.DecodeRune(body[offset:])
		offset += size
	}
	return int64(offset), nil
}
