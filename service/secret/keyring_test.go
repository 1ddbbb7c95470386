package secret_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bizmetry/identity/service/secret"
)

// line is a key line of 32 equal bytes.
func line(b byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32))
}

func ring(t testing.TB, lines ...string) *secret.KeyRing {
	t.Helper()
	r, err := secret.ParseKeyRing([]byte(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func lines(n int) string {
	var all []string
	for i := range n {
		all = append(all, line(byte(i)))
	}
	return strings.Join(all, "\n")
}

func TestParseKeyRing(t *testing.T) {
	short := base64.StdEncoding.EncodeToString(make([]byte, 31))
	rows := []struct {
		rule, text string
		ok         bool
	}{
		{"one key", line(1), true},
		{"comments, blank lines, spaces and line ends of Windows", "# old\r\n\r\n  " + line(1) + " \r\n\n#" + line(2) + "\n", true},
		{"sixteen keys", lines(16), true},
		{"seventeen keys", lines(17), false},
		{"nothing", "", false},
		{"only comments", "# nothing\n", false},
		{"31 bytes", short, false},
		{"33 bytes", base64.StdEncoding.EncodeToString(make([]byte, 33)), false},
		{"no base64", strings.Repeat("?", 44), false},
		{"no padding", strings.TrimRight(line(1), "="), false},
		{"spare bits set", strings.Replace(line(0), "A=", "B=", 1), false},
		{"the same key twice", line(1) + "\n" + line(1), false},
		{"a comment behind a key", line(1) + " # new", false},
	}
	for _, r := range rows {
		t.Run(r.rule, func(t *testing.T) {
			_, err := secret.ParseKeyRing([]byte(r.text))
			if (err == nil) != r.ok {
				t.Errorf("error %v, want ok %t", err, r.ok)
			}
		})
	}
}

func TestParseKeyRing_ErrorsAndPrintsHoldNoKey(t *testing.T) {
	key := strings.Repeat("S3cr3t", 6)
	_, err := secret.ParseKeyRing([]byte("\n" + key))
	if err == nil || strings.Contains(err.Error(), "S3cr3t") || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("error %v, want one that names line 2 and not its text", err)
	}
	r := ring(t, line('k'))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, r); got != "secret.KeyRing" {
			t.Errorf("%s prints %q", verb, got)
		}
	}
}

func TestNewKeyLine(t *testing.T) {
	got, err := secret.NewKeyLine(bytes.NewReader(bytes.Repeat([]byte{7}, 32)))
	if err != nil || got != line(7) {
		t.Errorf("NewKeyLine = %q, %v", got, err)
	}
	if _, err := secret.NewKeyLine(bytes.NewReader(make([]byte, 31))); err == nil {
		t.Error("a source that ends early is no error")
	}
}

func TestSeal_RoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old, both := mustRing(t, line(1)), mustRing(t, line(2), line(1))
		purpose := rapid.String().Draw(t, "purpose")
		plain := rapid.SliceOf(rapid.Byte()).Draw(t, "plain")
		bind := rapid.SliceOf(rapid.String()).Draw(t, "bind")
		got, err := both.Open(purpose, old.Seal(purpose, plain, bind...), bind...)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("Open = %x, %v, want %x", got, err, plain)
		}
		if _, err := old.Open(purpose, both.Seal(purpose, plain, bind...), bind...); !errors.Is(err, secret.ErrSealed) {
			t.Fatalf("a ring without the new key opens: %v", err)
		}
	})
}

