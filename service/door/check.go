package door

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"buf.build/go/protovalidate"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/wire"
)

// check holds a request against its rules, and tells of all that it breaks.
func (s *Door) check(m *Method, msg proto.Message) error {
	found, err := s.checkFields(m, msg)
	if err != nil {
		return err
	}
	if further := s.meanings[msg.ProtoReflect().Descriptor().FullName()]; further != nil {
		further(found, msg)
	}
	return found.OrNil()
}

// Meaning is a check of a request beyond its field rules. It adds what it finds to
// the refusal.
type Meaning func(found *answer.Refusal, msg proto.Message)

// CheckFurther registers a check for requests of this message type, beyond their
// field rules. The door runs both, so a caller learns of all mistakes at once. It
// is called before the door serves, once for a type.
func (s *Door) CheckFurther(of proto.Message, further Meaning) {
	name := of.ProtoReflect().Descriptor().FullName()
	if s.meanings[name] != nil {
		panic(fmt.Sprintf("%s is checked already", name)) // two rooms want the same message: a mistake in the program
	}
	s.meanings[name] = further
}

// CheckAs holds a message against the field rules of a method.
func (s *Door) CheckAs(fullMethod string, msg proto.Message) (*answer.Refusal, error) {
	return s.checkFields(s.methods[fullMethod], msg)
}

// InWords says what a pattern of the contract asks for, "" for one that is not known.
func InWords(pattern string) string { return inWords[pattern] }

// OneOf says which values an enum has. The one that stands for none is not among them.
func OneOf(enum protoreflect.EnumDescriptor) string {
	var names []string
	for i := range enum.Values().Len() {
		if v := enum.Values().Get(i); v.Number() != 0 {
			names = append(names, string(v.Name()))
		}
	}
	return "must be one of " + strings.Join(names, ", ")
}

var inWords = map[string]string{
	`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`:     "must be an id: 32 hexadecimal digits in lower case, in groups of 8, 4, 4, 4 and 12",
	`^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?$`:  "must be an id: 32 hexadecimal digits in lower case, in groups of 8, 4, 4, 4 and 12",
	`^(-|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$`: "must be an id in groups of 8, 4, 4, 4 and 12 hexadecimal digits, or -",
	`^[^\p{Cc}]*$`:               "must be on one line, without control characters",
	`^[a-z]+(\.[a-z]+){1,3}$`:    "must be a permission: two to four words of lower case letters with full stops between them",
	`^([a-z_]+\.[a-z_]+)?$`:      "must be the type of an event: two words with a full stop between them",
	`^([a-z][a-z0-9_-]{0,62})?$`: "must begin with a lower case letter, and go on with those, digits, hyphens and underscores",
}

// checkFields holds a request against its field rules: NUL in no text, what its
// texts are, the rules of protovalidate, no blanks for a filter, and REQUIRED fields of
// a resource set. OUTPUT_ONLY fields are passed over, texts brought to their one form.
// Broken ones are in the refusal; the error says that it need not be looked at
// further.
func (s *Door) checkFields(m *Method, msg proto.Message) (*answer.Refusal, error) {
	found := findings{&answer.Refusal{Sentinel: answer.ErrInvalidFields}}
	found.long("", msg.ProtoReflect())
	if err := found.OrNil(); err != nil {
		return nil, err
	}
	found.texts("", msg.ProtoReflect())
	passOver(msg.ProtoReflect())
	found.readTexts("", msg.ProtoReflect())
	if err := s.validator.Validate(msg); err != nil {
		var failed *protovalidate.ValidationError
		if !errors.As(err, &failed) {
			return nil, err
		}
		for _, v := range failed.Violations {
			text := v.Proto.GetMessage()
			switch v.Proto.GetRuleId() {
			case "string.pattern":
				text = InWords(v.RuleValue.String())
			case "enum.defined_only":
				text = OneOf(v.FieldDescriptor.Enum())
			}
			found.Add(protovalidate.FieldPathString(v.Proto.GetField()), v.Proto.GetRuleId(), text)
		}
	}
	found.filters(msg.ProtoReflect())
	if m.masked {
		found.masked(msg.ProtoReflect())
	} else {
		found.behaviors("", msg.ProtoReflect())
	}
	return found.Refusal, nil
}

// findings is what is found wrong with the fields of a request.
type findings struct{ *answer.Refusal }

// listAtMost bounds what is looked at: no list of the contract takes more.
const listAtMost = 1000

// long refuses lists that are far too long before each item is looked at:
// a small message can have half a million.
func (r findings) long(path string, msg protoreflect.Message) {
	msg.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsList() && v.List().Len() > listAtMost:
			r.Add(join(path, string(f.Name())), "repeated.max_items", "must have far fewer items")
		case f.Kind() == protoreflect.MessageKind && !f.IsList() && !f.IsMap():
			r.long(join(path, string(f.Name())), v.Message())
		}
		return true
	})
}

// texts refuses NUL, which PostgreSQL cannot store and SQLite would.
func (r findings) texts(path string, msg protoreflect.Message) {
	msg.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		here := join(path, string(f.Name()))
		switch {
		case f.IsMap(): // requests have none
		case f.IsList():
			for i := range v.List().Len() {
				switch f.Kind() {
				case protoreflect.StringKind:
					r.text(here, v.List().Get(i).String())
				case protoreflect.MessageKind:
					r.texts(here, v.List().Get(i).Message())
				}
			}
		case f.Kind() == protoreflect.StringKind:
			r.text(here, v.String())
		case f.Kind() == protoreflect.MessageKind:
			r.texts(here, v.Message())
		}
		return true
	})
}

