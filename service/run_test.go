package service_test

import (
	"testing"

	"github.com/bizmetry/identity/service/servicetest"
)

// The work in the background is done once: two at a time would write into the
// same memory.
func TestRun_Once(t *testing.T) {
	w := servicetest.SQLite(t) // runs its service
	if err := w.Service.Run(t.Context()); err == nil {
		t.Error("a second run began")
	}
}
