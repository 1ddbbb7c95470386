package servicetest

import (
	"fmt"
	"io"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/bizmetry/identity/service"
	"github.com/bizmetry/identity/service/notify"
)

// Letter is a mail or SMS as it went out.
type Letter struct{ ID, To, Subject, Text string }

// mailbox is the folder that a world's messages go into, as with file:FOLDER.
type mailbox struct {
	folder string
	mu     sync.Mutex
	read   map[string]bool
}

// newMailbox has the messages of a service written into a folder.
func newMailbox(t testing.TB, cfg *service.Config) *mailbox {
	m := &mailbox{folder: t.TempDir(), read: map[string]bool{}}
	var err error
	cfg.Mail, err = notify.Mail("file:"+m.folder, "noreply@identity.test")
	check(t, err)
	cfg.SMS, err = notify.SMS("file:" + m.folder)
	check(t, err)
	return m
}

// Letters are all messages to an address or number so far, in no order.
func (w *World) Letters(to string) (found []Letter) {
	w.T.Helper()
	names, err := filepath.Glob(filepath.Join(w.mailbox.folder, "*.txt"))
	check(w.T, err)
	for _, name := range names {
		file, err := os.Open(name)
		check(w.T, err)
		m, err := mail.ReadMessage(file)
		check(w.T, err)
		text, err := io.ReadAll(m.Body)
		check(w.T, err)
		check(w.T, file.Close())
		if m.Header.Get("To") == to {
			id := strings.TrimSuffix(filepath.Base(name), ".txt")
			found = append(found, Letter{ID: id, To: to, Subject: m.Header.Get("Subject"), Text: string(text)})
		}
	}
	return found
}

// Letter waits for a message to an address or number that holds the text, and
// that was not returned before.
func (w *World) Letter(to, text string) Letter {
	w.T.Helper()
	var found Letter
	Eventually(w.T, fmt.Sprintf("a message with %q to %s", text, to), func() bool {
		for _, l := range w.Letters(to) {
			if strings.Contains(l.Subject+"\n"+l.Text, text) && w.mailbox.first(l.ID) {
				found = l
				return true
			}
		}
		return false
	})
	return found
}

func (m *mailbox) first(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := m.read[id]
	m.read[id] = true
	return !seen
}

var linkToken = regexp.MustCompile(regexp.QuoteMeta(Issuer) + `/activate\?token=(\S+)`)

// Link waits for an activation mail and returns the token of its link.
func (w *World) Link(to string) string {
	w.T.Helper()
	l := w.Letter(to, "/activate?token=")
	found := linkToken.FindStringSubmatch(l.Text)
	if found == nil {
		w.T.Fatalf("no link in %q", l.Text)
	}
	return found[1]
}
