package door

import (
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/contact"
)

// composedAtMost is up to which size texts are trimmed and composed. The field
// rules refuse larger ones.
const composedAtMost = 16 << 10

// readTexts brings the texts of a request that are on one line to the form in which
// they are measured, and finds those that are not what their fields say. It comes
// before the field rules.
func (r findings) readTexts(path string, msg protoreflect.Message) {
	of := textsOf(msg.Descriptor())
	for _, t := range of.fields {
		if !msg.Has(t.field) {
			continue
		}
		text := msg.Get(t.field).String()
		if t.kind != identityv1.Text_PROSE && len(text) <= composedAtMost {
			if composed := contact.Line(text); composed != text {
				text = composed
				msg.Set(t.field, protoreflect.ValueOfString(text))
			}
		}
		r.textIs(join(path, string(t.field.Name())), t.kind, text)
	}
	for _, f := range of.messages {
		if msg.Has(f) {
			r.readTexts(join(path, string(f.Name())), msg.Get(f).Message())
		}
	}
}

// textIs checks what a text consists of. That one is missing is said elsewhere.
func (r findings) textIs(path string, kind identityv1.Text_Kind, text string) {
	if text == "" || len(text) > composedAtMost {
		return
	}
	switch {
	case kind == identityv1.Text_LABEL && !contact.IsLabel(text):
		r.Add(path, "label", "must be characters that are seen, on one line, with a letter or digit at least")
	case kind == identityv1.Text_PERSON && !contact.IsPersonName(text):
		r.Add(path, "name", "must be letters of any script and digits, with spaces, hyphens, apostrophes, full stops and middle dots between them")
	case kind == identityv1.Text_PROSE && !contact.IsProse(text):
		r.Add(path, "prose", "must have no control characters but tabs and ends of lines")
	}
}

// texts are the fields of a message whose texts the contract marks, and the
// messages in it that have such fields. Lists of messages have none.
type texts struct {
	fields   []textField
	messages []protoreflect.FieldDescriptor
}

type textField struct {
	field protoreflect.FieldDescriptor
	kind  identityv1.Text_Kind
}

// textsKept keeps them: looking an option up costs more than reading a text.
var textsKept sync.Map // protoreflect.MessageDescriptor: *texts

func textsOf(d protoreflect.MessageDescriptor) *texts {
	if kept, ok := textsKept.Load(d); ok {
		return kept.(*texts) //nolint:forcetypeassert // there is nothing else in it
	}
	of := &texts{}
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		if isResource(f) {
			if in := textsOf(f.Message()); len(in.fields)+len(in.messages) > 0 {
				of.messages = append(of.messages, f)
			}
			continue
		}
		if kind, _ := proto.GetExtension(f.Options(), identityv1.E_Text).(identityv1.Text_Kind); kind != identityv1.Text_KIND_UNSPECIFIED {
			of.fields = append(of.fields, textField{f, kind})
		}
	}
	textsKept.Store(d, of)
	return of
}
