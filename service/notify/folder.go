package notify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// folder writes each message into a file, for machines that send nothing.
type folder struct{ path string }

func newFolder(path string) (*folder, error) {
	if path == "" {
		return nil, errors.New("file: needs a folder")
	}
	return &folder{path}, nil
}

// Send implements Sender. The file appears whole, and under the same name for
// every try.
func (f *folder) Send(_ context.Context, m Message) error {
	if err := os.MkdirAll(f.path, 0o700); err != nil {
		return fmt.Errorf("write a message: %w", err)
	}
	head := "To: " + m.To + "\n"
	if m.Subject != "" {
		head += "Subject: " + m.Subject + "\n"
	}
	name := filepath.Join(f.path, filepath.Base(m.ID)+".txt")
	part := filepath.Join(f.path, "."+filepath.Base(m.ID))
	if err := os.WriteFile(part, []byte(head+"\n"+strings.TrimSpace(m.Text)+"\n"), 0o600); err != nil {
		return fmt.Errorf("write a message: %w", err)
	}
	return os.Rename(part, name)
}
