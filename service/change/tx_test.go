package change_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bizmetry/identity/service/change"
	"github.com/bizmetry/identity/store"
)

// declared are the exported fields and methods of some types of this package.
func declared(t *testing.T, types ...string) (names []string) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	add := func(name string) {
		if ast.IsExported(name) {
			names = append(names, name)
		}
	}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv == nil {
					break
				}
				if star, ok := n.Recv.List[0].Type.(*ast.StarExpr); ok && slices.Contains(types, star.X.(*ast.Ident).Name) {
					add(n.Name.Name)
				}
			case *ast.TypeSpec:
				if fields, ok := n.Type.(*ast.StructType); ok && slices.Contains(types, n.Name.Name) {
					for _, field := range fields.Fields.List {
						for _, name := range field.Names {
							add(name.Name)
						}
					}
				}
			}
			return true
		})
	}
	return names
}

// A name of ours that a transaction of the store has too would take its place
// without a word.
func TestTx_HidesNothingOfTheStore(t *testing.T) {
	names := declared(t, "Tx", "Decision")
	if len(names) < 15 {
		t.Fatalf("only %q were found", names)
	}
	stored := reflect.TypeFor[*store.Tx]()
	for _, name := range names {
		if _, hidden := stored.MethodByName(name); hidden {
			t.Errorf("%s hides that of store.Tx", name)
		}
	}
}

// What a change reads comes out of its transaction: the reads of a Tx are those
// of the store's, and a look, which has none, keeps its own under a name.
func TestTx_ReadsInsideItsTransaction(t *testing.T) {
	tx := reflect.TypeFor[change.Tx]()
	reads, ok := tx.FieldByName("Reads")
	if !ok || tx.Field(reads.Index[0]).Type != reflect.TypeFor[*store.Tx]() {
		t.Errorf("the reads of a change are at %v", reads.Index)
	}
	look, ok := reflect.TypeFor[change.Look]().FieldByName("Reads")
	if !ok || look.Anonymous || len(look.Index) != 1 {
		t.Errorf("the reads of a look are %+v", look)
	}
	for _, name := range []string{"User", "Grants", "HasAdministrator"} {
		if _, ok := reflect.TypeFor[*change.Look]().MethodByName(name); ok {
			t.Errorf("a look reads by %s without saying of what", name)
		}
	}
}
