package table

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// separators are those that a file may have, the likeliest first.
const separators = ",;\t"

// noColumn is where a header line names none.
const noColumn = -1

// readHeader finds the separator and which column each field is of.
func (r *Reader) readHeader() error {
	line, err := r.headerLine()
	if err != nil {
		return err
	}
	if text, named := strings.CutPrefix(strings.ToLower(strings.Trim(line, `" `)), "sep="); named { // as Excel writes it
		if len(text) != 1 || !strings.Contains(separators, text) {
			return headerError("the separator %q is not taken: a comma, a semicolon or a tab is", Shown(text))
		}
		r.csv.separator = text[0]
		line, err = r.headerLine()
	} else {
		r.csv.separator = separatorOf(line)
	}
	if err != nil {
		return err
	}
	head := records{in: bufio.NewReader(strings.NewReader(line)), separator: r.csv.separator, line: 1}
	names, err := head.read()
	if err != nil {
		return headerError("the header line is no CSV")
	}
	return r.readNames(names)
}

func headerError(text string, args ...any) error {
	return &FileError{Line: 1, Text: fmt.Sprintf(text, args...)}
}

// headerLine reads the next line that is not blank. A line end between quotes
// does not end it.
func (r *Reader) headerLine() (string, error) {
	var line strings.Builder
	inQuotes := false
	for {
		b, err := r.csv.next()
		switch {
		case inQuotes && (errors.Is(err, io.EOF) || line.Len() >= MaxRow):
			return "", headerError("a quote opened in the header line is not closed")
		case errors.Is(err, io.EOF) && strings.TrimSpace(line.String()) == "":
			return "", headerError("the header line is missing")
		case err != nil && !errors.Is(err, io.EOF):
			return "", err
		case line.Len() >= MaxRow:
			return "", headerError("the header line is too long")
		case err != nil || (b == '\n' && !inQuotes):
			if strings.TrimSpace(line.String()) != "" {
				return line.String(), mustBeWords(line.String())
			}
			line.Reset()
			continue
		case b == '"':
			inQuotes = !inQuotes
		}
		line.WriteByte(b)
	}
}

// mustBeWords refuses a header line that is no text.
func mustBeWords(line string) error {
	if strings.ContainsRune(line, 0) {
		return headerError("This is no text file." + another)
	}
	if !utf8.ValidString(line) {
		return headerError("The header line is not in UTF-8." + saveAsCSV)
	}
	return nil
}

// separatorOf is the separator that a header line has most often outside quotes.
func separatorOf(line string) byte {
	best, most := separators[0], 0
	for _, separator := range []byte(separators) {
		n := 0
		for i, part := range strings.Split(line, `"`) {
			if i%2 == 0 {
				n += strings.Count(part, string(separator))
			}
		}
		if n > most {
			best, most = separator, n
		}
	}
	return best
}

// readNames finds the columns that a header line names. One without a name is
// taken, as spreadsheets leave it behind; its cells have to be empty.
func (r *Reader) readNames(names []string) error {
	for _, name := range names {
		name = strings.TrimSpace(name)
		i := r.find(name)
		switch {
		case name == "":
		case i == noColumn:
			return headerError("there is no column %q", Shown(name))
		case slices.Contains(r.at, i):
			return headerError("the column %q is there twice", Shown(name))
		}
		r.at = append(r.at, i)
	}
	for i, c := range r.columns {
		if c.Required && !slices.Contains(r.at, i) {
			return headerError("the column %q is missing", c.Name)
		}
	}
	return nil
}

// find returns where a column is, by its name or what people make of it:
// "First Name" is first_name.
func (r *Reader) find(name string) int {
	i, known := r.index[name]
	if !known {
		i, known = r.index[folded(name)]
	}
	if !known {
		return noColumn
	}
	return i
}

// folded is a name in lower case, without blanks, underscores and hyphens.
func folded(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || unicode.IsSpace(r) || unicode.Is(unicode.Pd, r) {
			return -1
		}
		return unicode.ToLower(r)
	}, name)
}
