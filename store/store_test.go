package store_test

import (
	"testing"

	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func TestMigrateTwice(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Pending(t.Context()); n != 0 || err != nil {
			t.Fatalf("Pending = %d, %v", n, err)
		}
		roles, err := s.Roles(t.Context(), store.BuiltIn)
		if err != nil || len(roles) != 12 {
			t.Fatalf("%d roles, %v", len(roles), err)
		}
		if _, err := s.Incarnation(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
