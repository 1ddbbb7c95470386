package contact

import (
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"
)

// sameAddress are addresses that are one: each row has the same key.
var sameAddress = [][]string{
	{"ann@example.com", "Ann@Example.COM", " ann@example.com ", "ANN@EXAMPLE.COM", "ann@EXAMPLE.com\t", "ann@ｅｘａｍｐｌｅ.com", "ann@example。com"},
	{"straße@example.com", "STRASSE@example.com", "strasse@example.com", "STRAẞE@example.com", "Straße@Example.com"},
	{"ſam@example.com", "sam@example.com", "SAM@example.com", "Sam@example.com"},
	{"Kim@example.com", "kim@example.com", "KIM@example.com"}, // the Kelvin sign
	{"ﬁona@example.com", "fiona@example.com", "FIONA@example.com"},
	{"José@example.com", "jose\u0301@example.com", "JOSÉ@example.com", "JOSE\u0301@example.com"},
	{"ΣΟΦΙΑΣ@example.gr", "σοφιας@example.gr", "σοφιασ@example.gr"},
	{"Ångström@example.se", "\u212bngström@example.se", "a\u030angstro\u0308m@example.se"},
	{"иван@пример.рф", "ИВАН@ПРИМЕР.РФ", "иван@xn--e1afmkfd.xn--p1ai", "Иван@XN--E1AFMKFD.XN--P1AI"},
	{"user@bücher.example", "user@BÜCHER.example", "user@xn--bcher-kva.example", "user@bu\u0308cher.example"},
	{"user@faß.example", "user@FAß.example"},
	{"user@例え.テスト", "user@xn--r8jz45g.xn--zckzah"},
	{"a+b@example.com", "A+B@example.com"},
	{"o'neil@example.com", "O'NEIL@example.com"},
	{"x_y-z.1@sub.example.co.uk", "X_Y-Z.1@SUB.EXAMPLE.CO.UK"},
	{"!#$%&'*+-/=?^_`{|}~@example.com"},
	{"محمد@example.com"},
	{"用户@例子.广告", "用户@xn--fsqu00a.xn--4rr70v"},
	{"दिलीप@example.in"},
	{"a@b.co"},
	{"ǆ@example.com", "ǅ@example.com", "Ǆ@example.com"},
	{"ὈΔΥΣΣΕΎΣ@example.gr", "ὀδυσσεύς@example.gr"},
	{"a@😀.co", "a@xn--e28h.co"},
	{"first.last@example.com", "First.Last@example.com", "FIRST.LAST@EXAMPLE.COM"},
	{"MÜLLER@example.de", "müller@example.de", "mu\u0308ller@example.de", "MU\u0308LLER@EXAMPLE.DE"},
	{"NGUYỄN@example.vn", "nguyễn@example.vn", "nguye\u0302\u0303n@example.vn"},
	{"ÅSA@example.se", "åsa@example.se", "A\u030aSA@example.se"},
	{"Łukasz@example.pl", "łukasz@example.pl", "ŁUKASZ@EXAMPLE.PL"},
	{"ÇAĞLA@example.tr", "çağla@example.tr", "c\u0327ag\u0306la@example.tr"},
	{"Ñandú@example.ar", "ñandú@example.ar", "n\u0303andu\u0301@example.ar"},
	{"søren@example.dk", "SØREN@example.dk"},
	{"čeněk@example.cz", "ČENĚK@example.cz"},
	{"1@example.com"},
	{"a.b.c.d@example.com"},
	{"x@example.museum"},
	{"x@a.b.c.d.example.com"},
	{"o@example.com", "O@example.com"},
}

// otherAddresses are all different people.
var otherAddresses = []string{
	"ann@example.com", "ann@example.org", "an.n@example.com", "ann+x@example.com", "ann@sub.example.com", "anne@example.com", "a-nn@example.com",
	"ınn@example.com", "inn@example.com", // a dotless i is another letter
	"аnn@example.com", // begins with a Cyrillic а
	"jose@example.com", "josé@example.com", "ann@exаmple.com", "user@fass.example", "user@faß.example",
	"paypal@example.com", "рaypal@example.com", "ａnn@example.com", // full-width: another letter
}

