package id

import (
	"strings"
	"testing"

	"github.com/google/uuid"
)

// FuzzValid: an id is what the library reads and writes again as it was.
func FuzzValid(f *testing.F) {
	id := "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"
	for _, text := range []string{
		"", id, strings.ToUpper(id), "{" + id + "}", "urn:uuid:" + id, strings.ReplaceAll(id, "-", ""), id + "a", id[1:],
		strings.Replace(id, "-", "a", 1), strings.Replace(id, "a", "-", 1), strings.Replace(id, "a", "g", 1), strings.Replace(id, "0", "\x00", 1),
		strings.Repeat("-", 36), strings.Repeat("0", 36),
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := uuid.Parse(text)
		if want := err == nil && parsed.String() == text; Valid(text) != want {
			t.Errorf("Valid(%q) is %t", text, !want)
		}
	})
}
