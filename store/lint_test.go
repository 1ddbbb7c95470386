package store_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What may stand in a query beside constants, by function: parts that are
// picked out of constants, and texts that such a part was put into.
var allowedParts = map[string][]string{
	"matching":             {"w.String()", "order", "userOrders[]"}, // order is p.keyset's
	"walk":                 {"path.String()", "w.String()", "order", "userOrders[]"},
	"ServiceAccounts":      {"w.String()", "order", "accountOrders[]"},
	"step":                 {"t.columns", "text", "order"}, // text is chunk's, of parts that are constants of each list
	"chunk":                {"w.column"},
	"leading":              {"count", "many"}, // constants
	"tally":                {"text", "kinds", "w.column", "id"},
	"frequent":             {"people", "rows.String()"}, // people is a constant
	"stroll":               {"rows.all()"},
	"find":                 {"matched", "behind.String()", "order"}, // matched is made of found's parts and userOrders
	"CountServiceAccounts": {"w.String()"},
	"keyset":               {"column", "beyond"},                           // an entry of userOrders or accountOrders, and a constant
	"hasAdministrator":     {"query", "w.String()"},                        // query is sqlx.In of a constant
	"EachMatch":            {"from", "w.String()", "b.who()", "condition"}, // from is found's
	"ChangeAll":            {"from", "w.String()"},
	"narrow":               {"b.who()", "condition"}, // constants of Bulk
	"not":                  {"other.conditions"},
	"EraseUsers":           {"s.statement"},      // as for Sweep
	"AddressHolders":       {"strings.Repeat()"}, // of a constant
	"Clocks":               {"query"},            // inLists of a constant
	"EventsOf":             {"branch", "strings.Repeat()", "order"},
	"Spend":                {"strings.Repeat()"},
	"Sweep":                {"old.statement"}, // an entry of a list of constants
	"Grants":               {"query"},         // inLists of a constant
	"Claim":                {"these"},         // rowsOf repeats a constant
	"Sent":                 {"these"},
	"OpenLinks":            {"these"},
	"inLists":              {"query"},
	"Revive":               {"revive"}, // a constant
	"inTurn":               {"statement"},
	// The helpers themselves.
	"one": {"query", "args"}, "withPlan": {"query"}, "all": {"query", "args"}, "in": {"query"}, "list": {"query", "args"}, "query": {"query", "args"},
	"exec": {"query", "args"}, "must": {"query"}, "each": {"query"}, "execIn": {"query"},
	"insert": {"query", "row"}, "insertAll": {"query"}, "later": {"query"}, "add": {"query"}, "run": {"query", "args"}, "sendWith": {"parts[].query", "query.String()"}, "last": {"query"}, "and": {"condition"}, "newWhere": {"condition"},
}

// queries are the functions that take a query, and which argument it is.
var queries = map[string]int{
	"one": 2, "all": 2, "in": 2, "list": 4, "inLists": 0, "query": 1, "each": 2, "exec": 1, "execIn": 1, "must": 1, "insert": 1,
	"last": 2, "later": 3, "add": 2, "withPlan": 1, "run": 1, "Named": 0, "In": 0, "newWhere": 0, "and": 1, "keyset": 1,
	"GetContext": 2, "SelectContext": 2, "QueryxContext": 1, "ExecContext": 1, "NamedExecContext": 1,
}

// transactions are the ways to write that only store.go, write.go and migrate.go may take.
var transactions = regexp.MustCompile(`^(Must)?(Begin|Exec|NamedExec|Prepare|PrepareNamed)(x|Tx|Txx|Context|xContext)?$`)

var writesRows = regexp.MustCompile(`(?i)\b(INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|REPLACE\s+INTO|TRUNCATE|CREATE|ALTER|DROP)\b`)

type lint struct {
	t         *testing.T
	files     *token.FileSet
	constants map[string]bool
	texts     map[string]ast.Expr // of the constants
}

// TestSQL_IN01: every query is a text of this package, and rows are written in
// explicit transactions only.
func TestSQL_IN01(t *testing.T) {
	l := lint{t, token.NewFileSet(), map[string]bool{}, map[string]ast.Expr{}}
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(l.files, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
		l.collect(file)
	}
	checked := 0
	for i, file := range files {
		for _, decl := range file.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Body != nil {
				checked += l.queries(fn)
				l.writes(fn)
				l.transactions(fn, l.files.Position(files[i].Pos()).Filename)
			}
		}
	}
	if checked < 50 {
		t.Errorf("only %d queries were found: the test looks in the wrong place", checked)
	}
}

// collect notes the constants of the package.
func (l lint) collect(file *ast.File) {
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || (gen.Tok != token.CONST && gen.Tok != token.VAR) {
			continue
		}
		for _, spec := range gen.Specs {
			for i, name := range spec.(*ast.ValueSpec).Names {
				l.constants[name.Name] = gen.Tok == token.CONST || isTable(spec.(*ast.ValueSpec), i)
				if values := spec.(*ast.ValueSpec).Values; i < len(values) {
					l.texts[name.Name] = values[i]
				}
			}
		}
	}
}

