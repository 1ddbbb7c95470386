package table_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"github.com/bizmetry/identity/service/table"
)

// foundColumns have names of two words.
var foundColumns = []table.Column{{Name: "email", Required: true}, {Name: "first_name"}, {Name: "ok", Flag: true}, {Name: "tags", List: true}}

// found reads a file of CSV: a row as "line email|first_name|ok|tags", lines as
// "3-5" where there are several; what is wrong with one comes before its cells.
func found(t testing.TB, file string) (rows []string, r *table.Reader, end error) {
	t.Helper()
	r, err := table.NewReader(iotest.HalfReader(strings.NewReader(file)), table.CSV, foundColumns)
	for err == nil {
		var row []table.Cell
		var bad *table.RowError
		row, err = r.Read()
		if err != nil && !errors.As(err, &bad) {
			break
		}
		first, last := r.Lines()
		text := fmt.Sprint(first)
		if last != first {
			text += fmt.Sprintf("-%d", last)
		}
		if bad != nil {
			text, err = text+" ! "+bad.Error(), nil
		}
		rows = append(rows, fmt.Sprintf("%s %s|%s|%s|%s", text, row[0].Text(), row[1].Text(), row[2].Text(), strings.Join(row[3], ",")))
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return rows, r, err
}

// Files as people have them.
func TestRead_AsFound(t *testing.T) {
	for _, row := range []struct {
		name, file string
		want       []string
	}{
		{"cells left out at the end", "email,first_name,ok,tags\na,A\nb\nc,C,true,x\n", []string{"2 a|A||", "3 b|||", "4 c|C|true|x"}},
		{"a comma at the end", "email,first_name,\na,A,\nb,B\n", []string{"2 a|A||", "3 b|B||"}},
		{"commas at the end of some rows", "email,first_name\na,A,,,\nb,B\n", []string{"2 a|A||", "3 b|B||"}},
		{"a column without a name, in between", "email,,first_name\na,,A\nb, ,B\nc,x,C\n", []string{"2 a|A||", "3 b|B||", "4 ! row: field 2 has no column c|C||"}},
		{"rows without any text", "email,first_name\na,A\n,\n\"\", \n \nb,B\n,\n", []string{"2 a|A||", "6 b|B||"}},

		{"names as people write them", "E-Mail,First Name,OK,Tags\na,A,1,x\n", []string{"2 a|A|true|x"}},
		{"names in capitals, with hyphens", "EMAIL,FIRST-NAME\na,A\n", []string{"2 a|A||"}},
		{"names without a blank, with odd ones", "eMail,\u00a0first\u00a0name \na,A\n", []string{"2 a|A||"}},
		{"names on two lines", "email,\"First\nName\"\na,A\n", []string{"3 a|A||"}},
		{"blank lines before the header", "\n \nemail\na\n", []string{"4 a|||"}},

		{"blanks before quotes", "email, \"first_name\"\na, \"A, B\"\n", []string{"2 a|A, B||"}},
		{"blanks behind quotes", "email,first_name\n\"a\" ,\"A\" \nb,\"B\"\t\n", []string{"2 a|A||", "3 b|B||"}},
		{"blanks around quotes that are doubled", "email,first_name\na, \"\"\"A\"\"\" \n", []string{"2 a|\"A\"||"}},

		{"yes and no", "email,ok\na,yes\nb,No\nc,YES\nd,0\ne,1\nf,True\ng,FALSE\nh,\n", []string{"2 a||true|", "3 b||false|", "4 c||true|", "5 d||false|", "6 e||true|", "7 f||true|", "8 g||false|", "9 h|||"}},
		{"neither", "email,ok\na,2\nb,on\nc,yes!\n", []string{"2 ! ok: bool a|||", "3 ! ok: bool b|||", "4 ! ok: bool c|||"}},

		{"semicolons", "email;first_name;tags\na;A;\"x;y\"\nb;\"B;C\"\n", []string{"2 a|A||x,y", "3 b|B;C||"}},
		{"tabs", "email\tfirst_name\ttags\na\tA\tx;y\nb\t\tx\n", []string{"2 a|A||x,y", "3 b|||x"}},
		{"sep=;", "sep=;\nemail;tags\na;\"x;y\"\n", []string{"3 a|||x,y"}},
		{"SEP=tab, CRLF and a mark", "\ufeffSEP=\t\r\nemail\ttags\r\na\tx\r\n", []string{"3 a|||x"}},
		{"sep=, of one column", "sep=,\nemail\na;b\n", []string{"3 a;b|||"}},
		{"one column", "email\na\n", []string{"2 a|||"}},
		{"semicolons, and commas in values", "email;first_name\na;A,B\n", []string{"2 a|A,B||"}},

		{"line ends of an old Mac", "email,first_name\ra,A\r\rb,B", []string{"2 a|A||", "4 b|B||"}},
		{"a line end in a cell", "email,first_name\r\na,\"A\r\nB\"\r\nb,B\r\n", []string{"2-3 a|A\nB||", "4 b|B||"}},
		{"a quote in a cell", "email,first_name\na,A\"B\nb,\"B\"C,\nc,C\n", []string{"2 ! row: csv a|||", "3 ! row: csv b|||", "4 c|C||"}},
		{"too many cells", "email,first_name\na,A,x\nb,B\n", []string{"2 ! row: has 3 fields, not 2 a|A||", "3 b|B||"}},
		{"a long row", "email,first_name\na," + strings.Repeat("x", table.MaxRow) + "\nb\n", []string{"2 ! row: too_long a|||", "3 b|||"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, _, end := found(t, row.file)
			if diff := cmp.Diff(row.want, got); diff != "" || end != nil {
				t.Errorf("%v: %s", end, diff)
			}
		})
	}
}

// A quote that is not closed takes the rows behind it along: that is told, with
// its line and how many they are.
func TestRead_QuoteNotClosed(t *testing.T) {
	var many strings.Builder
	for i := range 496 {
		fmt.Fprintf(&many, "m%d,M\n", i)
	}
	for _, row := range []struct {
		name, file string
		rows       int
		end        string
		line       int64
		unread     int64
	}{
		{"to the end of the file", "email,first_name\na,A\nq,\"A\nb,B\n" + many.String(), 1, "row 2: a quote opened in line 3 is not closed", 3, 498},
		{"to a quote of another row", "email,first_name\na,A\nq,\"A\nb,B\n\nc,\"C\"\n" + many.String(), 1, "row 2: a quote opened in line 3 is not closed", 3, 499},
		{"behind a row that a quote made of two", "email,first_name\na,A\nq,\"A\nb,B\",\"C\"x\nc,C\n", 1, "row 2: a quote opened in line 3 is not closed", 3, 3},
		{"in the last line", "email,first_name\na,A\nq,\"A", 1, "row 2: a quote opened in line 3 is not closed", 3, 1},
		{"in the second line of a row", "email,first_name,tags\na,\"A\nB\",\"x\nb,B\n", 0, "row 1: a quote opened in line 3 is not closed", 2, 3},
		{"of a long file", "email,first_name\nq,\"" + strings.Repeat("a,A\n", 100_000), 0, "row 1: a quote opened in line 2 is not closed in the next 64 KiB", 2, 100_000},
	} {
		t.Run(row.name, func(t *testing.T) {
			rows, r, end := found(t, row.file)
			var file *table.FileError
			if !errors.As(end, &file) || file.Error() != row.end || file.Line != row.line || len(rows) != row.rows {
				t.Errorf("%d rows, %v", len(rows), end)
			}
			if n := r.Unread(); n != row.unread {
				t.Errorf("%d rows are not read, want %d", n, row.unread)
			}
		})
	}
}

// zipOf is an archive with files of these names.
func zipOf(t *testing.T, names ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range names {
		f, err := w.Create(name)
		if err == nil {
			_, err = io.WriteString(f, strings.Repeat(name, 100))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// wide is a text in UTF-16.
func wide(order binary.AppendByteOrder, text string) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		b = order.AppendUint16(b, unit)
	}
	return string(b)
}

// What is no text is named, with what to do.
func TestRead_OtherKinds(t *testing.T) {
	header := "email,first_name\na,A\n"
	for _, row := range []struct{ name, file, want string }{
		{"xlsx", zipOf(t, "[Content_Types].xml", "_rels/.rels", "xl/workbook.xml"), "This is an Excel workbook (.xlsx). Save it as CSV UTF-8 and import that."},
		{"xlsx in another order", zipOf(t, "xl/worksheets/sheet1.xml", "[Content_Types].xml"), "This is an Excel workbook (.xlsx). Save it as CSV UTF-8 and import that."},
		{"xlsb", zipOf(t, "[Content_Types].xml", "xl/workbook.bin"), "This is an Excel workbook (.xlsb). Save it as CSV UTF-8 and import that."},
		{"ods", "PK\x03\x04" + strings.Repeat("\x00", 26) + "mimetypeapplication/vnd.oasis.opendocument.spreadsheet", "This is an OpenDocument spreadsheet (.ods). Save it as CSV UTF-8 and import that."},
		{"docx", zipOf(t, "[Content_Types].xml", "word/document.xml"), "This is a Word document (.docx). Import a CSV file or JSON lines."},
		{"zip", zipOf(t, "people.csv"), "This is a ZIP archive. Unpack it and import the file in it."},
		{"xls", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "This is an Excel workbook (.xls) or another document of old Office. Save it as CSV UTF-8 and import that."},
		{"gzip", "\x1f\x8b\x08\x00", "This file is packed (gzip). Unpack it and import the file in it."},
		{"zstd", "\x28\xb5\x2f\xfd\x04", "This file is packed (zstd). Unpack it and import the file in it."},
		{"pdf", "%PDF-1.7\n", "This is a PDF. Import a CSV file or JSON lines."},
		{"sqlite", "SQLite format 3\x00", "This is an SQLite database. Import a CSV file or JSON lines."},
		{"UTF-16, little end first", "\xff\xfe" + wide(binary.LittleEndian, header), "This file is in UTF-16 (Unicode text). Save it as CSV UTF-8 and import that."},
		{"UTF-16, big end first", "\xfe\xff" + wide(binary.BigEndian, header), "This file is in UTF-16 (Unicode text). Save it as CSV UTF-8 and import that."},
		{"UTF-16 without a mark", wide(binary.LittleEndian, header), "This file is in UTF-16 (Unicode text). Save it as CSV UTF-8 and import that."},
		{"UTF-16 without a mark, big end first", wide(binary.BigEndian, header), "This file is in UTF-16 (Unicode text). Save it as CSV UTF-8 and import that."},
		{"UTF-32", "\xff\xfe\x00\x00e\x00\x00\x00", "This file is in UTF-32. Save it as CSV UTF-8 and import that."},
		{"Windows-1252", "email,pr\xe9nom\n", "The header line is not in UTF-8. Save it as CSV UTF-8 and import that."},
		{"bytes", "\x01\x02\x00\x03\x04\x05\n", "This is no text file. Import a CSV file or JSON lines."},
		{"a page", "<!DOCTYPE html>\n", "This is a web page (HTML). Import a CSV file or JSON lines."},
		{"JSON", `{"email":"a"}`, "This is JSON, not CSV. Import it as JSON lines."},
		{"a list of JSON", `[{"email":"a"}]`, "This is one JSON document. Write an object a line (JSON lines) and import that."},
		{"another separator", "sep=|\nemail|ok\n", `the separator "|" is not taken: a comma, a semicolon or a tab is`},
		{"a name twice, written differently", "email,First Name,first_name\n", `the column "first_name" is there twice`},
		{"a name that is only marks", "email,--\n", `there is no column "--"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			rows, _, end := found(t, row.file)
			if end == nil || end.Error() != "row 0: "+row.want || rows != nil {
				t.Errorf("%v, %v", rows, end)
			}
		})
	}
	for file, want := range map[string]string{
		zipOf(t, "xl/workbook.xml"):                "This is an Excel workbook (.xlsx). Save it as CSV UTF-8 and import that.",
		wide(binary.LittleEndian, `{"email":"a"}`): "This file is in UTF-16 (Unicode text). Save it as CSV UTF-8 and import that.",
		`[{"email":"a"}]`:                          "This is one JSON document. Write an object a line (JSON lines) and import that.",
	} {
		if _, err := table.NewReader(strings.NewReader(file), table.JSONLines, foundColumns); err == nil || err.Error() != "row 0: "+want {
			t.Errorf("JSON lines: %v", err)
		}
	}
}

// A row of JSON lines that cannot be read is told by what of it can be.
func TestRead_PartsOfJSON(t *testing.T) {
	r, err := table.NewReader(strings.NewReader("\n{\"email\":\"a\"\n\n{\"E-mail\":\"b\",\"firstName\":\"B\"}\n"), table.JSONLines, foundColumns)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2 a| row: json", "4 b|B <nil>"} {
		row, err := r.Read()
		line, _ := r.Lines()
		if got := fmt.Sprintf("%d %s|%s %v", line, row[0].Text(), row[1].Text(), err); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