func mustRing(t *rapid.T, lines ...string) *secret.KeyRing {
	r, err := secret.ParseKeyRing([]byte(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// CR-04: no bit of what is sealed can be changed, nor what it is bound to.
func TestOpen_CR04_Refuses(t *testing.T) {
	r := ring(t, line(1), line(2))
	plain := []byte("attack at dawn")
	sealed := r.Seal("mail", plain, "users", "7")
	rows := []struct {
		rule    string
		purpose string
		sealed  []byte
		bind    []string
	}{
		{"another purpose", "key", sealed, []string{"users", "7"}},
		{"nothing bound", "mail", sealed, nil},
		{"another row", "mail", sealed, []string{"users", "8"}},
		{"bound values split elsewhere", "mail", sealed, []string{"users7", ""}},
		{"bound values in one", "mail", sealed, []string{"users7"}},
		{"one bound value more", "mail", sealed, []string{"users", "7", ""}},
		{"nothing", "mail", nil, []string{"users", "7"}},
		{"a byte more", "mail", append(bytes.Clone(sealed), 0), []string{"users", "7"}},
	}
	for _, row := range rows {
		t.Run(row.rule, func(t *testing.T) {
			if _, err := r.Open(row.purpose, row.sealed, row.bind...); !errors.Is(err, secret.ErrSealed) {
				t.Errorf("Open = %v, want ErrSealed", err)
			}
		})
	}
	for i := range sealed {
		if _, err := r.Open("mail", sealed[:i], "users", "7"); !errors.Is(err, secret.ErrSealed) {
			t.Errorf("the first %d bytes: %v", i, err)
		}
		for bit := range 8 {
			other := bytes.Clone(sealed)
			other[i] ^= 1 << bit
			if _, err := r.Open("mail", other, "users", "7"); !errors.Is(err, secret.ErrSealed) {
				t.Errorf("byte %d, bit %d flipped: %v", i, bit, err)
			}
		}
	}
	if bytes.Equal(sealed, r.Seal("mail", plain, "users", "7")) {
		t.Error("two seals of one text are equal")
	}
	if got := len(sealed) - len(plain); got != 33 {
		t.Errorf("sealing adds %d bytes", got)
	}
}

func TestMAC(t *testing.T) {
	old, both := ring(t, line(1)), ring(t, line(2), line(1))
	mac := old.MAC("cursor", "a", "b")
	rows := []struct {
		rule    string
		ring    *secret.KeyRing
		purpose string
		parts   []string
		want    bool
	}{
		{"the same", old, "cursor", []string{"a", "b"}, true},
		{"an older key of the ring", both, "cursor", []string{"a", "b"}, true},
		{"a ring without the key", ring(t, line(2)), "cursor", []string{"a", "b"}, false},
		{"another purpose", old, "refresh", []string{"a", "b"}, false},
		{"split elsewhere", old, "cursor", []string{"ab", ""}, false},
		{"one part", old, "cursor", []string{"ab"}, false},
		{"a part more", old, "cursor", []string{"a", "b", ""}, false},
		{"another order", old, "cursor", []string{"b", "a"}, false},
		{"nothing", old, "cursor", nil, false},
	}
	for _, r := range rows {
		t.Run(r.rule, func(t *testing.T) {
			if got := r.ring.VerifyMAC(r.purpose, mac[:], r.parts...); got != r.want {
				t.Errorf("VerifyMAC = %t", got)
			}
		})
	}
	if diff := cmp.Diff(mac, old.MAC("cursor", "a", "b")); diff != "" {
		t.Error("MAC is not a function:", diff)
	}
	if old.VerifyMAC("cursor", mac[:31], "a", "b") || old.VerifyMAC("cursor", nil, "a", "b") {
		t.Error("a shortened MAC passes")
	}
}

func FuzzParseKeyRing(f *testing.F) {
	f.Add([]byte(line(1) + "\n#\n\n" + line(2)))
	f.Add([]byte("\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := secret.ParseKeyRing(text)
		if err != nil {
			return
		}
		if got, err := r.Open("p", r.Seal("p", text)); err != nil || !bytes.Equal(got, text) {
			t.Errorf("a ring that parses does not work: %v", err)
		}
	})
}

func FuzzOpen(f *testing.F) {
	r := ring(f, line(1))
	f.Add(r.Seal("p", []byte("x")))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, sealed []byte) {
		if _, err := r.Open("other", sealed); !errors.Is(err, secret.ErrSealed) {
			t.Errorf("Open = %v", err)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	r := ring(b, line(1))
	text := make([]byte, 256)
	for b.Loop() {
		r.Seal("mail", text, "outbox", "7")
	}
}

func BenchmarkMAC(b *testing.B) {
	r := ring(b, line(1))
	for b.Loop() {
		r.MAC("cursor", "a", "b")
	}
}
