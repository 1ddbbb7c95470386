package store_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// eventTypes are the constants of event_type.go.
func eventTypes(t *testing.T) (types []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "event_type.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file.Decls[1], func(n ast.Node) bool {
		if text, ok := n.(*ast.BasicLit); ok {
			value, _ := strconv.Unquote(text.Value)
			types = append(types, value)
		}
		return true
	})
	slices.Sort(types)
	return types
}

// The types of events and docs/events.md list the same.
func TestEventTypes_AreDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_.]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		documented = append(documented, row[1])
	}
	slices.Sort(documented)
	if types := eventTypes(t); !slices.Equal(types, documented) {
		t.Errorf("the types are %q, docs/events.md has %q", types, documented)
	}
}

// Nothing but event_type.go spells the type of an event.
func TestEventTypes_AreSpelledOnce(t *testing.T) {
	types, read := eventTypes(t), 0
	for _, folder := range []string{"../store", "../service", "../web", "../cmd", "../faults"} {
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || d.Name() == "event_type.go" {
				return err
			}
			read++
			text, err := os.ReadFile(path)
			for _, name := range types {
				if strings.Contains(string(text), strconv.Quote(name)) {
					t.Errorf("%s spells %s", path, name)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if read < 100 {
		t.Errorf("only %d files were read", read)
	}
}
