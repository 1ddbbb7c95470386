package table_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/bizmetry/identity/service/table"
)

var columns = []table.Column{{Name: "name"}, {Name: "ok", Flag: true}, {Name: "tags", List: true}}

// readAll reads a file: its rows as "name|ok|tags", what is wrong with one in
// its place, and the error that ended it.
func readAll(t testing.TB, f table.Format, file io.Reader) (rows []string, end error) {
	t.Helper()
	r, err := table.NewReader(file, f, columns)
	for err == nil {
		var row []table.Cell
		var bad *table.RowError
		row, err = r.Read()
		switch {
		case errors.As(err, &bad):
			rows, err = append(rows, "! "+bad.Error()), nil
		case err == nil:
			rows = append(rows, fmt.Sprintf("%s|%s|%s", row[0].Text(), row[1].Text(), strings.Join(row[2], ",")))
		}
		if err == nil && r.Row() != int64(len(rows)) {
			t.Errorf("row %d is counted as %d", len(rows), r.Row())
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return rows, err
}

func TestRead(t *testing.T) {
	long := strings.Repeat("x", table.MaxRow)
	for _, row := range []struct {
		name   string
		format table.Format
		file   string
		want   []string
		end    string
	}{
		{"csv", table.CSV, "name,ok,tags\nA,true,x;y\nB,,\n", []string{"A|true|x,y", "B||"}, ""},
		{"any order", table.CSV, "tags,name\nx,A\n", []string{"A||x"}, ""},
		{"byte order mark, CRLF, no last line end", table.CSV, "\ufeffname,ok\r\nA,false\r\nB,TRUE", []string{"A|false|", "B|true|"}, ""},
		{"quotes", table.CSV, "name\n\"A, \"\"B\"\"\nC\"\n", []string{"A, \"B\"\nC||"}, ""},
		{"blank lines and blanks", table.CSV, "name, ok \n\n A ,true\n\n", []string{"A|true|"}, ""},
		{"guards come off once", table.CSV, "name\n'=A\n''=A\n'A\n", []string{"=A||", "'=A||", "'A||"}, ""},
		{"an unknown column, by name", table.CSV, "name,colour\nA,red\n", nil, `row 0: there is no column "colour"`},
		{"a column twice", table.CSV, "name,name\nA,A\n", nil, `row 0: the column "name" is there twice`},
		{"nothing", table.CSV, "", nil, "row 0: the header line is missing"},
		{"a header that is no CSV", table.CSV, "na\"me\"\n", nil, "row 0: the header line is no CSV"},
		{"a quote in the header that is not closed", table.CSV, "\"name,ok\nA,true\n", nil, "row 0: a quote opened in the header line is not closed"},
		{"the same of a long file", table.CSV, "name\"\n" + long + long, nil, "row 0: a quote opened in the header line is not closed"},
		{"a header that is too long", table.CSV, strings.Repeat("name,", 100_000) + "\n", nil, "row 0: the header line is too long"},
		{"fields that do not fit", table.CSV, "name,ok\nA\nB,true,x\nC,true\n", []string{"A||", "! row: has 3 fields, not 2", "C|true|"}, ""},
		{"100,000 fields", table.CSV, "name\n" + strings.Repeat(",", 50_000) + "x\nA\n", []string{"! row: has 50001 fields, not 1", "A||"}, ""},
		{"a stray quote", table.CSV, "name\nA\"B\nC\n", []string{"! row: csv", "C||"}, ""},
		{"a row that is too long", table.CSV, "name\nA\n" + long + "\nB\n", []string{"A||", "! row: too_long", "B||"}, ""},
		{"a row that is far too long", table.CSV, "name\nA\n" + strings.Repeat(long, 16) + "\nB\n", []string{"A||"}, "row 2: the row is too long"},
		{"a quote that is not closed", table.CSV, "name\nA\n\"" + strings.Repeat("B\n", table.MaxRow) + "\n", []string{"A||"}, "row 2: a quote opened in line 3 is not closed in the next 64 KiB"},
		{"NUL", table.CSV, "name\nA\x00\nB\n", []string{"! name: string.nul", "B||"}, ""},
		{"no UTF-8", table.CSV, "name\n\xff\nB\n", []string{"! name: string.utf8", "B||"}, ""},
		{"no flag", table.CSV, "ok\nmaybe\n", []string{"! ok: bool"}, ""},

		{"json", table.JSONLines, `{"name":"A","ok":true,"tags":["x","y"]}` + "\n\n" + `{"name":"B"}`, []string{"A|true|x,y", "B||"}, ""},
		{"as texts, null", table.JSONLines, `{"name":null,"ok":"false","tags":"x"}`, []string{"|false|x"}, ""},
		{"a byte order mark, CRLF", table.JSONLines, "\ufeff{\"name\":\"A\"}\r\n", []string{"A||"}, ""},
		{"a formula is none here", table.JSONLines, `{"name":"'=A"}`, []string{"'=A||"}, ""},
		{"an unknown member, by name", table.JSONLines, `{"name":"A","colour":"red"}` + "\n" + `{"name":"B"}`, []string{"! colour: unknown", "B||"}, ""},
		{"a member twice", table.JSONLines, `{"name":"A","name":"B"}`, []string{"! name: twice"}, ""},
		{
			"wrong types", table.JSONLines, `{"name":1,"ok":2,"tags":[1]}` + "\n" + `{"name":["A"]}` + "\n" + `{"name":{"a":1}}`,
			[]string{"! name: type, ok: type, tags: type", "! name: type", "! name: type"},
			"",
		},
		{"no JSON", table.JSONLines, "{\n[]\n1\n\"A\"\n{\"name\":\"A\"} x\n{\"name\":\"A\"}{}\n{\"name\":\"A\"", []string{
			"! row: json", "! row: json", "! row: json", "! row: json", "! row: json", "! row: json", "! row: json",
		}, ""},
		{"deep", table.JSONLines, `{"name":` + strings.Repeat("[", 30_000) + "\n" + `{"name":"B"}`, []string{"! row: json", "B||"}, ""},
		{"a line that is too long", table.JSONLines, `{"name":"` + strings.Repeat(long, 16) + "\"}\n" + `{"name":"B"}`, []string{"! row: too_long", "B||"}, ""},
		{"NUL in JSON", table.JSONLines, `{"name":"A\u0000"}` + "\n{\"name\":\"A\x00\"}", []string{"! name: string.nul", "! row: json"}, ""},
		{"no UTF-8 in JSON", table.JSONLines, "{\"name\":\"\xff\"}", []string{"! row: string.utf8"}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			for how, file := range map[string]io.Reader{
				"whole": strings.NewReader(row.file), "byte by byte": iotest.OneByteReader(strings.NewReader(row.file)),
			} {
				got, end := readAll(t, row.format, file)
				if diff := cmp.Diff(row.want, got); diff != "" {
					t.Errorf("%s: %s", how, diff)
				}
				if (end == nil) != (row.end == "") || (end != nil && end.Error() != row.end) {
					t.Errorf("%s: it ended with %v, want %q", how, end, row.end)
				}
			}
		})
	}
}

// A file without a column that it must have is no file of this kind, even if it has no rows.
func TestRead_Required(t *testing.T) {
	for file, want := range map[string]string{
		"ok\ntrue\n": `row 0: the column "name" is missing`, "ok\n": `row 0: the column "name" is missing`, "ok,name\n": "",
	} {
		_, err := table.NewReader(strings.NewReader(file), table.CSV, []table.Column{{Name: "name", Required: true}, {Name: "ok", Flag: true}})
		if got := fmt.Sprint(err); (err == nil) != (want == "") || (err != nil && got != want) {
			t.Errorf("%q: %v, want %q", file, err, want)
		}
	}
}

// What a file says of columns that are not there is shown safely.
func TestRead_SafeNames(t *testing.T) {
	_, end := readAll(t, table.CSV, strings.NewReader("\x1b[31m"+strings.Repeat("x", 500)+"\n"))
	if want := `row 0: there is no column "?[31m` + strings.Repeat("x", 35) + `"`; end == nil || end.Error() != want {
		t.Errorf("got %v", end)
	}
}

// An error of the source ends reading as it is, also in the middle of a row.
func TestRead_SourceFails(t *testing.T) {
	broken := errors.New("broken")
	for f, file := range map[table.Format]string{table.CSV: "name\nA\nB\"", table.JSONLines: "{\"name\":\"A\"}\n{\"na"} {
		rows, end := readAll(t, f, io.MultiReader(strings.NewReader(file), iotest.ErrReader(broken)))
		if !errors.Is(end, broken) || !cmp.Equal(rows, []string{"A||"}) {
			t.Errorf("%d: %v, %v", f, rows, end)
		}
	}
}

// IN-06: no cell begins as a formula does, and reading gives back what it was.
func TestWrite_IN06_Formulas(t *testing.T) {
	for _, text := range []string{"=1+1", "+1", "-1", "@SUM(A1)", "'=1", "''=1", "'a", "=cmd|' /C calc'!A0", "\t=1+1", "\r=1+1"} {
		var file bytes.Buffer
		w, err := table.NewWriter(&file, table.CSV, columns)
		if err == nil {
			err = w.Write([]table.Cell{{text}, nil, {text, "x"}})
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, cell := range strings.Split(strings.Split(file.String(), "\n")[1], ",") {
			if cell = strings.Trim(cell, `"`); cell != "" && strings.Contains("=+-@\t\r", cell[:1]) {
				t.Errorf("%q is written as %q", text, cell)
			}
		}
		text = strings.TrimSpace(text) // as any cell is read
		if got, end := readAll(t, table.CSV, &file); end != nil || !cmp.Equal(got, []string{text + "||" + text + ",x"}) {
			t.Errorf("%q comes back as %q, %v", text, got, end)
		}
	}
}

func TestWrite_JSONLines(t *testing.T) {
	var file bytes.Buffer
	w, err := table.NewWriter(&file, table.JSONLines, columns)
	for _, row := range [][]table.Cell{{{"<A> \"é\""}, {"true"}, {"x", "y"}}, {nil, nil, nil}} {
		err = errors.Join(err, w.Write(row))
	}
	want := "{\"name\":\"<A> \\\"é\\\"\",\"ok\":true,\"tags\":[\"x\",\"y\"]}\n{\"ok\":false,\"tags\":[]}\n"
	if err != nil || file.String() != want {
		t.Errorf("got %s, %v", file.String(), err)
	}
}

func fuzzRead(f *testing.F, format table.Format) {
	f.Fuzz(func(t *testing.T, file []byte) {
		rows, _ := readAll(t, format, bytes.NewReader(file))
		if len(rows) > bytes.Count(file, []byte("\n"))+bytes.Count(file, []byte("\r"))+1 {
			t.Errorf("%d rows", len(rows))
		}
	})
}

func FuzzRead_CSV(f *testing.F) {
	for _, file := range []string{"name,ok,tags\nA,true,x;y\n", "sep=;\nName;OK\nA;yes\n", "name\t\r \"A\" \t\r", "\ufeffname\r\n\"A\"\"\r\n", "name\n'=1\n\"", "tags\n;;\n"} {
		f.Add([]byte(file))
	}
	fuzzRead(f, table.CSV)
}

func FuzzRead_JSONLines(f *testing.F) {
	for _, file := range []string{`{"name":"A","ok":true,"tags":["x"]}`, "{}\n[]\nnull\n", `{"name":"\ud800"}`, `{"name":[[[[`} {
		f.Add([]byte(file))
	}
	fuzzRead(f, table.JSONLines)
}

// FuzzRoundTrip: what is written is read, in both formats.
func FuzzRoundTrip(f *testing.F) {
	f.Add("A", "x", true)
	f.Add("=1\r\n,\"", "''+", false)
	f.Fuzz(func(t *testing.T, name, tag string, ok bool) {
		if len(name)+len(tag) > table.MaxRow/8 || strings.ContainsAny(name+tag, "\x00\r") || !utf8.ValidString(name) || !utf8.ValidString(tag) {
			return // a carriage return before a line end is one in CSV
		}
		if name != strings.TrimSpace(name) || tag != strings.TrimSpace(tag) || tag == "" || strings.Contains(tag, table.Separator) {
			return
		}
		want := []string{fmt.Sprintf("%s|%t|%s", name, ok, tag)}
		for _, format := range []table.Format{table.CSV, table.JSONLines} {
			var file bytes.Buffer
			w, err := table.NewWriter(&file, format, columns)
			if err == nil {
				err = w.Write([]table.Cell{{name}, {fmt.Sprint(ok)}, {tag}})
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, end := readAll(t, format, &file); end != nil || !cmp.Equal(got, want) {
				t.Errorf("got %q, %v, want %q", got, end, want)
			}
		}
	})
}
