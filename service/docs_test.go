package service_test

import (
	"os"
	"regexp"
	"testing"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
)

func TestErrors_EveryReasonIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		documented[row[1]] = true
	}
	for number, name := range identityv1.Error_Reason_name {
		if number != 0 && !documented[name] {
			t.Errorf("%s is not in docs/errors.md", name)
		}
		delete(documented, name)
	}
	for name := range documented {
		t.Errorf("docs/errors.md has %s, which is no reason", name)
	}
}
