package contact

import "testing"

func TestIsLabel(t *testing.T) {
	for _, r := range []struct {
		rule, text string
		want       bool
	}{
		{"words", "Billing agent 7", true},
		{"one letter", "x", true},
		{"one digit", "7", true},
		{"signs around", "[prod] billing/agent: #7 & co.", true},
		{"a symbol that is seen", "🚀 billing", true},
		{"Arabic", "وكيل الفواتير", true},
		{"Persian with a joiner", "می\u200cخواهم", true},
		{"Hindi with a joiner", "क्\u200dष", true},
		{"a zero-width space alone", "\u200b", false},
		{"a Hangul filler alone", "\u3164", false},
		{"an override alone", "\u202e", false},
		{"an override among letters", "Bill\u202eing", false},
		{"an isolate", "\u2066Billing\u2069", false},
		{"a mark of direction", "Billing\u200f", false},
		{"a soft hyphen", "Bill\u00ading", false},
		{"a half-width filler", "a\uffa0b", false},
		{"a variation selector", "a\ufe0f", false},
		{"a tag character", "a\U000e0041", false},
		{"a byte order mark", "\ufeffBilling", false},
		{"a joiner at the end", "a\u200d", false},
		{"two joiners", "a\u200d\u200db", false},
		{"an escape", "a\x1b[31m", false},
		{"two lines", "a\nb", false},
		{"a line separator", "a\u2028b", false},
		{"a next line", "a\u0085b", false},
		{"private use", "a\ue000", false},
		{"signs alone", "!?", false},
		{"a braille blank alone", "\u2800", false},
		{"nothing", "", false},
	} {
		if got := IsLabel(r.text); got != r.want {
			t.Errorf("%s: %q is %v", r.rule, r.text, got)
		}
	}
}

func TestIsPersonName(t *testing.T) {
	for _, r := range []struct {
		rule, text string
		want       bool
	}{
		{"a name", "Ann", true},
		{"an apostrophe inside", "O'Neil", true},
		{"a typographic apostrophe in front", "’t Hooft", true},
		{"an apostrophe at the end", "Luis'", true},
		{"a modifier apostrophe", "Oʼzbek", true},
		{"a hyphen", "Anne-Marie", true},
		{"a non-breaking hyphen", "Anne‑Marie", true},
		{"a full stop inside", "St. John", true},
		{"a full stop at the end", "Sammy Davis Jr.", true},
		{"a Catalan middle dot", "Gal·la", true},
		{"a Japanese middle dot", "ジョン・スミス", true},
		{"an ideographic space", "山田　太郎", true},
		{"a Tibetan mark at the end", "བསྟན་འཛིན་", true},
		{"a Hebrew geresh", "צ׳רצ׳יל", true},
		{"marks", "नरेन्द्र", true},
		{"a joiner between letters", "می\u200cخواهم", true},
		{"digits", "John 3rd", true},
		{"a digit in front", "2Pac", true},
		{"digits alone", "007", false},
		{"a hyphen in front", "-Ann", false},
		{"a hyphen at the end", "Ann-", false},
		{"a middle dot at the end", "Ann·", false},
		{"a mark in front", "\u0301Ann", false},
		{"an apostrophe alone", "'", false},
		{"a joiner at the end", "Ann\u200d", false},
		{"a joiner after a digit", "7\u200dA", false},
		{"a zero-width space", "An\u200bn", false},
		{"a Hangul filler", "\u3164", false},
		{"an override", "Ann\u202e", false},
		{"a grapheme joiner", "An\u034fn", false},
		{"a comma", "Doe, Ann", false},
		{"a sign", "Ann <x>", false},
		{"an address", "ann@x.test", false},
		{"a symbol", "Ann 🚀", false},
		{"two lines", "Ann\nDoe", false},
		{"nothing", "", false},
	} {
		if got := IsPersonName(r.text); got != r.want {
			t.Errorf("%s: %q is %v", r.rule, r.text, got)
		}
	}
}

func TestIsProse(t *testing.T) {
	for text, want := range map[string]bool{
		"": true, "one\ntwo\r\n\tthree": true, "\u202bعربي\u202c": true,
		"a\x1b[31mred": false, "a\x00": false, "a\u009bb": false, "a\x07": false, "a\x7f": false, "a\u0085b": false,
	} {
		if got := IsProse(text); got != want {
			t.Errorf("%q is %v", text, got)
		}
	}
}
