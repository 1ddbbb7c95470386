package secret_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/bizmetry/identity/service/secret"
)

const id = "0198c5d6-7f00-7abc-8def-0123456789ab"

func TestNewMachineSecret(t *testing.T) {
	rows := []struct {
		rule, id string
		random   byte
		prefix   string
	}{
		{"all zero", "00000000-0000-0000-0000-000000000000", 0, "bms_" + strings.Repeat("0", 22) + "_" + strings.Repeat("0", 43) + "_"},
		{"all ones", "ffffffff-ffff-ffff-ffff-ffffffffffff", 255, "bms_" + base62(255, 16, 22) + "_" + base62(255, 32, 43) + "_"},
	}
	for _, r := range rows {
		t.Run(r.rule, func(t *testing.T) {
			text, digest, err := secret.NewMachineSecret(bytes.NewReader(bytes.Repeat([]byte{r.random}, 32)), r.id)
			if err != nil {
				t.Fatal(err)
			}
			if want := r.prefix + crc(r.prefix); text != want {
				t.Errorf("text %q, want %q", text, want)
			}
			if digest != sha256.Sum256([]byte(text)) {
				t.Error("the digest is not SHA-256 of the text")
			}
		})
	}
}

func base62(b byte, n, width int) string {
	digits := new(big.Int).SetBytes(bytes.Repeat([]byte{b}, n)).Text(62)
	return strings.Repeat("0", width-len(digits)) + digits
}

func crc(text string) string {
	digits := new(big.Int).SetBytes(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(text)))).Text(62)
	return strings.Repeat("0", 6-len(digits)) + digits
}

func TestNewMachineSecret_Refuses(t *testing.T) {
	for _, bad := range []string{"", "7", strings.ToUpper(id), "{" + id + "}", "urn:uuid:" + id, strings.ReplaceAll(id, "-", "")} {
		if _, _, err := secret.NewMachineSecret(rand.Reader, bad); err == nil {
			t.Errorf("credential id %q is taken", bad)
		}
	}
	if _, _, err := secret.NewMachineSecret(bytes.NewReader(make([]byte, 31)), id); err == nil {
		t.Error("a source that ends early is no error")
	}
}

func TestMachineSecret_RoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		random := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "random")
		text, digest, err := secret.NewMachineSecret(bytes.NewReader(random), u.String())
		if err != nil {
			t.Fatal(err)
		}
		gotID, gotDigest, ok := secret.ParseMachineSecret(text)
		if !ok || gotID != u.String() || !secret.EqualDigest(digest[:], gotDigest[:]) {
			t.Fatalf("ParseMachineSecret(%q) = %q, %x, %t", text, gotID, gotDigest, ok)
		}
	})
}

func TestParseMachineSecret_Refuses(t *testing.T) {
	text, _, err := secret.NewMachineSecret(rand.Reader, id)
	if err != nil {
		t.Fatal(err)
	}
	whole := func(id, key string) string { return "bms_" + id + "_" + key + "_" + crc("bms_"+id+"_"+key+"_") }
	rows := []struct{ rule, text string }{
		{"nothing", ""},
		{"a megabyte", strings.Repeat("b", 1<<20)},
		{"another prefix", "bmr" + text[3:]},
		{"a space before", " " + text[:len(text)-1]},
		{"a line end behind", text + "\n"},
		{"id overflows 16 bytes", whole(strings.Repeat("Z", 22), text[27:70])},
		{"secret overflows 32 bytes", whole(text[4:26], strings.Repeat("Z", 43))},
		{"a sign in the id", whole("+"+text[5:26], text[27:70])},
		{"a sign in the secret", whole(text[4:26], "-"+text[28:70])},
		{"an underscore in the secret", whole(text[4:26], "_"+text[28:70])},
		{"checksum overflows 4 bytes", text[:71] + "ZZZZZZ"},
	}
	for _, r := range rows {
		t.Run(r.rule, func(t *testing.T) {
			if gotID, digest, ok := secret.ParseMachineSecret(r.text); ok || gotID != "" || digest != [32]byte{} {
				t.Errorf("ParseMachineSecret(%.100q) = %q, %x, %t", r.text, gotID, digest, ok)
			}
		})
	}
	if _, _, ok := secret.ParseMachineSecret(whole(text[4:26], text[27:70])); !ok {
		t.Error("the rows above are refused for another reason")
	}
}

// RG-34: no prefix, suffix or changed bit of a secret is a secret. The
// checksum finds every single changed character; the digest finds the rest.
func TestParseMachineSecret_RG34(t *testing.T) {
	text, _, err := secret.NewMachineSecret(rand.Reader, id)
	if err != nil {
		t.Fatal(err)
	}
	for i := range text {
		if _, _, ok := secret.ParseMachineSecret(text[:i]); ok {
			t.Errorf("the first %d characters pass", i)
		}
		if _, _, ok := secret.ParseMachineSecret(text[i+1:]); ok {
			t.Errorf("all but the first %d characters pass", i+1)
		}
		for c := range 256 {
			other := text[:i] + string([]byte{byte(c)}) + text[i+1:]
			if _, _, ok := secret.ParseMachineSecret(other); ok && other != text {
				t.Errorf("character %d as %#x passes", i, c)
			}
		}
	}
}

// SS-03: secrets do not repeat and their bits are even.
func TestNewMachineSecret_SS03(t *testing.T) {
	const n = 100_000
	seen := make(map[string]bool, n)
	ones := 0
	var random [32]byte
	for range n {
		if _, err := rand.Read(random[:]); err != nil {
			t.Fatal(err)
		}
		text, _, err := secret.NewMachineSecret(bytes.NewReader(random[:]), id)
		if err != nil {
			t.Fatal(err)
		}
		key := text[27:70]
		if seen[key] {
			t.Fatal("a secret comes twice")
		}
		seen[key] = true
		back, _ := new(big.Int).SetString(key, 62)
		for bit := range 256 {
			ones += int(back.Bit(bit))
		}
	}
	// Monobit: 6 standard deviations of 25.6 million even bits.
	const mean, tolerance = n * 128, 6 * 2530
	if ones < mean-tolerance || ones > mean+tolerance {
		t.Errorf("%d bits of %d are set", ones, 2*mean)
	}
}

func TestEqualDigest(t *testing.T) {
	a, b := sha256.Sum256([]byte("a")), sha256.Sum256([]byte("b"))
	got := []bool{
		secret.EqualDigest(a[:], a[:]), secret.EqualDigest(a[:], b[:]),
		secret.EqualDigest(a[:], a[:31]), secret.EqualDigest(a[:], nil),
	}
	if diff := cmp.Diff([]bool{true, false, false, false}, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseMachineSecret(f *testing.F) {
	text, _, err := secret.NewMachineSecret(rand.Reader, id)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add("bms_")
	f.Fuzz(func(t *testing.T, text string) {
		gotID, digest, ok := secret.ParseMachineSecret(text)
		if !ok {
			return
		}
		if _, err := uuid.Parse(gotID); err != nil || digest != sha256.Sum256([]byte(text)) || len(text) != 77 {
			t.Errorf("ParseMachineSecret(%q) = %q, %x", text, gotID, digest)
		}
	})
}

func BenchmarkParseMachineSecret(b *testing.B) {
	text, _, err := secret.NewMachineSecret(rand.Reader, id)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		secret.ParseMachineSecret(text)
	}
}
