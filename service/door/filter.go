package door

import (
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// filters refuses texts of a filter that are there but blank. They would match
// everybody, which is what nobody means who fills in a part of a filter.
func (r findings) filters(req protoreflect.Message) {
	fields := req.Descriptor().Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); isResource(f) && f.Message().Name() == "Filter" && req.Has(f) {
			r.filter(string(f.Name()), req.Get(f).Message())
		}
	}
}

func (r findings) filter(path string, filter protoreflect.Message) {
	filter.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Kind() == protoreflect.StringKind && !f.IsList() && strings.TrimSpace(v.String()) == "" {
			r.Add(join(path, string(f.Name())), "blank", "must not be blank: leave it out to match everybody")
		}
		return true
	})
}
