package table

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"strings"
)

// Writer writes rows.
type Writer struct {
	out     io.Writer
	columns columns
	csv     *csv.Writer // nil: JSON lines
	record  []string
	names   [][]byte // of the columns, as JSON writes them
	line    bytes.Buffer
	json    *json.Encoder // into line
}

// NewWriter writes the header line where the format has one. Out should be
// buffered: it gets a row at a time.
func NewWriter(out io.Writer, f Format, cs []Column) (*Writer, error) {
	w := &Writer{out: out, columns: cs}
	if f == CSV {
		w.csv, w.record = csv.NewWriter(out), make([]string, len(cs))
		for i, c := range cs {
			w.record[i] = c.Name
		}
		return w, w.writeCSV()
	}
	w.json = json.NewEncoder(&w.line)
	w.json.SetEscapeHTML(false)
	for _, c := range cs {
		name, err := json.Marshal(c.Name)
		if err != nil {
			return nil, err
		}
		w.names = append(w.names, name)
	}
	return w, nil
}

func (w *Writer) writeCSV() error {
	if err := w.csv.Write(w.record); err != nil {
		return err
	}
	w.csv.Flush()
	return w.csv.Error()
}

// Write writes a row, which has a cell for each column.
func (w *Writer) Write(row []Cell) error {
	if w.csv == nil {
		return w.writeJSON(row)
	}
	for i, cell := range row {
		w.record[i] = guarded(strings.Join(cell, Separator))
	}
	return w.writeCSV()
}

// writeJSON writes an object with the columns in their order. Cells without
// text are left out, but for lists and flags.
func (w *Writer) writeJSON(row []Cell) error {
	w.line.Reset()
	w.line.WriteByte('{')
	for i, cell := range row {
		c := w.columns[i]
		var value any = cell.Text()
		switch {
		case c.List && cell == nil:
			value = []string{}
		case c.List:
			value = []string(cell)
		case c.Flag:
			value = cell.Text() == "true"
		case len(cell) == 0:
			continue
		}
		if w.line.Len() > 1 {
			w.line.WriteByte(',')
		}
		w.line.Write(w.names[i])
		w.line.WriteByte(':')
		if err := w.json.Encode(value); err != nil {
			return err
		}
		w.line.Truncate(w.line.Len() - 1) // the encoder ends what it writes with a line end
	}
	w.line.WriteString("}\n")
	_, err := w.out.Write(w.line.Bytes())
	return err
}