func (r findings) text(path, value string) {
	if strings.ContainsRune(value, 0) {
		r.Add(path, "string.nul", "must not contain U+0000")
	}
}

// behaviors checks google.api.field_behavior in the resource of a create.
// Requests themselves say the same by protovalidate.
func (r findings) behaviors(path string, msg protoreflect.Message) {
	fields := msg.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		here := join(path, string(f.Name()))
		switch {
		case path != "" && behaves(f, annotations.FieldBehavior_REQUIRED) && !isSet(msg, f):
			r.Add(here, "required", "value is required")
		case path != "" && behaves(f, annotations.FieldBehavior_IDENTIFIER) && msg.Has(f):
			r.Add(here, "identifier", "is made by the server")
		case isResource(f) && msg.Has(f):
			r.behaviors(here, msg.Get(f).Message())
		}
	}
}

// passOver takes out of the resources of a request what only the server sets, so
// that what was read can be sent back (AIP-203).
func passOver(req protoreflect.Message) {
	req.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if !isResource(f) {
			return true
		}
		resource := v.Message()
		resource.Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
			if behaves(f, annotations.FieldBehavior_OUTPUT_ONLY) {
				resource.Clear(f)
			}
			return true
		})
		return true
	})
}

// masked checks an update: REQUIRED fields are not emptied, and what only the server
// sets is passed over in the mask too. An empty mask stands for the fields that are
// set; it is filled in here, so that the rules need not care.
func (r findings) masked(req protoreflect.Message) {
	fields := req.Descriptor().Fields()
	mask := req.Mutable(fields.ByName("update_mask")).Message().Interface().(*fieldmaskpb.FieldMask)
	for i := range fields.Len() {
		if isResource(fields.Get(i)) && req.Has(fields.Get(i)) {
			r.maskedResource(mask, string(fields.Get(i).Name()), req.Get(fields.Get(i)).Message())
		}
	}
}

func (r findings) maskedResource(mask *fieldmaskpb.FieldMask, name string, resource protoreflect.Message) {
	fields := resource.Descriptor().Fields()
	if len(mask.GetPaths()) == 0 {
		resource.Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
			if !behaves(f, annotations.FieldBehavior_IDENTIFIER) && f.Name() != "etag" {
				mask.Paths = append(mask.Paths, string(f.Name()))
			}
			return true
		})
	}
	mask.Paths = slices.DeleteFunc(mask.Paths, func(path string) bool {
		f := fields.ByName(protoreflect.Name(path))
		return f != nil && behaves(f, annotations.FieldBehavior_OUTPUT_ONLY)
	})
	for _, path := range mask.GetPaths() {
		f := fields.ByName(protoreflect.Name(path))
		switch {
		case f == nil:
			r.Add("update_mask", "unknown_path", "names a field that is not there: "+wire.Cut(path, 100))
		case path == "id" || path == "etag": // a resource that was read and sent back names them
		case behaves(f, annotations.FieldBehavior_REQUIRED) && !isSet(resource, f),
			f.Kind() == protoreflect.BoolKind && f.HasPresence() && !resource.Has(f): // which of the two is nothing?
			r.Add(name+"."+path, "required", "value is required")
		}
	}
}

// isResource tells whether a field is a message of the contract, such as the
// user of a CreateUserRequest.
func isResource(f protoreflect.FieldDescriptor) bool {
	return f.Kind() == protoreflect.MessageKind && !f.IsList() && !f.IsMap() && f.Message().ParentFile().Package() == contract
}

func isSet(msg protoreflect.Message, f protoreflect.FieldDescriptor) bool {
	return msg.Has(f) && (f.Kind() != protoreflect.StringKind || f.IsList() || strings.TrimSpace(msg.Get(f).String()) != "")
}

// behaviorsOf keeps what the fields of the contract say: looking an option up
// costs more than all else that is done to a field.
var behaviorsOf sync.Map // protoreflect.FieldDescriptor: []annotations.FieldBehavior

func behaves(f protoreflect.FieldDescriptor, want annotations.FieldBehavior) bool {
	kept, ok := behaviorsOf.Load(f)
	if !ok {
		kept, _ = behaviorsOf.LoadOrStore(f, proto.GetExtension(f.Options(), annotations.E_FieldBehavior))
	}
	list, _ := kept.([]annotations.FieldBehavior)
	return slices.Contains(list, want)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// takeRequestID moves the header Idempotency-Key into the field request_id.
func takeRequestID(ctx context.Context, m *Method, msg proto.Message) error {
	if m.retry == nil {
		return nil
	}
	keys := metadata.ValueFromIncomingContext(ctx, "idempotency-key")
	if len(keys) == 0 {
		return nil
	}
	field := msg.ProtoReflect().Get(m.retry).String()
	if len(keys) > 0 && !utf8.ValidString(keys[0]) {
		return answer.Invalid("request_id", "string.utf8", "must be UTF-8")
	}
	if len(keys) > 1 || (field != "" && field != keys[0]) {
		return answer.Invalid("request_id", "one_request_id", "header and field name different request ids")
	}
	msg.ProtoReflect().Set(m.retry, protoreflect.ValueOfString(keys[0]))
	return nil
}
