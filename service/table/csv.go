package table

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// records cuts a file into the records of CSV. Beside RFC 4180 it takes what
// people's programs write: another separator, any line end, blanks around
// quotes. encoding/csv does not tell where a quote was opened, and goes on
// behind a broken one as if the lines in between had never been there.
type records struct {
	in        *bufio.Reader
	separator byte
	line      int64 // of the next byte, from 1
	cr        bool  // the byte before was a carriage return
	seen      bool  // the line has more than blanks and separators

	// Of the record that is read.
	first, last int64 // its lines
	filled      int64 // how many of them are not blank
	size        int   // in bytes
	text        []byte
	ends        []int // of its fields, in text
	opened      int64 // line in which a quote was opened
	spanning    int64 // line in which the first quote was opened that closed in a later one
}

// errQuote is about a record of one line, with a quote where none may be.
var errQuote = errors.New("a quote where none may be")

// state is where in a record reading is.
type state int

const (
	before  state = iota // a field, or in the blanks before it
	plain                // in a field without quotes
	quoted               // between quotes
	closing              // behind a quote that ends the field, or is half of one
	closed               // behind the quotes
	broken               // behind a quote where none may be
	done
)

// next is the next byte; a line end of any kind is one '\n'.
func (c *records) next() (byte, error) {
	b, err := c.in.ReadByte()
	if err == nil && b == '\n' && c.cr {
		b, err = c.in.ReadByte()
	}
	c.cr = err == nil && b == '\r'
	if err != nil {
		return 0, err
	}
	c.size++
	switch b {
	case '\r', '\n':
		c.line++
		c.count()
		return '\n', nil
	case ' ', '\t', c.separator:
	default:
		c.seen = true
	}
	return b, nil
}

// count counts the line that ends.
func (c *records) count() {
	if c.seen {
		c.filled++
	}
	c.seen = false
}

// read reads a record. With errQuote or a *FileError, which lacks the row, come
// the fields before the mistake. Of a record longer than MaxRow the rest is not
// kept.
func (c *records) read() ([]string, error) {
	c.first, c.filled, c.size, c.spanning = c.line, 0, 0, 0
	c.text, c.ends = c.text[:0], c.ends[:0]
	at := before
	for {
		c.last = c.line
		b, err := c.next()
		switch {
		case errors.Is(err, io.EOF) && at == quoted:
			return c.fields(), c.notClosed(c.opened)
		case errors.Is(err, io.EOF) && c.size == 0:
			return nil, io.EOF
		case errors.Is(err, io.EOF):
			b = '\n'
		case err != nil:
			return nil, err
		case c.size > MaxRow+bufferSize:
			return c.fields(), c.endless(at)
		}
		was := at
		switch at = c.step(at, b); {
		case at == broken && c.spanning > 0:
			return c.fields(), c.notClosed(c.spanning)
		case at == done && was == broken:
			return c.fields(), errQuote
		case at == done:
			return c.fields(), nil
		}
	}
}

// step takes a byte in, and returns where it leads.
func (c *records) step(at state, b byte) state {
	switch {
	case at == quoted && b == '"':
		if c.spanning == 0 && c.line > c.opened {
			c.spanning = c.opened
		}
		return closing
	case at == quoted:
		return c.keep(b, quoted)
	case at == closing && b == '"':
		return c.keep(b, quoted)
	case at == broken && b != '\n':
		return broken
	case b == '\n' && at == broken:
		return done
	case b == '\n':
		return c.endField(done)
	case b == c.separator:
		return c.endField(before)
	case (at == closing || at == closed) && isBlank(b):
		return closed
	case at == closing || at == closed:
		return broken
	case at == before && isBlank(b):
		return c.keep(b, before)
	case at == before && b == '"':
		c.text, c.opened = c.text[:c.begin()], c.line
		return quoted
	case b == '"':
		return broken
	}
	return c.keep(b, plain)
}

func isBlank(b byte) bool { return b == ' ' || b == '\t' }

// keep adds a byte to the field, as long as the record is not too long.
func (c *records) keep(b byte, then state) state {
	if c.size <= MaxRow {
		c.text = append(c.text, b)
	}
	return then
}

func (c *records) endField(then state) state {
	if c.size <= MaxRow {
		c.ends = append(c.ends, len(c.text))
	}
	return then
}

// begin is where in text the field begins that is read.
func (c *records) begin() int {
	if len(c.ends) == 0 {
		return 0
	}
	return c.ends[len(c.ends)-1]
}

// fields are those that were read to their end.
func (c *records) fields() []string {
	text := string(c.text)
	fields, begin := make([]string, len(c.ends)), 0
	for i, end := range c.ends {
		fields[i], begin = text[begin:end], end
	}
	return fields
}

func (c *records) notClosed(line int64) error {
	return &FileError{Line: c.first, Text: fmt.Sprintf("a quote opened in line %d is not closed", line)}
}

// endless refuses a record that does not end.
func (c *records) endless(at state) error {
	if at == quoted {
		return &FileError{Line: c.first, Text: fmt.Sprintf("a quote opened in line %d is not closed in the next %d KiB", c.opened, MaxRow>>10)}
	}
	return &FileError{Line: c.first, Text: "the row is too long"}
}

// unreadAtMost is how many bytes are looked through for rows that nobody reads.
const unreadAtMost = 64 << 20

// unread counts the lines that are not blank, from the first one of the record
// that could not be read.
func (c *records) unread() int64 {
	for range unreadAtMost {
		if _, err := c.next(); err != nil {
			break
		}
	}
	c.count()
	return c.filled
}
