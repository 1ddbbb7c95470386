package secret_test

import (
	"bytes"
	"crypto/rand"
	"slices"
	"strings"
	"testing"

	"github.com/ccojocar/zxcvbn-go/frequency"
	"github.com/google/go-cmp/cmp"

	"github.com/bizmetry/identity/service/secret"
)

func TestUnmetRules(t *testing.T) {
	long := strings.Repeat("xkvbtqzwyjrmndfs", 16) // 256
	rows := []struct {
		rule, policy, password string
		want                   []string
	}{
		{"just enough", "standard", "Aa1#aaaa", nil},
		{"seven", "standard", "Aa1#aaa", []string{"too_short"}},
		{"no upper-case letter", "standard", "aa1#aaaa", []string{"no_upper"}},
		{"no digit", "standard", "Aab#kaca", []string{"no_digit"}},
		{"no listed special", "standard", "Aa1~~~~~", []string{"no_special"}},
		{"nothing", "standard", "", []string{"too_short", "no_upper", "no_digit", "no_special"}},
		{"a phrase has the three unmet rules", "standard", "correct horse battery staple", []string{"no_upper", "no_digit", "no_special"}},
		{"other characters are welcome", "standard", "Åb1! ~€漢", nil},
		{"a decomposed letter is one", "standard", "Aa1#aae\u0301", []string{"too_short"}},
		{"emoji count as one each", "standard", "A1#" + strings.Repeat("😀", 5), nil},

		{"a phrase", "nist", "correct horse battery staple", nil},
		{"fifteen", "nist", long[:15], nil},
		{"fourteen", "nist", long[:14], []string{"too_short"}},
		{"PW-02: 64", "nist", long[:64], nil},
		{"PW-02: 256", "nist", long, nil},
		{"PW-02: 257", "nist", long + "x", []string{"too_long"}},
		{"PW-02: 256 code points in 1,024 bytes", "nist", strings.Repeat("😀🐢🚀🌵", 64), nil},
		{"PW-02: 1,025 bytes", "nist", strings.Repeat("a", 1025), []string{"too_long"}},
		{"PW-02: 1 MiB", "standard", strings.Repeat("a", 1<<20), []string{"too_long"}},

		{"an unknown policy asks for everything", "lax", long[1:3] + long[4:10], []string{"too_short", "no_upper", "no_digit", "no_special"}},
	}
	for _, r := range rows {
		t.Run(r.policy+"/"+r.rule, func(t *testing.T) {
			if diff := cmp.Diff(r.want, secret.UnmetRules(r.policy, r.password)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUnmetRules_PW04_Common(t *testing.T) {
	rows := map[string]bool{
		"password": true, "Password": true, "PASSWORD1": true, "Password1!": true, "Qwerty123!": true, "qwerty": true, "!Dragon2024!": true,
		"P@ssw0rd": true, "Pa$$w0rd1!": true, "p4ssw0rd#99": true, "L3tm31n!!": true, "we1come": true, "123456": true, "12345678!": true,
		"passwordpassword": true, "PasswordPassword1!": true, "qwertyqwertyqwerty": true, "ｐａｓｓｗｏｒｄ": true, "pässword": true,
		"my password is a long story": false, "password for the old barn door": false, "Aa1#aaaa": false, "correct horse battery staple": false,
		"Dog#48123571": false, "!!Dragon2024!!2025": false, "": false, "Zebra#river9stone": false,
	}
	for password, common := range rows {
		if got := slices.Contains(secret.UnmetRules(secret.NIST, password), "common"); got != common {
			t.Errorf("%q: common is %t", password, got)
		}
	}
	n := 0
	for _, word := range frequency.Lists["Passwords"].List {
		twice := word + word
		if strings.Trim(word, word[:1]) == "" { // one character, however often
			twice = word
		}
		for _, password := range []string{word, strings.ToUpper(word), word + "1", word + "2026!", twice} {
			if !slices.Contains(secret.UnmetRules(secret.Standard, password), "common") {
				t.Errorf("%q is not common", password)
			}
		}
		n++
	}
	if n < 3000 {
		t.Errorf("%d passwords", n)
	}
}

// What is long enough and still guessed at once: runs, single words, and either
// with little around it.
func TestUnmetRules_PW04_Guessable(t *testing.T) {
	rows := map[string]bool{
		"aaaaaaaaaaaaaaa": true, "               ": true, "...............": true, "000000000000000000": true, "😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀": true,
		"abcdefghijklmnop": true, "ponmlkjihgfedcba": true, "ABCDEFGHIJKLMNOP": true, "abcabcabcabcabcabc": true, "aaaaabbbbbccccc": true,
		"1234567890123456": true, "987654321098765": true, "1111222233334444": true, "qwertyuiopasdfgh": true, "poiuytrewqlkjhgf": true,
		"1qaz2wsx3edc4rfv": true, "qwertzuiopyxcvbn": true, "azertyuiopqsdfgh": true, "!@#$%^&*()!@#$%^": true, "asdfghjklqwertyuiop1!": true,
		"Qwertyuiopasdfgh2026!": true, "2026abcdefghijkl": true, "qw3rtyuiopasdfgh": true, "aaaaaaaaaaaaaaab": true, "Aaaaaa1!": true,
		"administrator123": true, "administratoradministrator": true, "Administrator2026!": true, "adm1n1str4t0r#99": true, "Sunflower1!": true,
		"Password1!Password1!": true, "Summer2024!Summer2024!": true, "password123password123": true, "password password": true,
		"football-football": true, "admin-admin-admin": true, "abababababababab": true, "12!12!12!12!12!A": false, "147147147147147147": true,
		"aaab#Kq9tz_mwv3x": false, "abcXkq9tz_mwv3w": false, "Aa1#aaaa": false, "correct horse battery staple": false, "sunflowers over the barn": false,
		"administrator of nothing": false, "1234 sheep jump over": false, "A1#😀😀😀😀😀": false, "xkvbtqzwyjrmndf": false, "Zebra#river9stone": false,
		"qwerty is what I typed": false, "我的密码是一只猫和一条狗在花园里": false,
	}
	for password, guessable := range rows {
		for _, policy := range []string{secret.Standard, secret.NIST} {
			if got := slices.Contains(secret.UnmetRules(policy, password), "common"); got != guessable {
				t.Errorf("%s, %q: common is %t", policy, password, got)
			}
		}
	}
}

func TestUnmetRules_PW05_Context(t *testing.T) {
	context := []string{"BizMetry", "Acme Holding Ltd.", "René", "van der Berg", "rene.vdb"}
	rows := map[string]bool{
		"Acme-rene-2026!": true, "acme holding": true, "AcmeHolding#1": true, "BizMetry2026!": true, "B1zM3try#1": true, "R3né#2026": true, "vdb.rene#99": true,
		"Berg_Berg_Berg1": true, "vanderberg#2026": true, "Rene-winter-2026!": true,
		"rene paints old blue tractors": false, "my acme password is a secret story": false, "Zebra#river9stone": false, "Aa1#aaaa": false, "": false,
	}
	for password, found := range rows {
		if got := slices.Contains(secret.UnmetRules(secret.NIST, password, context...), "context"); got != found {
			t.Errorf("%q: context is %t", password, got)
		}
	}
	for _, nothing := range [][]string{nil, {""}, {"..", "12", "Li", "😀😀😀"}} { // no word to look for
		if got := secret.UnmetRules(secret.Standard, "Li12#😀😀😀Xyz", nothing...); got != nil {
			t.Errorf("%q: %v", nothing, got)
		}
	}
}

func TestStrength(t *testing.T) {
	rows := []struct {
		password    string
		least, most int
	}{
		{"", 0, 0},
		{"a", 0, 0},
		{"password", 0, 0},
		{"P@ssw0rd", 0, 0},
		{"12345678", 0, 0},
		{"acmerene", 0, 0},
		{"qwertyui", 0, 1},
		{"correct horse battery staple", 4, 4},
		{"q7#Vt!zR9_mKw2$x", 4, 4},
		{strings.Repeat("a", 1<<20), 0, 1},
		{strings.Repeat("@40$1!|+7({[<%6gzx2", 1<<10), 0, 4},
		{"\xff\xfe\xfd", 0, 4},
	}
	for _, r := range rows {
		if score, _ := secret.Strength(r.password, []string{"Acme", "rene"}); score < r.least || score > r.most {
			t.Errorf("%.40q: %d", r.password, score)
		}
	}
	if _, patterns := secret.Strength("password", nil); !slices.Equal(patterns, []string{"dictionary"}) {
		t.Errorf("patterns %q", patterns)
	}
}

// PF-02: what is too long is not even estimated in full: the rest changes nothing.
func TestStrength_PF02_Bounded(t *testing.T) {
	head := strings.Repeat("Ax1#tqzw", 9) // 72
	want, _ := secret.Strength(head, nil)
	if got, _ := secret.Strength(head+strings.Repeat("password", 1<<16), nil); got != want {
		t.Errorf("%d, %d with a long tail", want, got)
	}
}

// FuzzStrength_IN03: no text makes the estimator panic.
func FuzzStrength_IN03(f *testing.F) {
	for _, text := range []string{"Password1!", "İİİİpassword", "aaa\u0301", "\xffpassword", "1.1.2011", "ééé", "４４４"} {
		f.Add(text, "Acme")
	}
	f.Fuzz(func(t *testing.T, password, context string) {
		if score, _ := secret.Strength(password, []string{context}); score < 0 || score > 4 {
			t.Errorf("%q: %d", password, score)
		}
	})
}

func TestGenerate(t *testing.T) {
	const n = 100_000
	context := []string{"BizMetry", "Acme", "Ann", "Fox", "Wu", "abc"}
	counts := map[rune]int{}
	seen := make(map[string]bool, n)
	for range n {
		p, err := secret.Generate(rand.Reader, context...)
		if err != nil {
			t.Fatal(err)
		}
		if len(p) != 20 || strings.ContainsAny(p, "0O1lIo") || seen[p] {
			t.Fatalf("Generate gives %q", p)
		}
		if unmet := append(secret.UnmetRules(secret.Standard, p, context...), secret.UnmetRules(secret.NIST, p, context...)...); unmet != nil {
			t.Fatalf("Generate gives %q, which breaks %v", p, unmet)
		}
		seen[p] = true
		for _, c := range p {
			counts[c]++
		}
	}
	// Within a kind of character none is likelier than another: each comes
	// some 32,000 times or more, so 5 % is about nine standard deviations.
	for _, kind := range []string{"ABCDEFGHJKLMNPQRSTUVWXYZ", "abcdefghijkmnpqrstuvwxyz", "23456789", "#@_!$"} {
		sum := 0
		for _, c := range kind {
			sum += counts[c]
		}
		mean := sum / len(kind)
		for _, c := range kind {
			if d := counts[c] - mean; d > mean/20 || d < -mean/20 {
				t.Errorf("%q comes %d times, its kind %d on average", c, counts[c], mean)
			}
		}
	}
}

type stuck byte

func (s stuck) Read(p []byte) (int, error) {
	copy(p, bytes.Repeat([]byte{byte(s)}, len(p)))
	return len(p), nil
}

func TestGenerate_BrokenSource(t *testing.T) {
	for _, s := range []stuck{0, 63, 255} {
		if p, err := secret.Generate(s); err == nil {
			t.Errorf("a source of only %d gives %q", s, p)
		}
	}
	if _, err := secret.Generate(strings.NewReader("short")); err == nil {
		t.Error("a source that ends early is no error")
	}
}

func FuzzUnmetRules(f *testing.F) {
	f.Add("standard", "Aa1#aaaa", "Acme")
	f.Add("nist", "\xff\x00e\u0301", "René")
	f.Add("nist", strings.Repeat("password", 1<<13), strings.Repeat("a-", 1<<15)) // 64 KiB
	f.Add("standard", strings.Repeat("\ufdfa", 256), "\ufdfa")
	f.Fuzz(func(t *testing.T, policy, password, context string) {
		unmet := secret.UnmetRules(policy, password, context)
		if unmet == nil && (len(password) < 8 || len(password) > 1024) {
			t.Errorf("%q passes", password)
		}
	})
}
