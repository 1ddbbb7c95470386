package contact

import (
	"regexp"
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers"
)

func TestParsePhone(t *testing.T) {
	for _, r := range []struct{ rule, text, want string }{
		{"as people write it", "+41 79 123 45 67", "+41791234567"},
		{"as it is kept", "+41791234567", "+41791234567"},
		{"with hyphens, dots, slashes and parentheses", "+41 (79) 123-45.67", "+41791234567"},
		{"with the trunk zero in parentheses", "+44 (0)7400 123456", "+447400123456"},
		{"full-width, as Japanese keyboards give it", "＋４１　７９　１２３　４５　６７", "+41791234567"},
		{"pasted with marks of direction and hard spaces", "\u202a+41\u00a079\u00a0123\u00a045\u00a067\u202c", "+41791234567"},
		{"where mobile and fixed cannot be told apart", "+1 201-555-0123", "+12015550123"},
		{"spaces around", "  +41791234567 ", "+41791234567"},
		{"without the country code", "079 123 45 67", ""},
		{"with an international prefix in place of the plus", "0041 79 123 45 67", ""},
		{"a fixed line", "+41 44 668 18 00", ""},
		{"a premium number", "+41 900 123 456", ""},
		{"a free-phone number", "+1 800 555 0199", ""},
		{"no such country", "+999 79 123 45 67", ""},
		{"too short for its country", "+41 79 123", ""},
		{"too long for its country", "+41 79 123 45 67 89", ""},
		{"with an extension", "+41 79 123 45 67 ext. 8", ""},
		{"with letters", "+1 201 FLOWERS", ""},
		{"as a link", "tel:+41791234567", ""},
		{"with a phone context", "791234567;phone-context=+41", ""},
		{"two numbers", "+41791234567+41791234568", ""},
		{"Arabic digits, which the library would take", "+٤١٧٩١٢٣٤٥٦٧", ""},
		{"masked", "+41•••••••67", ""},
		{"empty", "", ""},
		{"only the plus", "+", ""},
		{"no number", "not a number", ""},
		{"far too long", "+41" + strings.Repeat("7", 500), ""},
		{"far too long by what is left out", "+41791234567" + strings.Repeat(" ", 500), ""},
		{"no UTF-8", "+4179123\xff4567", ""},
	} {
		if got, ok := ParsePhone(r.text); got != r.want || ok != (r.want != "") {
			t.Errorf("%s: %q is %q, %v, want %q", r.rule, r.text, got, ok, r.want)
		}
	}
}

func TestMaskPhone(t *testing.T) {
	for number, want := range map[string]string{
		"+41791234567":  "+41•••••••67",
		"+12015550123":  "+1••••••••23",
		"+447400123456": "+44••••••••56",
		"+3584412345":   "+358•••••45",
	} {
		if got := MaskPhone(number); got != want {
			t.Errorf("%s is shown as %s, want %s", number, got, want)
		}
	}
}

// RG-10: one normalisation, and nothing left of what is no digit.
func TestParseCode_RG10(t *testing.T) {
	for _, r := range []struct {
		text, want string
	}{
		{"123456", "123456"},
		{" 123 456 ", "123456"},
		{"123-456", "123456"},
		{"１２３４５６", "123456"},
		{"１２３　456", "123456"},
		{"\u200b123456\u200f", "123456"},
		{"000000", "000000"},
		{"12345", ""},
		{"1234567", ""},
		{"12345a", ""},
		{"0x1234", ""},
		{"١٢٣٤٥٦", ""},
		{"123456\n123457", ""},
		{"", ""},
	} {
		if got, ok := ParseCode(r.text); ok != (r.want != "") || (ok && got != r.want) {
			t.Errorf("%q is %q, %v, want %q", r.text, got, ok, r.want)
		}
	}
}

var e164 = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

// RG-62: no text makes the parser panic, and what it takes is a number of the
// one form, which it takes again.
func FuzzParsePhone_RG62(f *testing.F) {
	for _, seed := range []string{
		"+41 79 123 45 67", "＋４１７９１２３４５６７", "+1 (201) 555-0123", "tel:+41791234567;ext=1", "+44 (0)7400 123456",
		"+", "+++", "+0", "(((((", "+800 1234 5678", "\xff", strings.Repeat("+1", 80), ";phone-context=", "+1x1x1x1x1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		number, ok := ParsePhone(text)
		if !ok {
			if number != "" {
				t.Errorf("%q is refused and %q", text, number)
			}
			return
		}
		if again, ok := ParsePhone(number); !ok || again != number || !e164.MatchString(number) {
			t.Errorf("%q is %q, and that %q, %v", text, number, again, ok)
		}
		parsed, err := phonenumbers.Parse(number, phonenumbers.UNKNOWN_REGION)
		if err != nil || !phonenumbers.IsValidNumber(parsed) {
			t.Errorf("%q is %q, which is no valid number: %v", text, number, err)
		}
		if shown := MaskPhone(number); len([]rune(shown)) != len(number) || strings.Contains(shown, number[4:]) {
			t.Errorf("%s is shown as %s", number, shown)
		}
	})
}
