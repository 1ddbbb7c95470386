package table

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

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
	r.lines++
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
// with the same name. Of a line that is no JSON it reads what it can, so that
// the row can be told by its address.
func (r *Reader) parse(line []byte, row []Cell, bad *RowError) {
	found := &RowError{}
	r.parseMembers(json.NewDecoder(bytes.NewReader(line)), row, found)
	if begin := bytes.TrimSpace(line); begin[0] != '{' || !json.Valid(line) {
		bad.add("row", "json")
		return
	}
	bad.Violations = found.Violations
}

func (r *Reader) parseMembers(d *json.Decoder, row []Cell, bad *RowError) {
	if begin, err := d.Token(); err != nil || begin != json.Delim('{') {
		return
	}
	seen := make([]bool, len(row))
	for d.More() {
		key, err := d.Token()
		var value json.RawMessage
		if err = errors.Join(err, d.Decode(&value)); err != nil {
			return
		}
		name, _ := key.(string)
		i := r.find(name)
		switch {
		case i == noColumn:
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