// isTable tells whether a variable is a map whose values are string literals.
func isTable(spec *ast.ValueSpec, i int) bool {
	if i >= len(spec.Values) {
		return false
	}
	table, ok := spec.Values[i].(*ast.CompositeLit)
	return ok && !slices.ContainsFunc(table.Elts, func(e ast.Expr) bool {
		pair, ok := e.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		_, literal := pair.Value.(*ast.BasicLit)
		return !literal
	})
}

// queries checks the text of each query in a function.
func (l lint) queries(fn *ast.FuncDecl) (checked int) {
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		at, ok := queries[called(call)]
		if !ok || len(call.Args) <= at {
			return true
		}
		checked++
		if name := called(call); name == "later" || name == "last" {
			l.table(call, at)
		}
		if part := l.foreign(call.Args[at], allowedParts[fn.Name.Name]); part != "" {
			l.t.Errorf("%s: the query has %s in it, which is no constant of this package", l.files.Position(call.Pos()), part)
		}
		return true
	})
	return checked
}

// table checks that what is written later, or last, names the table that its
// statement writes to: two parts of one statement must not write to the same.
func (l lint) table(call *ast.CallExpr, at int) {
	words := strings.Fields(l.begin(call.Args[at]))
	for len(words) > 0 && (words[0] == "INSERT" || words[0] == "INTO" || words[0] == "UPDATE") {
		words = words[1:]
	}
	if named := l.begin(call.Args[at-1]); len(words) == 0 || words[0] != named {
		l.t.Errorf("%s: the statement does not write to %q", l.files.Position(call.Pos()), named)
	}
}

// begin is the text that an expression begins with.
func (l lint) begin(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, _ := strconv.Unquote(e.Value)
		return text
	case *ast.BinaryExpr:
		return l.begin(e.X)
	case *ast.Ident:
		if text := l.texts[e.Name]; text != nil {
			return l.begin(text)
		}
	}
	return ""
}

// foreign names the first part of a text that is neither constant nor allowed.
func (l lint) foreign(e ast.Expr, allowed []string) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		return ""
	case *ast.BinaryExpr:
		if part := l.foreign(e.X, allowed); part != "" {
			return part
		}
		return l.foreign(e.Y, allowed)
	case *ast.ParenExpr:
		return l.foreign(e.X, allowed)
	case *ast.Ident:
		if l.constants[e.Name] {
			return ""
		}
	case *ast.IndexExpr: // a query of each kind of principal
		if name, ok := e.X.(*ast.Ident); ok && l.constants[name.Name] {
			return ""
		}
	case *ast.CallExpr:
		if called(e) == "Rebind" { // puts the placeholders of the database in
			return l.foreign(e.Args[0], allowed)
		}
	}
	if text := source(e); !slices.Contains(allowed, text) {
		return text
	}
	return ""
}

// writes fails for SQL that writes in what only reads: methods of Reads and
// Store, but for what they hand to a transaction.
func (l lint) writes(fn *ast.FuncDecl) {
	if fn.Recv == nil || (receiver(fn) != "Reads" && receiver(fn) != "Store") {
		return
	}
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return !inTransaction(n)
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING && writesRows.MatchString(text) {
				l.t.Errorf("%s: %s.%s writes: that belongs to Tx or ShortTx", l.files.Position(n.Pos()), receiver(fn), fn.Name.Name)
			}
		}
		return true
	})
}

// inTransaction tells whether a function literal is given a transaction.
func inTransaction(f *ast.FuncLit) bool {
	return slices.ContainsFunc(f.Type.Params.List, func(p *ast.Field) bool {
		return slices.Contains([]string{"*Tx", "*ShortTx", "writes"}, source(p.Type))
	})
}

// transactions fails for transactions and statements that go past store.go and write.go.
func (l lint) transactions(fn *ast.FuncDecl, file string) {
	if slices.Contains([]string{"store.go", "write.go", "statements.go", "migrate.go"}, file) {
		return
	}
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && transactions.MatchString(called(call)) {
			l.t.Errorf("%s: %s: only store.go and write.go begin transactions and run statements", l.files.Position(call.Pos()), called(call))
		}
		return true
	})
}

func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.SelectorExpr:
		return f.Sel.Name
	case *ast.Ident:
		return f.Name
	}
	return ""
}

func receiver(fn *ast.FuncDecl) string { return strings.TrimPrefix(source(fn.Recv.List[0].Type), "*") }

// source is the text of a short expression.
func source(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return source(e.X) + "." + e.Sel.Name
	case *ast.CallExpr:
		return source(e.Fun) + "()"
	case *ast.IndexExpr:
		return source(e.X) + "[]"
	case *ast.StarExpr:
		return "*" + source(e.X)
	}
	return "an expression"
}
