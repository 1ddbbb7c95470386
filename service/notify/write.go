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

// Check tells whether a message of a kind can be made of the values.
func Check(kind string, values map[string]string) error {
	_, err := paragraphs(kind, values)
	return err
}

// Write makes a message of its kind. The value "link" is shown as a button.
// Values come from people: they become text, on one line, and nothing else.
func Write(id, kind, to string, values map[string]string) (Message, error) {
	m := Message{ID: id, To: to}
	var err error
	if m.Text, err = paragraphs(kind, values); err != nil || !strings.HasPrefix(kind, "mail.") {
		return m, err
	}
	m.Subject, m.Text, _ = strings.Cut(m.Text, "\n\n")
	m.Text += "\n"
	var h bytes.Buffer
	err = page.Execute(&h, map[string]any{
		"Subject": m.Subject, "Paragraphs": strings.Split(strings.TrimSpace(m.Text), "\n\n"), "Link": oneLine(values["link"]),
	})
	m.HTML = h.String()
	return m, err
}

// paragraphs is the text of a message, of a mail with the subject on top.
func paragraphs(kind string, values map[string]string) (string, error) {
	t := texts.Lookup(kind + ".txt")
	if t == nil {
		return "", fmt.Errorf("there is no message %q", kind)
	}
	clean := make(map[string]string, len(values))
	for name, value := range values {
		clean[name] = oneLine(value)
		if name == "name" || name == "organization" {
			clean[name] = plainName(clean[name])
		}
	}
	var b strings.Builder
	if err := t.Execute(&b, clean); err != nil {
		return "", fmt.Errorf("write a message: %w", err)
	}
	return strings.TrimSpace(b.String()), nil
}

// nameAtMost is how much of a name a message shows.
const nameAtMost = 64

// plainName leaves of a name what names are made of, so that nothing in it
// looks or works like an address: no mail program makes a link of it.
func plainName(name string) string {
	runes := []rune(name)
	for i, r := range runes {
		dot := r == '.' && (i+1 == len(runes) || runes[i+1] == ' ')
		if !dot && !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-'’,&()+!", r) {
			runes[i] = ' '
		}
	}
	runes = []rune(strings.Join(strings.Fields(string(runes)), " "))
	if len(runes) > nameAtMost {
		return string(runes[:nameAtMost-1]) + "…"
	}
	return string(runes)
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
