package main

import (
	"slices"
	"testing"
)

// Every planted bug still fits the source, and names a scenario. Whether it is
// found is the business of make faults-planted.
func TestBugs_FitTheSource(t *testing.T) {
	t.Chdir("..")
	for _, b := range bugs {
		if _, err := b.plant(t.TempDir()); err != nil {
			t.Errorf("%s: %v", b.name, err)
		}
		if !slices.ContainsFunc(scenarios, func(s scenario) bool { return s.name == b.scenario && s.short > 0 }) {
			t.Errorf("%s: there is no short scenario %q", b.name, b.scenario)
		}
	}
}
