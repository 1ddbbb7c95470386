package web

import (
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"sync"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/bizmetry/identity/gen"
	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
)

//go:embed docs.html
var docsHTML string

//go:embed docs.css
var docsCSS []byte

// openAPI describes the REST mirror.
func (p *port) openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", cachePublic)
	write(w, http.StatusOK, "application/yaml; charset=utf-8", gen.OpenAPI)
}

func (p *port) docsStyle(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", cachePublic)
	write(w, http.StatusOK, "text/css; charset=utf-8", docsCSS)
}

// docs is the contract to read: plain HTML, no script.
func (p *port) docs(w http.ResponseWriter, _ *http.Request) {
	page, err := docsPage()
	if err != nil {
		p.log.Error("docs", "error", err.Error())
		refuse(w, broken)
		return
	}
	w.Header().Set("Cache-Control", cachePublic)
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	write(w, http.StatusOK, "text/html; charset=utf-8", page)
}

// docsPage renders the page when it is first asked for, so that the start does not wait for it.
var docsPage = sync.OnceValues(func() ([]byte, error) {
	page, err := describe()
	if err != nil {
		return nil, err
	}
	t, err := template.New("docs").Parse(docsHTML)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, page)
	return b.Bytes(), err
})

// What the page shows.
type (
	docsData struct {
		Package  string
		Services []docsService
		Types    []docsType
	}
	docsService struct {
		Name, Text string
		RPCs       []docsRPC
	}
	docsRPC struct {
		Name, Text, Access   string
		Answer, AnswerAnchor string
		Paths                []docsPath
		Fields               []docsField
	}
	docsPath struct{ Method, Path, Body string }
	docsType struct {
		Name, Text string
		Fields     []docsField
	}
	docsField struct{ Name, Type, Anchor, Notes, Text string }
)

// describe reads the contract with its comments.
func describe() (page docsData, err error) {
	files, err := contractFiles()
	if err != nil {
		return page, err
	}
	page.Package = contract
	requests := map[protoreflect.FullName]bool{}
	for _, f := range files {
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			own := docsService{Name: string(s.Name()), Text: commentOf(s)}
			for j := range s.Methods().Len() {
				rpc, failed := describeRPC(s.Methods().Get(j))
				own.RPCs, err = append(own.RPCs, rpc), errors.Join(err, failed)
				requests[s.Methods().Get(j).Input().FullName()] = true
			}
			page.Services = append(page.Services, own)
		}
	}
	for _, f := range files {
		page.Types = append(page.Types, describeTypes(f.Messages(), f.Enums(), requests)...)
	}
	slices.SortFunc(page.Services, func(a, b docsService) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(page.Types, func(a, b docsType) int { return cmp.Compare(a.Name, b.Name) })
	return page, err
}

// contractFiles reads our own files of the embedded descriptors, which have
// the comments that generated code lacks. What they import is linked in.
func contractFiles() (files []protoreflect.FileDescriptor, err error) {
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(gen.Descriptors, &set); err != nil {
		return nil, err
	}
	own := &resolver{}
	for _, file := range set.GetFile() { // in the order of their imports
		f, err := protodesc.NewFile(file, own)
		if err != nil {
			return nil, err
		}
		if err := own.RegisterFile(f); err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// resolver looks among our own files first, then among all that are linked in.
type resolver struct{ protoregistry.Files }

// FindFileByPath implements protodesc.Resolver.
func (r *resolver) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	if f, err := r.Files.FindFileByPath(path); err == nil {
		return f, nil
	}
	return protoregistry.GlobalFiles.FindFileByPath(path)
}

// FindDescriptorByName implements protodesc.Resolver.
func (r *resolver) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	if d, err := r.Files.FindDescriptorByName(name); err == nil {
		return d, nil
	}
	return protoregistry.GlobalFiles.FindDescriptorByName(name)
}

