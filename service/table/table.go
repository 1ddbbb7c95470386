// Package table reads and writes files of rows, as CSV (RFC 4180, with a
// header line) and as JSON lines. It knows nothing of what the columns mean. It
// reads what people's programs make of the two, and names files of other kinds.
// Files come from strangers: a row is bounded in bytes before it is parsed,
// and what is wrong with one row does not end the file.
package table

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxRow is the most bytes that a row may have, header line included.
const MaxRow = 64 << 10

// Format is how a file is written.
type Format int

// The formats.
const (
	CSV Format = iota
	JSONLines
)

// Column is one that a file may have.
type Column struct {
	// Name is what an export calls it. Reading takes it in any case, with or
	// without underscores, hyphens and blanks.
	Name string
	// List is set where a cell holds several texts: in CSV separated by
	// semicolons, in JSON a list.
	List bool
	// Flag is set where a cell is true or false; reading takes yes, no, 1 and 0
	// too.
	Flag bool
	// Required is set where a header line must name it.
	Required bool
}

// Cell is a value of a row. Of a column that is not a list it has at most one text.
type Cell []string

// Text is the text of a cell, "" where there is none.
func (c Cell) Text() string {
	if len(c) == 0 {
		return ""
	}
	return c[0]
}

// Separator stands between the texts of a list in CSV.
const Separator = ";"

// FileError says that a file cannot be read any further. Row is the one at
// which reading stopped, 0 the header line; Line is where that begins.
type FileError struct {
	Row, Line int64
	Text      string
}

func (e *FileError) Error() string { return fmt.Sprintf("row %d: %s", e.Row, e.Text) }

// RowError says what is wrong with one row, as "column: rule". Reading goes on
// behind it.
type RowError struct{ Violations []string }

func (e *RowError) Error() string { return strings.Join(e.Violations, ", ") }

// violationsAtMost bounds what is said about one row.
const violationsAtMost = 20

func (e *RowError) add(column, rule string) {
	if len(e.Violations) < violationsAtMost {
		e.Violations = append(e.Violations, Shown(column)+": "+rule)
	}
}

// Shown is a text out of a file in a form that can be shown.
func Shown(name string) string {
	const most = 40
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return '?'
		}
		return r
	}, name)
	if runes := []rune(name); len(runes) > most {
		name = string(runes[:most])
	}
	return name
}

// flags are the words for true and false, in lower case.
var flags = map[string]string{"true": "true", "yes": "true", "1": "true", "false": "false", "no": "false", "0": "false"}

// columns are those that a file may have, with where each is in a row.
type columns []Column

// put sets a cell of a row out of texts, and notes what is wrong with them.
func (cs columns) put(row []Cell, i int, bad *RowError, texts ...string) {
	var cell Cell
	for _, text := range texts {
		switch text = strings.TrimSpace(text); {
		case text == "":
			continue
		case strings.ContainsRune(text, 0):
			bad.add(cs[i].Name, "string.nul")
		case !utf8.ValidString(text):
			bad.add(cs[i].Name, "string.utf8")
		case cs[i].Flag:
			flag, known := flags[strings.ToLower(text)]
			if !known {
				bad.add(cs[i].Name, "bool")
			}
			text = flag
		}
		cell = append(cell, text)
	}
	row[i] = cell
}
