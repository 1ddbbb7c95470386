package web

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// checkBody refuses what the gateway would read as something else: an id in the body
// that is not the one in the path, and null where an update has nothing to clear.
func checkBody(rt *route, body []byte) *refusal {
	members := map[string]json.RawMessage{}
	if len(body) == 0 || json.Unmarshal(body, &members) != nil {
		return nil // no object: the gateway says so
	}
	of := rt.rpc.Input()
	if rt.body != "*" {
		of = of.Fields().ByName(protoreflect.Name(rt.body)).Message()
	}
	for key, value := range members {
		f := fieldOf(of, key)
		if f == nil {
			continue // the gateway says so
		}
		if no := rt.agrees(f, value); no != nil {
			return no
		}
		if rt.method == http.MethodPatch && string(value) == "null" && !clearable(f) {
			return badField(rt.pathOf(f), "null", "null clears phone, description and parent_name only: leave the field out, or give it a value")
		}
	}
	return nil
}

// agrees holds a member of the body against the parameter of the path with its name.
func (rt *route) agrees(f protoreflect.FieldDescriptor, value json.RawMessage) *refusal {
	i := slices.IndexFunc(rt.params, func(param string) bool { return param == string(f.Name()) || param == rt.pathOf(f) })
	if i < 0 || string(value) == "null" {
		return nil
	}
	var text string
	if json.Unmarshal(value, &text) != nil || text == "" || text == rt.values[i] {
		return nil // no text: the gateway says so; empty: as if it was left out
	}
	return badField(rt.pathOf(f), "same_in_path", "must be what stands in the path, or be left out")
}

// pathOf is the path of a field of the body in the request.
func (rt *route) pathOf(f protoreflect.FieldDescriptor) string {
	return strings.TrimPrefix(rt.body+"."+string(f.Name()), "*.")
}

// clearable tells whether null means something in an update: for texts that there
// need not be, nothing; what the server sets is passed over whatever it is.
func clearable(f protoreflect.FieldDescriptor) bool {
	switch f.Name() {
	case "phone", "description", "parent_name":
		return true
	}
	behaviors, _ := proto.GetExtension(f.Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior)
	return slices.Contains(behaviors, annotations.FieldBehavior_OUTPUT_ONLY)
}
