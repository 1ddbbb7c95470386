package page_test

import (
	"strings"
	"testing"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/page"
)

func TestFit(t *testing.T) {
	for _, c := range []struct {
		rule       string
		rows, size int
		want       int
	}{
		{"no rows", 0, 0, 0},
		{"up to 200 are never cut", 200, 64 << 10, 200},
		{"small rows all fit", 1000, 100, 1000},
		{"of large ones at least 200", 1000, 64 << 10, 200},
		{"of others as many as fit", 1000, 4 << 10, 511},
	} {
		rows := make([]*identityv1.Event, c.rows)
		for i := range rows {
			rows[i] = &identityv1.Event{Source: strings.Repeat("x", c.size)}
		}
		if n := page.Fit(rows); n != c.want {
			t.Errorf("%s: %d, want %d", c.rule, n, c.want)
		}
	}
}
