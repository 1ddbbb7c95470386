package service_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Measures of a package, tests apart. store/ holds every row, so it may be longer.
const (
	linesOfPackage = 3500
	linesOfStore   = 4700
	filesOfPackage = 40
	linesOfFile    = 400
	fieldsOfStruct = 14
	methodsOfType  = 45
)

// records have as many fields as what they stand for.
var records = []string{"token.Claims"}

// sources are the files of a folder, tests apart.
func sources(t *testing.T, folder string) map[string]*ast.File {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]*ast.File{}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files[path] = file
	}
	return files
}

// rooms are the packages of service/.
func rooms(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && e.Name() != "servicetest" && e.Name() != "testdata" {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestRooms_KeepTheirMeasure(t *testing.T) {
	folders := []string{".", "../store", "../web", "../cmd/identity"}
	folders = append(folders, rooms(t)...)
	if len(folders) < 20 {
		t.Fatalf("only %q were found", folders)
	}
	for _, folder := range folders {
		files, lines, methods := sources(t, folder), 0, map[string]int{}
		for path, file := range files {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			n := strings.Count(string(text), "\n")
			if lines += n; n > linesOfFile {
				t.Errorf("%s has %d lines", path, n)
			}
			measure(t, folder, file, methods)
		}
		most := linesOfPackage
		if folder == "../store" {
			most = linesOfStore
		}
		if lines > most || len(files) > filesOfPackage {
			t.Errorf("%s has %d lines in %d files", folder, lines, len(files))
		}
		for name, n := range methods {
			if n > methodsOfType && folder != "../store" {
				t.Errorf("%s.%s has %d methods", folder, name, n)
			}
		}
	}
}

// measure counts methods, and looks at structs of the service.
func measure(t *testing.T, folder string, file *ast.File, methods map[string]int) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Recv != nil {
				receiver := n.Recv.List[0].Type
				if star, ok := receiver.(*ast.StarExpr); ok {
					receiver = star.X
				}
				if name, ok := receiver.(*ast.Ident); ok {
					methods[name.Name]++
				}
			}
		case *ast.TypeSpec:
			fields, ok := n.Type.(*ast.StructType)
			name := file.Name.Name + "." + n.Name.Name
			if !ok || strings.HasPrefix(folder, "..") || slices.Contains(records, name) {
				break
			}
			if most := fields.Fields.NumFields(); most > fieldsOfStruct {
				t.Errorf("%s has %d fields", name, most)
			}
		}
		return true
	})
}

// The drawing in CONTRIBUTING.md has every room, and imports go down it: to a
// line below, or along an arrow.
func TestRooms_AreAsDrawn(t *testing.T) {
	text, err := os.ReadFile("../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	_, drawing, _ := strings.Cut(string(text), "\n```\nservice ")
	drawing, _, _ = strings.Cut(drawing, "\n```")
	present, line, arrows := rooms(t), map[string]int{}, map[string]bool{}
	for i, row := range strings.Split("service "+drawing, "\n") {
		row, _, _ = strings.Cut(row+strings.Repeat(" ", 60), strings.Repeat(" ", 8)) // what follows explains
		for _, arrow := range regexp.MustCompile(`(\w+) -> (\w+)`).FindAllStringSubmatch(row, -1) {
			arrows[arrow[1]+" "+arrow[2]] = true
		}
		for _, name := range regexp.MustCompile(`\w+`).FindAllString(row, -1) {
			line[name] = i + 1
		}
	}
	for _, name := range present {
		if line[name] == 0 {
			t.Errorf("the drawing has no %s", name)
		}
	}
	crossings := 0
	for _, name := range present {
		for path, file := range sources(t, name) {
			for _, spec := range file.Imports {
				imported, _ := strconv.Unquote(spec.Path.Value)
				other, ours := strings.CutPrefix(imported, "github.com/bizmetry/identity/service/")
				if !ours {
					continue
				}
				if crossings++; line[other] <= line[name] && !arrows[name+" "+other] {
					t.Errorf("%s imports %s, which is not below", path, other)
				}
			}
		}
	}
	if crossings < 50 {
		t.Errorf("only %d imports were looked at", crossings)
	}
}
