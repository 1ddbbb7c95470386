package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// contract is the package that has the paths.
const contract = "bizmetry.identity.v1"

// route is an HTTP binding of an RPC, as its google.api.http option says.
type route struct {
	rpc      protoreflect.MethodDescriptor
	method   string   // of HTTP
	path     string   // the template
	segments []string // of the template; "" stands for a parameter
	action   string   // custom method: what follows the colon
	params   []string // field paths that the path holds
	values   []string // of a request: what stands in their places
	body     string   // "": none, "*": the whole request, else the field
}

type routes []route

// readRoutes reads all paths of the contract.
func readRoutes() (all routes, err error) {
	protoregistry.GlobalFiles.RangeFilesByPackage(contract, func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			rpcs := f.Services().Get(i).Methods()
			for j := range rpcs.Len() {
				own, failed := routesOf(rpcs.Get(j))
				all, err = append(all, own...), errors.Join(err, failed)
			}
		}
		return true
	})
	return all, err
}

func routesOf(rpc protoreflect.MethodDescriptor) (own []route, err error) {
	rule, _ := proto.GetExtension(rpc.Options(), annotations.E_Http).(*annotations.HttpRule)
	for _, binding := range append([]*annotations.HttpRule{rule}, rule.GetAdditionalBindings()...) {
		rt := route{rpc: rpc, body: binding.GetBody()}
		switch p := binding.GetPattern().(type) {
		case *annotations.HttpRule_Get:
			rt.method, rt.path = http.MethodGet, p.Get
		case *annotations.HttpRule_Post:
			rt.method, rt.path = http.MethodPost, p.Post
		case *annotations.HttpRule_Put:
			rt.method, rt.path = http.MethodPut, p.Put
		case *annotations.HttpRule_Patch:
			rt.method, rt.path = http.MethodPatch, p.Patch
		case *annotations.HttpRule_Delete:
			rt.method, rt.path = http.MethodDelete, p.Delete
		default:
			return nil, fmt.Errorf("%s declares no HTTP path", rpc.FullName())
		}
		if !rt.compile() {
			return nil, fmt.Errorf("%s has a path that is not understood: %s", rpc.FullName(), rt.path)
		}
		own = append(own, rt)
	}
	return own, nil
}

// compile reads a template such as /v1/users/{user.id}:enable. Parameters are
// whole segments; of the rest of the template language nothing is used here.
func (rt *route) compile() bool {
	path, rooted := strings.CutPrefix(rt.path, "/")
	last := strings.LastIndexByte(path, '/') + 1
	if i := strings.LastIndexByte(path[last:], ':'); i >= 0 {
		path, rt.action = path[:last+i], path[last+i+1:]
	}
	for segment := range strings.SplitSeq(path, "/") {
		if param, ok := strings.CutPrefix(segment, "{"); ok {
			param, ok = strings.CutSuffix(param, "}")
			if !ok {
				return false
			}
			rt.params, segment = append(rt.params, param), ""
		}
		if strings.ContainsAny(segment, "{}*=:") {
			return false
		}
		rt.segments = append(rt.segments, segment)
	}
	return rooted && !strings.ContainsAny(strings.Join(rt.params, ""), "{}*=:")
}

// find returns the route of a request. Where the path is there but not for the
// method, the methods come back for the Allow header. It is stricter than the
// gateway's matching, which takes "x:enable" for an id.
func (rs routes) find(r *http.Request) (rt route, others []string, no *refusal) {
	segments, action, no := splitPath(r.URL)
	if no != nil {
		return rt, nil, no
	}
	for _, candidate := range rs {
		if !candidate.matches(segments, action) {
			continue
		}
		if candidate.method == asked(r) {
			candidate.values = candidate.held(segments)
			return candidate, nil, nil
		}
		others = append(others, candidate.method)
	}
	if len(others) == 0 {
		return rt, nil, noSuchPath
	}
	return rt, others, wrongMethod
}

// splitPath decodes the segments of a path and splits the action off. What
// different readers of a path could understand differently is refused.
func splitPath(u *url.URL) (segments []string, action string, no *refusal) {
	path, rooted := strings.CutPrefix(u.EscapedPath(), "/")
	if !rooted {
		return nil, "", noSuchPath
	}
	for escaped := range strings.SplitSeq(path, "/") {
		segment, err := url.PathUnescape(escaped)
		switch {
		case err != nil || !isText(segment):
			return nil, "", malformed
		case segment == "" || segment == "." || segment == ".." || strings.ContainsAny(segment, `/\`):
			return nil, "", noSuchPath
		}
		segments = append(segments, segment)
	}
	last := &segments[len(segments)-1]
	if i := strings.LastIndexByte(*last, ':'); i >= 0 {
		*last, action = (*last)[:i], (*last)[i+1:]
	}
	if *last == "" {
		return nil, "", noSuchPath
	}
	return segments, action, nil
}

func (rt *route) matches(segments []string, action string) bool {
	return rt.action == action && slices.EqualFunc(rt.segments, segments, func(want, got string) bool {
		return want == got || want == ""
	})
}

// held are the segments of a path that stand for parameters.
func (rt *route) held(segments []string) (values []string) {
	for i, segment := range rt.segments {
		if segment == "" {
			values = append(values, segments[i])
		}
	}
	return values
}

// takes tells whether the query may hold a parameter. What stands in the path
// or in the body may not, so that every datum has one place; the mask of an
// update is made of the body's keys.
func (rt *route) takes(name string) bool {
	f, _ := rt.parameter(name)
	return f != nil
}

// parameter is the field that a parameter sets, and its path as the contract spells
// it; nil where the query may not hold it.
func (rt *route) parameter(name string) (f protoreflect.FieldDescriptor, path string) {
	if rt.body == "*" && !rt.streams() {
		return nil, ""
	}
	message := rt.rpc.Input()
	for name != "" {
		var part string
		part, name, _ = strings.Cut(name, ".")
		f = fieldOf(message, part)
		if f == nil || path == "" && string(f.Name()) == rt.body {
			return nil, ""
		}
		path = strings.TrimPrefix(path+"."+string(f.Name()), ".")
		if name == "" && rt.streams() && f.Kind() == protoreflect.BytesKind {
			return nil, "" // the file is the body
		}
		if name == "" {
			if !isParameter(f) || slices.Contains(rt.params, path) {
				return nil, ""
			}
			return f, path
		}
		if message = f.Message(); message == nil || f.Cardinality() == protoreflect.Repeated {
			return nil, ""
		}
	}
	return nil, ""
}

// fullMethod is the RPC as gRPC names it.
func (rt *route) fullMethod() string {
	return "/" + string(rt.rpc.Parent().FullName()) + "/" + string(rt.rpc.Name())
}

// streams tells whether the RPC is a stream: a file over REST.
func (rt *route) streams() bool { return rt.rpc.IsStreamingClient() || rt.rpc.IsStreamingServer() }

func fieldOf(m protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if f := m.Fields().ByJSONName(name); f != nil {
		return f
	}
	return m.Fields().ByTextName(name)
}

// isParameter tells whether a field can stand in a query: a scalar, a list of
// them, or a time.
func isParameter(f protoreflect.FieldDescriptor) bool {
	if f.Message() == nil {
		return true
	}
	name := f.Message().FullName()
	return name == "google.protobuf.Timestamp" || name == "google.protobuf.Duration"
}

// isText tells whether a string can be kept in either database.
func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }
