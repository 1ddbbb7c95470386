package notify

import (
	"bytes"
	"embed"
	"fmt"
	html "html/template"
	"strings"
	text "text/template"
	"unicode"
)

//go:embed templates
var files embed.FS

// texts has a template for each kind of message: the subject of a mail, an
// empty line, and its paragraphs; of an SMS the text alone.
var texts = text.Must(text.New("").Option("missingkey=error").ParseFS(files, "templates/*.txt"))

// page is what all HTML parts look like: made of the same paragraphs, escaped.
var page = html.Must(html.ParseFS(files, "templates/page.html"))

// Known tells whether there is a template for a kind, such as "mail.activation".
func Known(kind string) bool { return texts.Lookup(kind+".txt") != nil }

// Write makes a message of its kind. The value "link" is shown as a button.
// Values come from people: they become text, on one line, and nothing else.
func Write(id, kind, to string, values map[string]string) (Message, error) {
	m := Message{ID: id, To: to}
	t := texts.Lookup(kind + ".txt")
	if t == nil {
		return m, fmt.Errorf("there is no message %q", kind)
	}
	clean := make(map[string]string, len(values))
	for name, value := range values {
		clean[name] = oneLine(value)
	}
	var b strings.Builder
	if err := t.Execute(&b, clean); err != nil {
		return m, fmt.Errorf("write a message: %w", err)
	}
	m.Text = strings.TrimSpace(b.String())
	if !strings.HasPrefix(kind, "mail.") {
		return m, nil
	}
	m.Subject, m.Text, _ = strings.Cut(m.Text, "\n\n")
	m.Text += "\n"
	var h bytes.Buffer
	err := page.Execute(&h, map[string]any{
		"Subject": m.Subject, "Paragraphs": strings.Split(strings.TrimSpace(m.Text), "\n\n"), "Link": clean["link"],
	})
	m.HTML = h.String()
	return m, err
}

// oneLine takes out of a value what ends a line or changes how the rest reads.
func oneLine(value string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r) || unicode.IsControl(r):
			return ' '
		case unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, value)
}
