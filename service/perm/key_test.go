package perm_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
)

// ownKeys are the constants of key.go.
func ownKeys(t *testing.T) (keys []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "key.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file.Decls[0], func(n ast.Node) bool {
		if text, ok := n.(*ast.BasicLit); ok {
			value, _ := strconv.Unquote(text.Value)
			keys = append(keys, value)
		}
		return true
	})
	slices.Sort(keys)
	return keys
}

// The keys of this service's own areas and docs/permissions.md list the same.
func TestKeys_AreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/permissions.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `((?:platform|system)[a-z.]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		documented = append(documented, row[1])
	}
	slices.Sort(documented)
	if own := ownKeys(t); len(own) == 0 || !slices.Equal(own, documented) {
		t.Errorf("the keys are %q, docs/permissions.md has %q", own, documented)
	}
}

// The options of the contract name no key that is not a constant.
func TestKeys_OfTheContract(t *testing.T) {
	own, named := ownKeys(t), 0
	check := func(method protoreflect.FullName, list ...string) {
		for _, key := range list {
			if key == "" {
				continue
			}
			if named++; !slices.Contains(own, key) {
				t.Errorf("%s names %q", method, key)
			}
		}
	}
	protoregistry.GlobalFiles.RangeFilesByPackage("bizmetry.identity.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			methods := f.Services().Get(i).Methods()
			for j := range methods.Len() {
				access, _ := proto.GetExtension(methods.Get(j).Options(), identityv1.E_Access).(*identityv1.Access)
				check(methods.Get(j).FullName(), access.GetPermission(), access.GetSelfOr().GetPermission(), access.GetAcross())
				check(methods.Get(j).FullName(), access.GetAnyOf().GetPermissions()...)
			}
		}
		return true
	})
	if named < 20 {
		t.Errorf("only %d keys are named: %s", named, strings.Join(own, " "))
	}
}