func describeRPC(rpc protoreflect.MethodDescriptor) (docsRPC, error) {
	own, err := routesOf(rpc)
	access, _ := proto.GetExtension(rpc.Options(), identityv1.E_Access).(*identityv1.Access)
	d := docsRPC{
		Name: string(rpc.Name()), Text: commentOf(rpc), Access: accessText(access),
		Answer: shortName(rpc.Output()), AnswerAnchor: shortName(rpc.Output()), Fields: describeFields(rpc.Input()),
	}
	for _, rt := range own {
		body := rt.body
		if body == "*" {
			body = "all other fields"
		}
		if f := rpc.Input().Fields().ByName(protoreflect.Name(body)); f != nil {
			body = f.JSONName()
		}
		d.Paths = append(d.Paths, docsPath{rt.method, rt.path, body})
	}
	return d, err
}

// accessText says in words what the access option of an RPC says.
func accessText(a *identityv1.Access) string {
	text := "nobody"
	switch rule := a.GetRule().(type) {
	case *identityv1.Access_Public:
		text = "anybody"
	case *identityv1.Access_Authenticated:
		text = "every principal with an access token"
	case *identityv1.Access_Permission:
		text = rule.Permission
	case *identityv1.Access_SelfOr_:
		text = "a principal about itself, or " + rule.SelfOr.GetPermission()
	case *identityv1.Access_AnyOf_:
		text = strings.Join(rule.AnyOf.GetPermissions(), " or ") + " (the rule picks)"
	}
	if a.GetAcross() != "" {
		text += "; in other organizations " + a.GetAcross()
	}
	return text
}

// describeTypes describes messages and enums with what is nested in them, but
// for requests, which stand with their RPCs, and messages that only hold an enum.
func describeTypes(ms protoreflect.MessageDescriptors, es protoreflect.EnumDescriptors, requests map[protoreflect.FullName]bool) (types []docsType) {
	for i := range ms.Len() {
		m := ms.Get(i)
		if !requests[m.FullName()] && (m.Fields().Len() > 0 || m.Enums().Len() == 0) {
			types = append(types, docsType{shortName(m), commentOf(m), describeFields(m)})
		}
		types = append(types, describeTypes(m.Messages(), m.Enums(), requests)...)
	}
	for i := range es.Len() {
		e := es.Get(i)
		t := docsType{Name: shortName(e), Text: commentOf(e)}
		for j := range e.Values().Len() {
			if v := e.Values().Get(j); v.Number() != 0 {
				t.Fields = append(t.Fields, docsField{Name: string(v.Name()), Type: fmt.Sprint(v.Number()), Text: commentOf(v)})
			}
		}
		types = append(types, t)
	}
	return types
}

func describeFields(m protoreflect.MessageDescriptor) (fields []docsField) {
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		d := docsField{Name: f.JSONName(), Type: f.Kind().String(), Notes: notesOf(f), Text: commentOf(f)}
		var named protoreflect.Descriptor
		if f.Message() != nil {
			named = f.Message()
		} else if f.Enum() != nil {
			named = f.Enum()
		}
		if named != nil {
			d.Type = shortName(named)
			if named.ParentFile().Package() == contract {
				d.Anchor = d.Type
			}
		}
		if f.IsList() {
			d.Type += "[]"
		}
		fields = append(fields, d)
	}
	return fields
}

// notesOf says who sets a field, and whether it must be there.
func notesOf(f protoreflect.FieldDescriptor) string {
	var notes []string
	behaviors, _ := proto.GetExtension(f.Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior)
	for _, b := range behaviors {
		switch b {
		case annotations.FieldBehavior_REQUIRED:
			notes = append(notes, "required")
		case annotations.FieldBehavior_OUTPUT_ONLY, annotations.FieldBehavior_IDENTIFIER:
			notes = append(notes, "answer only")
		case annotations.FieldBehavior_INPUT_ONLY:
			notes = append(notes, "request only")
		}
	}
	if one := f.ContainingOneof(); one != nil && !one.IsSynthetic() {
		notes = append(notes, "one of "+string(one.Name()))
	}
	return strings.Join(notes, ", ")
}

// shortName is a name without the package: User.State.
func shortName(d protoreflect.Descriptor) string {
	return strings.TrimPrefix(string(d.FullName()), string(d.ParentFile().Package())+".")
}

func commentOf(d protoreflect.Descriptor) string {
	text := strings.TrimSpace(d.ParentFile().SourceLocations().ByDescriptor(d).LeadingComments)
	return strings.ReplaceAll(text, "\n ", "\n")
}
