package table

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// bufferSize is what is read of a file at a time.
const bufferSize = MaxRow

// ByteOrderMark begins files of UTF-8 that spreadsheets are to know as such.
const ByteOrderMark = "\xef\xbb\xbf"

// Reader reads rows.
type Reader struct {
	columns columns
	row     int64
	in      *bufio.Reader // of JSON lines
	csv     *csv.Reader   // nil: JSON lines
	limit   *limited      // of csv
	at      []int         // csv: which column each field of a record is of
}

// NewReader begins to read a file, which may have a byte order mark. Of CSV it
// reads the header line: columns in any order, each once, and none but the
// given ones. A *FileError says what is wrong with it.
func NewReader(in io.Reader, f Format, cs []Column) (*Reader, error) {
	buffered := bufio.NewReaderSize(in, bufferSize)
	if mark, err := buffered.Peek(len(ByteOrderMark)); err == nil && string(mark) == ByteOrderMark {
		_, _ = buffered.Discard(len(mark)) // they are in the buffer
	} else if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	r := &Reader{columns: cs, in: buffered}
	if f == JSONLines {
		return r, nil
	}
	r.limit = &limited{in: buffered, left: MaxRow + bufferSize}
	r.csv = csv.NewReader(r.limit)
	r.csv.FieldsPerRecord, r.csv.ReuseRecord = -1, true
	return r, r.readHeader()
}

// Row is the number of the row that was read last, from 1; 0: none yet.
func (r *Reader) Row() int64 { return r.row }

// Read returns the next row, with a cell for each column, or io.EOF. A
// *RowError is about that row alone; after any other error nothing more can
// be read.
func (r *Reader) Read() ([]Cell, error) {
	row := make([]Cell, len(r.columns))
	if r.csv != nil {
		return row, r.readCSV(row)
	}
	return row, r.readJSON(row)
}

func (r *Reader) readHeader() error {
	names, err := r.csv.Read()
	switch {
	case r.limit.err != nil && !errors.Is(r.limit.err, errTooLong):
		return r.limit.err
	case errors.Is(err, io.EOF):
		return &FileError{Text: "the header line is missing"}
	case r.limit.err != nil || r.csv.InputOffset() > MaxRow:
		return &FileError{Text: "the header line is too long"}
	case err != nil:
		return &FileError{Text: "the header line is no CSV"}
	}
	for _, name := range names {
		i := r.columns.find(strings.TrimSpace(name))
		switch {
		case i < 0:
			return &FileError{Text: fmt.Sprintf("there is no column %q", safe(name))}
		case slices.Contains(r.at, i):
			return &FileError{Text: fmt.Sprintf("the column %q is there twice", safe(name))}
		}
		r.at = append(r.at, i)
	}
	for i, c := range r.columns {
		if c.Required && !slices.Contains(r.at, i) {
			return &FileError{Text: fmt.Sprintf("the column %q is missing", c.Name)}
		}
	}
	return nil
}

// readCSV reads a record. One that is too long to be looked at cannot be
// passed over: only parsing tells where it ends.
func (r *Reader) readCSV(row []Cell) error {
	begin := r.csv.InputOffset()
	r.limit.left = begin + MaxRow + bufferSize - r.limit.read
	record, err := r.csv.Read()
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	r.row++
	bad := &RowError{}
	switch {
	case r.limit.err != nil && !errors.Is(r.limit.err, errTooLong):
		return r.limit.err // before what the parser says of half a row
	case r.limit.err != nil:
		return &FileError{Row: r.row, Text: "the row is too long, or a quote is not closed"}
	case err != nil:
		bad.add("row", "csv")
		return bad
	case r.csv.InputOffset()-begin > MaxRow:
		bad.add("row", "too_long")
		return bad
	case len(record) != len(r.at):
		bad.add("row", fmt.Sprintf("has %d fields, not %d", len(record), len(r.at)))
		return bad
	}
	for field, i := range r.at {
		text := unguarded(record[field])
		if r.columns[i].List {
			r.columns.put(row, i, bad, strings.Split(text, Separator)...)
		} else {
			r.columns.put(row, i, bad, text)
		}
	}
	return bad.orNil()
}

func (e *RowError) orNil() error {
	if len(e.Violations) == 0 {
		return nil
	}
	return e
}

var errTooLong = errors.New("too long")

// limited hands out only so much before it is told that a row ended. It fails
// once and for all, and keeps why.
type limited struct {
	in         io.Reader
	read, left int64
	err        error // but io.EOF
}

func (l *limited) Read(p []byte) (n int, err error) {
	if l.err == nil && l.left <= 0 {
		l.err = errTooLong
	}
	if l.err != nil {
		return 0, l.err
	}
	n, err = l.in.Read(p[:min(int64(len(p)), l.left)])
	l.read, l.left = l.read+int64(n), l.left-int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		l.err = err
	}
	return n, err
}

// readJSON reads a line that is not blank.
func (r *Reader) readJSON(row []Cell) error {
	for {
		line, err := r.line()
		if err != nil {
			return err
		}
		if line != nil && len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		r.row++
		bad := &RowError{}
		switch {
		case line == nil:
			bad.add("row", "too_long")
		case !utf8.Valid(line):
			bad.add("row", "string.utf8")
		default:
			r.parse(line, row, bad)
		}
		return bad.orNil()
	}
}

// line is the next line; nil is one that is too long, which was passed over.
func (r *Reader) line() ([]byte, error) {
	line, err := r.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = r.in.ReadSlice('\n')
		}
		line = nil
	}
	switch {
	case errors.Is(err, io.EOF) && len(line) == 0:
		return nil, io.EOF
	case err != nil && !errors.Is(err, io.EOF):
		return nil, err
	}
	return line, nil
}

// parse reads an object with a member for each column that is there. It goes
// through the members itself: decoding into a map would keep the last of two
// with the same name.
func (r *Reader) parse(line []byte, row []Cell, bad *RowError) {
	d := json.NewDecoder(bytes.NewReader(line))
	if begin, err := d.Token(); err != nil || begin != json.Delim('{') || !json.Valid(line) {
		bad.add("row", "json")
		return
	}
	seen := make([]bool, len(row))
	for d.More() {
		key, err := d.Token()
		var value json.RawMessage
		if err = errors.Join(err, d.Decode(&value)); err != nil {
			bad.add("row", "json")
			return
		}
		name, _ := key.(string)
		i := r.columns.find(name)
		switch {
		case i < 0:
			bad.add(name, "unknown")
		case seen[i]:
			bad.add(name, "twice")
		default:
			seen[i] = true
			r.putJSON(row, i, value, bad)
		}
	}
}

// putJSON sets a cell out of a value: a text, true, false, null or a list of texts.
func (r *Reader) putJSON(row []Cell, i int, value json.RawMessage, bad *RowError) {
	c := r.columns[i]
	var text string
	var list []string
	var flag bool
	switch {
	case string(value) == "null":
	case json.Unmarshal(value, &text) == nil:
		r.columns.put(row, i, bad, text)
	case c.Flag && json.Unmarshal(value, &flag) == nil:
		row[i] = Cell{fmt.Sprint(flag)}
	case c.List && json.Unmarshal(value, &list) == nil:
		r.columns.put(row, i, bad, list...)
	default:
		bad.add(c.Name, "type")
	}
}
