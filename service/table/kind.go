package table

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// ByteOrderMark begins files of UTF-8 that spreadsheets are to know as such.
const ByteOrderMark = "\xef\xbb\xbf"

// What to do with a file that is no text.
const (
	saveAsCSV = " Save it as CSV UTF-8 and import that."
	unpack    = " Unpack it and import the file in it."
	another   = " Import a CSV file or JSON lines."
)

// kinds are the files that people take for the right one, by how they begin. No
// more than kindBytes are needed, so that nobody waits for a file to go on.
var kinds = []struct{ begin, is string }{
	{"\xff\xfe\x00\x00", "This file is in UTF-32." + saveAsCSV},
	{"\x00\x00\xfe\xff", "This file is in UTF-32." + saveAsCSV},
	{"\xff\xfe", "This file is in UTF-16 (Unicode text)." + saveAsCSV},
	{"\xfe\xff", "This file is in UTF-16 (Unicode text)." + saveAsCSV},
	{"\xd0\xcf\x11\xe0", "This is an Excel workbook (.xls) or another document of old Office." + saveAsCSV},
	{"\x09\x08\x10\x00", "This is an old Excel workbook (.xls)." + saveAsCSV},
	{"{\\rt", "This is a text document (.rtf)." + saveAsCSV},
	{"%PDF", "This is a PDF." + another},
	{"SQLi", "This is an SQLite database." + another},
	{"PAR1", "This is a Parquet file." + another},
	{"\x89PNG", "This is a picture (.png)." + another},
	{"GIF8", "This is a picture (.gif)." + another},
	{"\xff\xd8\xff", "This is a picture (.jpg)." + another},
	{"\x7fELF", "This is a program." + another},
	{"\x1f\x8b", "This file is packed (gzip)." + unpack},
	{"BZh", "This file is packed (bzip2)." + unpack},
	{"\xfd7zX", "This file is packed (xz)." + unpack},
	{"\x28\xb5\x2f\xfd", "This file is packed (zstd)." + unpack},
	{"7z\xbc\xaf", "This file is packed (7-Zip)." + unpack},
	{"Rar!", "This file is packed (RAR)." + unpack},
	{"<!DO", "This is a web page (HTML)." + another},
	{"<!do", "This is a web page (HTML)." + another},
	{"<htm", "This is a web page (HTML)." + another},
	{"<HTM", "This is a web page (HTML)." + another},
	{"<?xm", "This is XML." + another},
	{"[", "This is one JSON document. Write an object a line (JSON lines) and import that."},
}

const kindBytes = 4

// zipped are the kinds of files that are ZIP archives, by the name of an entry
// or, where all is stored first, by what is in it.
var zipped = []struct{ entry, is string }{
	{"xl/workbook.bin", "This is an Excel workbook (.xlsb)." + saveAsCSV},
	{"xl/", "This is an Excel workbook (.xlsx)." + saveAsCSV},
	{"word/", "This is a Word document (.docx)." + another},
	{"opendocument.spreadsheet", "This is an OpenDocument spreadsheet (.ods)." + saveAsCSV},
	{"Index/", "This is a Numbers spreadsheet (.numbers)." + saveAsCSV},
	{"[Content_Types].xml", "This is an Excel workbook (.xlsx) or another document of Office." + saveAsCSV},
	{"", "This is a ZIP archive." + unpack},
}

// skipMark passes over a byte order mark.
func skipMark(in *bufio.Reader) error {
	mark, err := in.Peek(len(ByteOrderMark))
	if err == nil && string(mark) == ByteOrderMark {
		_, err = in.Discard(len(mark))
	}
	return notEOF(err)
}

// mustBeText refuses a file that is known to be of another kind.
func mustBeText(in *bufio.Reader, f Format) error {
	begin, err := in.Peek(kindBytes)
	if notEOF(err) != nil {
		return err
	}
	for _, kind := range kinds {
		if bytes.HasPrefix(begin, []byte(kind.begin)) {
			return &FileError{Line: 1, Text: kind.is}
		}
	}
	switch {
	case bytes.HasPrefix(begin, []byte("PK\x03\x04")):
		return kindOfZIP(in)
	case len(begin) == kindBytes && (begin[0] == 0) != (begin[1] == 0) && (begin[0] == 0) == (begin[2] == 0) && (begin[1] == 0) == (begin[3] == 0):
		return &FileError{Line: 1, Text: "This file is in UTF-16 (Unicode text)." + saveAsCSV}
	case f == CSV && bytes.HasPrefix(begin, []byte("{")):
		return &FileError{Line: 1, Text: "This is JSON, not CSV. Import it as JSON lines."}
	}
	return nil
}

// kindOfZIP looks at as much of an archive as the buffer holds.
func kindOfZIP(in *bufio.Reader) error {
	begin, err := in.Peek(bufferSize)
	if notEOF(err) != nil {
		return err
	}
	for _, kind := range zipped {
		if strings.Contains(string(begin), kind.entry) {
			return &FileError{Line: 1, Text: kind.is}
		}
	}
	return nil // never: an archive is one
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