// refusedAddresses are none.
var refusedAddresses = []string{
	"", " ", "@", "a", "a@", "@b.co", "a@b", "ab.co", "a@@b.co", "a@b@c.co", "a b@c.co", "a@b c.co", "a@b..co", "a@.b.co", "a@b.co.", "a@b.co..",
	".a@b.co", "a.@b.co", "a..b@c.co", `"a"@b.co`, `"a b"@b.co`, `"a@b"@c.co`, `a\@b@c.co`, "a(b)@c.co", "(x)a@b.co", "<a@b.co>", "Ann <a@b.co>",
	"a,b@c.co", "a;b@c.co", "a:b@c.co", "a[b@c.co", "a]b@c.co", "a\x00@b.co", "a\n@b.co", "a\r\nb@c.co", "a\t@b.co", "a@b\n.co", "a@b.co\nBcc: x@y.co",
	"a@[127.0.0.1]", "a@[IPv6:::1]", "a@127.0.0.1\x00", "a@-b.co", "a@b-.co", "a@b_c.co", "a@b!.co", "a@b/c.co", "a@b.co/x", "a@b.co?x", "a@b.co#x", "a@b:25.co",
	"a@1.2.3.4", "a@127.1", "a@0x7f.0x0.0.1", "a@１.２.３.４", "a@b.123", "a@[1.2.3.4]", "a@2001:db8::1",
	"a@b\u200bc.co", "a@b\u00adc.co", "a@b.co\u200b", "a\u3164@b.co", "a\u034f@b.co", "a@b\u200dc.co", "a@b\ufe0fc.co", "\u200ba@b.co",
	"a@xn--.co", "a@xn--a.co", "a@xn--zz--zz.co", "a@\u200b.co", "a\u200b@b.co", "a\u200d@b.co", "a\u202e@b.co", "\ufeffa@b.co", "a\u00ad@b.co", "a\u2028@b.co",
	"a😀@b.co", "a€@b.co", "a\u00a0b@c.co", "a\u3000b@c.co", "a＠b.co", "a@b\u2024co", "a\xff@b.co", "a@b\xff.co", "\xed\xa0\x80@b.co",
	strings.Repeat("a", 65) + "@b.co", "a@" + strings.Repeat("b", 64) + ".co", "a@" + strings.Repeat("b.", 130) + "co", strings.Repeat("é", 33) + "@b.co",
	strings.Repeat("a", 600) + "@b.co", "a@" + strings.Repeat("b", 600), strings.Repeat("@", 300), "a@b.co" + strings.Repeat(" ", 600),
	"a%b@", "%@%", "a@%.co", "a@b.%6f", "mailto:a@b.co", "//a@b.co/", "a@b.co>", "a@b.co\"", "a@b.co'", "a@b.co;", "a@b.co,", "a@(b).co", "a@b.co(x)",
}

// RG-27: one normalisation, by which different spellings are one person and
// different people stay apart.
func TestParseEmail_RG27_Corpus(t *testing.T) {
	rows := 0
	keys := map[string]int{}
	for i, same := range sameAddress {
		for _, text := range same {
			rows++
			address, ok := ParseEmail(text)
			if !ok {
				t.Errorf("%q is refused", text)
				continue
			}
			first, _ := ParseEmail(same[0])
			if address.Key != first.Key {
				t.Errorf("%q is %q, but %q is %q", text, address.Key, same[0], first.Key)
			}
			if other, taken := keys[address.Key]; taken && other != i {
				t.Errorf("%q is also of row %d", text, other)
			}
			keys[address.Key] = i
			if again, ok := ParseEmail(address.Key); !ok || again.Key != address.Key {
				t.Errorf("the key %q of %q is %q", address.Key, text, again.Key)
			}
			if address.Text != norm.NFC.String(strings.TrimSpace(text)) {
				t.Errorf("%q is shown as %q", text, address.Text)
			}
		}
	}
	apart := map[string]string{}
	for _, text := range otherAddresses {
		rows++
		address, ok := ParseEmail(text)
		if !ok {
			t.Errorf("%q is refused", text)
		}
		if other, taken := apart[address.Key]; taken {
			t.Errorf("%q and %q are one", text, other)
		}
		apart[address.Key] = text
	}
	for _, text := range refusedAddresses {
		rows++
		if address, ok := ParseEmail(text); ok {
			t.Errorf("%q is taken as %q", text, address.Key)
		}
	}
	if rows < 200 {
		t.Errorf("%d rows", rows)
	}
}

// However an address is written, its key is its own key, and fits.
func FuzzParseEmail(f *testing.F) {
	for _, same := range sameAddress {
		f.Add(same[0])
	}
	for _, text := range append(otherAddresses, refusedAddresses...) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		address, ok := ParseEmail(text)
		if !ok {
			return
		}
		again, ok := ParseEmail(address.Key)
		if !ok || again.Key != address.Key || strings.ContainsAny(address.Key, " \r\n\x00<>") {
			t.Errorf("%q is %q, which is %q, %v", text, address.Key, again.Key, ok)
		}
		if shown, ok := ParseEmail(address.Text); !ok || shown != address {
			t.Errorf("%q is shown as %q, which is %q", text, address.Text, shown.Key)
		}
	})
}
