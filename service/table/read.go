package table

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// bufferSize is what is read of a file at a time.
const bufferSize = MaxRow

// Reader reads rows.
type Reader struct {
	columns columns
	index   map[string]int // of columns, by their names and folded names
	row     int64
	in      *bufio.Reader // of JSON lines
	lines   int64         // JSON lines: how many were read
	csv     *records      // nil: JSON lines
	at      []int         // csv: which column each field of a record is of
}

// NewReader begins to read a file, which may have a byte order mark. Of CSV it
// reads the header line: columns in any order, each once, and none but the
// given ones. A *FileError says what is wrong with it, or what it is in place
// of text.
func NewReader(in io.Reader, f Format, cs []Column) (*Reader, error) {
	r := &Reader{columns: cs, index: map[string]int{}, in: bufio.NewReaderSize(in, bufferSize)}
	for i, c := range cs {
		r.index[c.Name], r.index[folded(c.Name)] = i, i
	}
	if err := skipMark(r.in); err != nil {
		return nil, err
	}
	if err := mustBeText(r.in, f); err != nil {
		return nil, err
	}
	if f == JSONLines {
		return r, nil
	}
	r.csv = &records{in: r.in, line: 1}
	return r, r.readHeader()
}

// Row is the number of the row that was read last, from 1; 0: none yet.
func (r *Reader) Row() int64 { return r.row }

// Lines are the first and the last line of the row that was read last.
func (r *Reader) Lines() (first, last int64) {
	if r.csv == nil {
		return r.lines, r.lines
	}
	return r.csv.first, r.csv.last
}

// Unread counts, after a *FileError about a row, the rows that are not read, as
// lines that are not blank: that row and what follows in the next 64 MiB.
func (r *Reader) Unread() int64 { return r.csv.unread() }

// Read returns the next row, with a cell for each column, or io.EOF. A
// *RowError is about that row alone, and what can be read of it comes with it;
// after any other error nothing more can be read.
func (r *Reader) Read() ([]Cell, error) {
	row := make([]Cell, len(r.columns))
	if r.csv != nil {
		return row, r.readCSV(row)
	}
	return row, r.readJSON(row)
}

// readCSV reads a record. Those without any text are passed over like blank
// lines: spreadsheets leave them behind.
func (r *Reader) readCSV(row []Cell) error {
	for {
		record, err := r.csv.read()
		var file *FileError
		if errors.As(err, &file) {
			r.row++
			file.Row = r.row
			return err
		}
		if err != nil && !errors.Is(err, errQuote) {
			return err
		}
		tooLong := r.csv.size > MaxRow
		if err == nil && !tooLong && filled(record) == 0 {
			continue
		}
		r.row++
		bad := &RowError{}
		switch surplus := r.surplus(record); {
		case tooLong:
			bad.add("row", "too_long")
		case err != nil:
			bad.add("row", "csv")
		case surplus != "":
			bad.add("row", surplus)
		default:
			r.put(row, record, bad)
			return bad.orNil()
		}
		r.put(row, record, &RowError{}) // what can be read tells whose row it is
		return bad
	}
}

// filled is how many fields a record has up to the last that is not blank.
func filled(record []string) int {
	n := len(record)
	for n > 0 && strings.TrimSpace(record[n-1]) == "" {
		n--
	}
	return n
}

// surplus says which fields are of no column. Fields that are missing at the end
// are empty ones: spreadsheets leave those out.
func (r *Reader) surplus(record []string) string {
	if n := filled(record); n > len(r.at) {
		return fmt.Sprintf("has %d fields, not %d", n, len(r.at))
	}
	for field, i := range r.at[:min(len(r.at), len(record))] {
		if i == noColumn && strings.TrimSpace(record[field]) != "" {
			return fmt.Sprintf("field %d has no column", field+1)
		}
	}
	return ""
}

// put sets the cells of a row out of a record.
func (r *Reader) put(row []Cell, record []string, bad *RowError) {
	for field, i := range r.at[:min(len(r.at), len(record))] {
		text := unguarded(record[field])
		switch {
		case i == noColumn:
		case r.columns[i].List:
			r.columns.put(row, i, bad, strings.Split(text, Separator)...)
		default:
			r.columns.put(row, i, bad, text)
		}
	}
}

func (e *RowError) orNil() error {
	if len(e.Violations) == 0 {
		return nil
	}
	return e
}
