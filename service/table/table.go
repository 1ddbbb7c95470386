// Package table reads and writes files of rows, as CSV (RFC 4180, with a
// header line) and as JSON lines. It knows nothing of what the columns mean.
// Files come from strangers: a row is bounded in bytes before it is parsed,
// and what is wrong with one row does not end the file.
package table

import (
	"fmt"
	"slices"
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
	// Name is compared as it is.
	Name string
	// List is set where a cell holds several texts: in CSV separated by
	// semicolons, in JSON a list.
	List bool
	// Flag is set where a cell is true or false.
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
// which reading stopped, 0 the header line.
type FileError struct {
	Row  int64
	Text string
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
		e.Violations = append(e.Violations, safe(column)+": "+rule)
	}
}

// safe is a name out of a file in a form that can be shown.
func safe(name string) string {
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

// columns are those that a file may have, with where each is in a row.
type columns []Column

func (cs columns) find(name string) int {
	return slices.IndexFunc(cs, func(c Column) bool { return c.Name == name })
}

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
		case cs[i].Flag && text != "true" && text != "false":
			if text = strings.ToLower(text); text != "true" && text != "false" { // as spreadsheets write them
				bad.add(cs[i].Name, "bool")
			}
		}
		cell = append(cell, text)
	}
	row[i] = cell
}
