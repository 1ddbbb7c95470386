package store_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/store/storetest"
)

// The permissions of a new database and docs/permissions.md are the same, word
// for word.
func TestPermissions_AreDocumented(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		text, err := os.ReadFile("../docs/permissions.md")
		if err != nil {
			t.Fatal(err)
		}
		permissions, err := s.Permissions(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range permissions {
			if row := fmt.Sprintf("| `%s` | %s | %s |\n", p.Key, p.Name, p.Description); !strings.Contains(string(text), row) {
				t.Errorf("docs/permissions.md has no row %q", row)
			}
		}
		if rows := strings.Count(string(text), "\n| `"); rows != len(permissions) {
			t.Errorf("docs/permissions.md has %d rows for %d permissions", rows, len(permissions))
		}
	})
}
