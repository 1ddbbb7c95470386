package change

import (
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// marksOf counts the marked fields of a message outside its lists.
func marksOf(d protoreflect.MessageDescriptor, depth int) (n int) {
	for i := range d.Fields().Len() {
		switch f := d.Fields().Get(i); {
		case f.IsList() || f.IsMap():
		case f.Kind() == protoreflect.MessageKind && depth > 0:
			n += marksOf(f.Message(), depth-1)
		case f.Kind() == protoreflect.StringKind && namesUser(f):
			n++
		}
	}
	return n
}

// Of every call that may be retried, it is clear which user its outcome tells of.
func TestNamedUser_IsOne(t *testing.T) {
	retryable, marked := 0, 0
	protoregistry.GlobalFiles.RangeFilesByPackage("bizmetry.identity.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			methods := f.Services().Get(i).Methods()
			for j := range methods.Len() {
				m := methods.Get(j)
				if m.Input().Fields().ByName("request_id") == nil {
					continue
				}
				retryable++
				in, out := marksOf(m.Input(), 3), marksOf(m.Output(), 3)
				if in > 1 || out > 1 {
					t.Errorf("%s names %d users in its request and %d in its answer", m.FullName(), in, out)
				}
				marked += min(in+out, 1)
			}
		}
		return true
	})
	if retryable < 5 || marked < 3 {
		t.Errorf("%d calls can be retried, %d of them name a user", retryable, marked)
	}
}
