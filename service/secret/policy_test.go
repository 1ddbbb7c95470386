package secret_test

import (
	"bytes"
	"crypto/rand"
	"strings"
	"testing"

	"github.com/bizmetry/identity/service/secret"
	"github.com/google/go-cmp/cmp"
)

func TestUnmetRules(t *testing.T) {
	rows := []struct {
		rule, policy, password string
		want                   []string
	}{
		{"just enough", "standard", "Aa1#aaaa", nil},
		{"seven", "standard", "Aa1#aaa", []string{"too_short"}},
		{"no upper-case letter", "standard", "aa1#aaaa", []string{"no_upper"}},
		{"no digit", "standard", "Aaa#aaaa", []string{"no_digit"}},
		{"no listed special", "standard", "Aa1~~~~~", []string{"no_special"}},
		{"nothing", "standard", "", []string{"too_short", "no_upper", "no_digit", "no_special"}},
		{"a phrase has the three unmet rules", "standard", "correct horse battery staple", []string{"no_upper", "no_digit", "no_special"}},
		{"other characters are welcome", "standard", "Åb1! ~€漢", nil},
		{"a decomposed letter is one", "standard", "Aa1#aae\u0301", []string{"too_short"}},
		{"emoji count as one each", "standard", "A1#" + strings.Repeat("😀", 5), nil},

		{"a phrase", "nist", "correct horse battery staple", nil},
		{"fifteen", "nist", strings.Repeat("a", 15), nil},
		{"fourteen", "nist", strings.Repeat("a", 14), []string{"too_short"}},
		{"PW-02: 64", "nist", strings.Repeat("a", 64), nil},
		{"PW-02: 256", "nist", strings.Repeat("a", 256), nil},
		{"PW-02: 257", "nist", strings.Repeat("a", 257), []string{"too_long"}},
		{"PW-02: 256 code points in 1,024 bytes", "nist", strings.Repeat("😀", 256), nil},
		{"PW-02: 1,025 bytes", "nist", strings.Repeat("a", 1025), []string{"too_long"}},
		{"PW-02: 1 MiB", "standard", strings.Repeat("a", 1<<20), []string{"too_long"}},

		{"an unknown policy asks for everything", "lax", "aaaaaaaaaaaaaa", []string{"too_short", "no_upper", "no_digit", "no_special"}},
	}
	for _, r := range rows {
		t.Run(r.policy+"/"+r.rule, func(t *testing.T) {
			if diff := cmp.Diff(r.want, secret.UnmetRules(r.policy, r.password)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestGenerate(t *testing.T) {
	const n = 100_000
	counts := map[rune]int{}
	seen := make(map[string]bool, n)
	for range n {
		p, err := secret.Generate(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if len(p) != 20 || strings.ContainsAny(p, "0O1lIo") || seen[p] {
			t.Fatalf("Generate gives %q", p)
		}
		if unmet := append(secret.UnmetRules("standard", p), secret.UnmetRules("nist", p)...); unmet != nil {
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
	f.Add("standard", "Aa1#aaaa")
	f.Add("nist", "\xff\x00e\u0301")
	f.Fuzz(func(t *testing.T, policy, password string) {
		unmet := secret.UnmetRules(policy, password)
		if unmet == nil && (len(password) < 8 || len(password) > 1024) {
			t.Errorf("%q passes", password)
		}
	})
}
