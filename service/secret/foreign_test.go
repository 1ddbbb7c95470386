package secret_test

import (
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/scrypt"

	"github.com/bizmetry/identity/service/secret"
)

var raw = base64.RawStdEncoding

// adapted is passlib's base64, with dots for pluses.
func adapted(b []byte) string { return strings.ReplaceAll(raw.EncodeToString(b), "+", ".") }

// Hashes of "Hello world!" made by other code than the one under test.
func foreign(t *testing.T) map[string]string {
	t.Helper()
	const password = "Hello world!"
	salt := []byte("0123456789abcdef")
	blow, err := bcrypt.GenerateFromPassword([]byte(password), 4)
	if err != nil {
		t.Fatal(err)
	}
	s, err := scrypt.Key([]byte(password), salt, 1<<10, 8, 1, 32)
	if err != nil {
		t.Fatal(err)
	}
	p1, err := pbkdf2.Key(sha1.New, password, salt, 1000, 20)
	if err != nil {
		t.Fatal(err)
	}
	p512, err := pbkdf2.Key(sha512.New, password, salt, 1000, 64)
	if err != nil {
		t.Fatal(err)
	}
	id := argon2.IDKey([]byte(password), salt, 1, 64, 2, 32)
	i := argon2.Key([]byte(password), salt, 1, 64, 1, 32)
	tail := func(key []byte) string { return raw.EncodeToString(salt) + "$" + raw.EncodeToString(key) }
	return map[string]string{
		"bcrypt 2a":     string(blow),
		"bcrypt 2y":     "$2y" + string(blow[3:]),
		"bcrypt 2b":     "$2b" + string(blow[3:]),
		"scrypt":        "$scrypt$ln=10,r=8,p=1$" + tail(s),
		"pbkdf2 SHA-1":  "$pbkdf2$1000$" + adapted(salt) + "$" + adapted(p1),
		"pbkdf2 512":    "$pbkdf2-sha512$1000$" + adapted(salt) + "$" + adapted(p512),
		"argon2id":      "$argon2id$v=19$m=64,t=1,p=2$" + tail(id),
		"argon2i":       "$argon2i$v=19$m=64,t=1,p=1$" + tail(i),
		"LDAP argon2":   "{ARGON2}$argon2id$v=19$m=64,t=1,p=2$" + tail(id),
		"SHA-256 crypt": "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", // by openssl passwd
		"SHA-512 crypt": "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
		"SHA-512 crypt with rounds": "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sb" +
			"HbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
	}
}

func TestVerify_Foreign(t *testing.T) {
	p := passwords(t, secret.PasswordsConfig{Params: secret.Params{MemoryKiB: 128, Time: 1, Threads: 1}})
	for name, phc := range foreign(t) {
		t.Run(name, func(t *testing.T) {
			if ok, stale, err := p.Verify(t.Context(), "Hello world!", phc); !ok || !stale || err != nil {
				t.Errorf("Verify = %t, %t, %v, want a stale match", ok, stale, err)
			}
			if ok, stale, err := p.Verify(t.Context(), "Hello world?", phc); ok || stale || err != nil {
				t.Errorf("Verify of a wrong one = %t, %t, %v", ok, stale, err)
			}
		})
	}
}

// bcrypt reads 72 bytes and repeats around NUL; neither may widen a password.
func TestVerify_PW06_Bcrypt(t *testing.T) {
	p := passwords(t, secret.PasswordsConfig{})
	long := strings.Repeat("a", 72)
	rows := []struct {
		rule, set, tried string
		want             bool
	}{
		{"72 bytes", long, long, true},
		{"different behind 72 bytes", long, long + "x", false},
		{"repeated around NUL", "ab", "ab\x00ab", false},
	}
	for _, r := range rows {
		t.Run(r.rule, func(t *testing.T) {
			phc, err := bcrypt.GenerateFromPassword([]byte(r.set), 4)
			if err != nil {
				t.Fatal(err)
			}
			if ok, _, err := p.Verify(t.Context(), r.tried, string(phc)); ok != r.want || err != nil {
				t.Errorf("Verify = %t, %v, want %t", ok, err, r.want)
			}
		})
	}
}

// PW-24, PF-08: hostile or unknown stored hashes are refused, not run.
func TestVerify_PF08(t *testing.T) {
	salt, key := raw.EncodeToString(make([]byte, 16)), raw.EncodeToString(make([]byte, 32))
	argon := func(kind, params string) string { return "$" + kind + "$" + params + "$" + salt + "$" + key }
	blow := strings.Repeat("a", 21) + "u" + strings.Repeat("a", 31)
	rows := []struct{ rule, phc string }{
		{"argon2id, 4 GiB", argon("argon2id", "v=19$m=4194304,t=1,p=1")},
		{"argon2i, 4 GiB", argon("argon2i", "v=19$m=4194304,t=1,p=1")},
		{"argon2d, 4 GiB", argon("argon2d", "v=19$m=4194304,t=1,p=1")},
		{"4 GiB where the version stands", argon("argon2id", "m=4194304$v=19,t=1,p=1")},
		{"4 GiB said second", argon("argon2id", "v=19$m=64,t=1,p=1,m=4194304")},
		{"4 GiB behind a longer list", argon("argon2id", "v=19,m=4194304$t=1,p=1")},
		{"11 passes", argon("argon2id", "v=19$m=64,t=11,p=1")},
		{"2^32-1 passes", argon("argon2id", "v=19$m=64,t=4294967295,p=1")},
		{"9 threads", argon("argon2id", "v=19$m=1024,t=1,p=9")},
		{"less memory than the threads need", argon("argon2id", "v=19$m=8,t=1,p=4")},
		{"a key of 8 bytes", "$argon2id$v=19$m=64,t=1,p=1$" + salt + "$" + raw.EncodeToString(make([]byte, 8))},
		{"a key of 97 bytes", "$argon2id$v=19$m=64,t=1,p=1$" + salt + "$" + raw.EncodeToString(make([]byte, 97))},
		{"bcrypt 31", "$2a$31$" + blow},
		{"bcrypt 3", "$2b$03$" + blow},
		{"bcrypt -1", "$2b$-1$" + blow},
		{"bcrypt 64", "$2b$64$" + blow},
		{"broken bcrypt", "$2x$10$" + blow},
		{"pbkdf2, 2^31 rounds", "$pbkdf2-sha512$2147483648$" + salt + "$" + key},
		{"pbkdf2, no rounds", "$pbkdf2-sha256$0$" + salt + "$" + key},
		{"pbkdf2, -1 rounds", "$pbkdf2-sha256$-1$" + salt + "$" + key},
		{"LDAP pbkdf2, 2^31 rounds", "{PBKDF2-SHA256}2147483648$" + salt + "$" + key},
		{"scrypt, 512 MiB", argon("scrypt", "ln=19,r=8,p=1")},
		{"scrypt, 2^63", argon("scrypt", "ln=63,r=8,p=1")},
		{"scrypt, 2^64", argon("scrypt", "ln=64,r=8,p=1")},
		{"scrypt, r that overflows", argon("scrypt", "ln=1,r=9223372036854775807,p=1")},
		{"scrypt, p that overflows", argon("scrypt", "ln=1,r=1,p=9223372036854775807")},
		{"scrypt, negative", argon("scrypt", "ln=-1,r=8,p=1")},
		{"scrypt, zero", argon("scrypt", "ln=10,r=0,p=1")},
		{"SHA-crypt, 10^9 rounds", "$6$rounds=999999999$saltstring$" + strings.Repeat("a", 86)},
		{"SHA-crypt, few rounds", "$5$rounds=1$saltstring$" + strings.Repeat("a", 43)},
		{"yescrypt", "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7"},
		{"MD5-crypt", "$1$salt$qJH7.N4xYta3aEG/dfqo/0"},
		{"plain text", "$plaintext$secret"},
		{"a word", "secret"},
		{"a dollar", "$"},
		{"dollars", "$$$$$$"},
		{"no parameters", "$argon2id$v=19$$" + salt + "$" + key},
		{"513 characters", argon("argon2id", "v=19$m=64,t=1,p=1") + strings.Repeat("A", 513)},
	}
	p := passwords(t, secret.PasswordsConfig{})
	for _, r := range rows {
		t.Run(r.rule, func(t *testing.T) {
			begin := time.Now()
			ok, stale, err := p.Verify(t.Context(), "secret", r.phc)
			if ok || stale || !errors.Is(err, secret.ErrHash) {
				t.Errorf("Verify = %t, %t, %v, want ErrHash", ok, stale, err)
			}
			if took := time.Since(begin); p.Runs() != 0 || took > time.Second {
				t.Errorf("%d runs in %v", p.Runs(), took)
			}
			if err != nil && (strings.Contains(err.Error(), salt) || strings.Contains(err.Error(), key)) {
				t.Errorf("the error quotes the hash: %v", err)
			}
		})
	}
}

// What is imported costs at most twice one of ours.
func TestCheckHash_Imported(t *testing.T) {
	text := func(size int) string { return raw.EncodeToString(make([]byte, size)) }
	tail := "$" + text(16) + "$"
	blow := strings.Repeat("a", 21) + "u" + strings.Repeat("a", 31)
	rows := []struct {
		rule, phc string
		ok        bool
	}{
		{"ours", "$argon2id$v=19$m=19456,t=2,p=1" + tail + text(32), true},
		{"argon2id, twice ours", "$argon2id$v=19$m=19456,t=4,p=1" + tail + text(32), true},
		{"argon2id, more", "$argon2id$v=19$m=19456,t=5,p=1" + tail + text(32), false},
		{"argon2id of PHP", "$argon2id$v=19$m=65536,t=4,p=1" + tail + text(32), false},
		{"bcrypt 10", "$2b$10$" + blow, true},
		{"bcrypt 11", "$2b$11$" + blow, false},
		{"bcrypt 4", "$2y$04$" + blow, true},
		{"pbkdf2 SHA-256, 250,000", "$pbkdf2-sha256$250000" + tail + text(32), true},
		{"pbkdf2 SHA-256, 260,000", "$pbkdf2-sha256$260000" + tail + text(32), false},
		{"scrypt of 16 MiB", "$scrypt$ln=14,r=8,p=1" + tail + text(32), true},
		{"scrypt of 128 MiB", "$scrypt$ln=17,r=8,p=1" + tail + text(32), false},
		{"SHA-512 crypt as usual", "$6$saltstring$" + strings.Repeat("a", 86), true},
		{"SHA-512 crypt, 200,000", "$6$rounds=200000$saltstring$" + strings.Repeat("a", 86), false},
	}
	p := passwords(t, secret.PasswordsConfig{})
	for _, r := range rows {
		if err := p.CheckHash(r.phc); (err == nil) != r.ok || (err != nil && !errors.Is(err, secret.ErrHash)) {
			t.Errorf("%s: %v, want ok %t", r.rule, err, r.ok)
		}
	}
}

// Passwords whose marks were typed apart verify against hashes of either form.
func TestVerify_FormsOfUnicode(t *testing.T) {
	typed, composed := "Zoe\u0308#Horse8battery", "Zo\u00eb#Horse8battery"
	of := func(password string) string {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		return string(hash)
	}
	p := passwords(t, secret.PasswordsConfig{Params: secret.Params{MemoryKiB: 128, Time: 1, Threads: 1}})
	ours, err := p.Hash(t.Context(), typed)
	if err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		rule, hash, password string
		ok                   bool
	}{
		{"hashed apart, typed apart", of(typed), typed, true},
		{"hashed composed, typed apart", of(composed), typed, true},
		{"hashed composed, typed composed", of(composed), composed, true},
		{"hashed apart, typed composed", of(typed), composed, false}, // nobody knows how it was typed then
		{"ours, typed apart", ours, typed, true},
		{"ours, typed composed", ours, composed, true},
		{"another password", of(typed), typed + "x", false},
	}
	for _, r := range rows {
		if ok, _, err := p.Verify(t.Context(), r.password, r.hash); err != nil || ok != r.ok {
			t.Errorf("%s: %v, %v", r.rule, ok, err)
		}
	}
	before := p.Runs()
	for _, hash := range []string{"", ours, of(typed)} { // the work does not tell whose hash it is
		if _, _, err := p.Verify(t.Context(), typed+"x", hash); err != nil {
			t.Fatal(err)
		}
	}
	if n := p.Runs() - before; n != 6 {
		t.Errorf("%d hashes for three checks of two forms", n)
	}
}

// The bounds: of every kind the most costly hash that is verified, and the first
// that is not. Real systems' parameters are within.
func TestVerify_PF08_Bounds(t *testing.T) {
	text := func(size int) string { return raw.EncodeToString(make([]byte, size)) }
	tail := "$" + text(16) + "$"
	blow := strings.Repeat("a", 21) + "u" + strings.Repeat("a", 31)
	crypt := "$saltstring$" + strings.Repeat("a", 86)
	rows := []struct {
		rule, phc string
		ok        bool
	}{
		{"argon2id, most memory", "$argon2id$v=19$m=131072,t=2,p=8" + tail + text(96), true},
		{"argon2id, more memory", "$argon2id$v=19$m=131073,t=1,p=1" + tail + text(32), false},
		{"argon2id, more work", "$argon2id$v=19$m=131072,t=3,p=1" + tail + text(32), false},
		{"argon2i, most passes", "$argon2i$v=19$m=26214,t=10,p=1" + tail + text(32), true},
		{"argon2i, more work", "$argon2i$v=19$m=26215,t=10,p=1" + tail + text(32), false},
		{"argon2id, most passes with much memory", "$argon2id$v=19$m=262144,t=10,p=1" + tail + text(32), false},
		{"argon2id of RFC 9106 for little memory", "$argon2id$v=19$m=65536,t=3,p=4" + tail + text(32), true},
		{"argon2id of PHP", "$argon2id$v=19$m=65536,t=4,p=1" + tail + text(32), true},
		{"argon2id of Django", "$argon2id$v=19$m=102400,t=2,p=8" + tail + text(32), true},
		{"bcrypt 12", "$2b$12$" + blow, true},
		{"bcrypt 13", "$2b$13$" + blow, false},
		{"pbkdf2 SHA-1, most", "$pbkdf2$1300000" + tail + text(20), true},
		{"pbkdf2 SHA-1, more", "$pbkdf2$1300001" + tail + text(20), false},
		{"pbkdf2 SHA-1, most for two pieces", "$pbkdf2$650000" + tail + text(21), true},
		{"pbkdf2 SHA-1, more for two pieces", "$pbkdf2$650001" + tail + text(21), false},
		{"pbkdf2 SHA-224, most", "$pbkdf2-sha224$1500000" + tail + text(28), true},
		{"pbkdf2 SHA-224, more", "$pbkdf2-sha224$1500000" + tail + text(29), false},
		{"pbkdf2 SHA-256, most", "$pbkdf2-sha256$1500000" + tail + text(32), true},
		{"pbkdf2 SHA-256, more", "$pbkdf2-sha256$1500001" + tail + text(32), false},
		{"pbkdf2 SHA-256, more pieces", "$pbkdf2-sha256$1500000" + tail + text(33), false},
		{"pbkdf2 SHA-256 of Django", "$pbkdf2-sha256$1200000" + tail + text(32), true},
		{"pbkdf2 SHA-384, most", "$pbkdf2-sha384$500000" + tail + text(48), true},
		{"pbkdf2 SHA-384, more", "$pbkdf2-sha384$500001" + tail + text(48), false},
		{"pbkdf2 SHA-512, most", "$pbkdf2-sha512$500000" + tail + text(64), true},
		{"pbkdf2 SHA-512, more", "$pbkdf2-sha512$500001" + tail + text(64), false},
		{"pbkdf2 SHA-512, more pieces", "$pbkdf2-sha512$500000" + tail + text(65), false},
		{"scrypt, most memory", "$scrypt$ln=17,r=8,p=1" + tail + text(32), true},
		{"scrypt, more memory", "$scrypt$ln=18,r=8,p=1" + tail + text(32), false},
		{"scrypt, more lanes", "$scrypt$ln=17,r=8,p=2" + tail + text(32), false},
		{"scrypt, most lanes", "$scrypt$ln=13,r=8,p=16" + tail + text(32), true},
		{"scrypt, lanes", "$scrypt$ln=12,r=8,p=17" + tail + text(32), false},
		{"scrypt, largest blocks", "$scrypt$ln=14,r=64,p=1" + tail + text(32), true},
		{"scrypt, larger blocks", "$scrypt$ln=10,r=65,p=1" + tail + text(32), false},
		{"scrypt, smaller blocks", "$scrypt$ln=10,r=7,p=1" + tail + text(32), false},
		{"scrypt of Django", "$scrypt$ln=14,r=8,p=5" + tail + text(64), true},
		{"scrypt of Werkzeug", "$scrypt$ln=15,r=8,p=1" + tail + text(64), true},
		{"SHA-512 crypt, most", "$6$rounds=656000" + crypt, true},
		{"SHA-512 crypt, more", "$6$rounds=656001" + crypt, false},
		{"SHA-256 crypt, most", "$5$rounds=656000" + crypt[:len(crypt)-43], true},
		{"SHA-256 crypt, more", "$5$rounds=656001" + crypt[:len(crypt)-43], false},
	}
	p := passwords(t, secret.PasswordsConfig{})
	for _, r := range rows {
		if err := p.Affordable(r.phc); (err == nil) != r.ok || (err != nil && !errors.Is(err, secret.ErrHash)) {
			t.Errorf("%s: %v, want ok %t", r.rule, err, r.ok)
		}
	}
}

// SHA-crypt reads the password in every round: what both cost together is bounded.
func TestVerify_PF08_SHACrypt(t *testing.T) {
	long := strings.Repeat("a", 1024)
	for _, r := range []struct {
		rule, rounds, password string
		run                    bool // as what it is, not as the dummy
	}{
		{"the usual rounds, a long password", "5000", long, true},
		{"most rounds for a long password", "77176", long, true},
		{"more rounds for a long password", "77177", long, false},
		{"most rounds, a password of 64 bytes", "656000", long[:64], true},
		{"most rounds, one of 65", "656000", long[:65], false},
	} {
		p := passwords(t, secret.PasswordsConfig{})
		if taken, err := secret.Takes(p, "$6$rounds="+r.rounds+"$saltstring$"+strings.Repeat("a", 86), r.password); taken != r.run || err != nil {
			t.Errorf("%s: %t, %v", r.rule, taken, err)
		}
	}
}

// Whatever a row holds, reading it neither panics nor passes a cost beyond the
// bounds. Nothing is run: that would make the fuzzing too slow.
func FuzzRead(f *testing.F) {
	f.Add("$argon2id$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$2b$10$abcdefghijklmnopqrstuuNo0oYF9dF1.QdLBK6qR1G7UdqBPgZXi")
	f.Add("$scrypt$ln=10,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$pbkdf2-sha256$1000$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("{PBKDF2-SHA256}1000$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$6$rounds=1000$salt$" + strings.Repeat("a", 86))
	p := passwords(f, secret.PasswordsConfig{})
	f.Fuzz(func(t *testing.T, phc string) {
		text, err := secret.Read(p, phc)
		if err != nil {
			if !errors.Is(err, secret.ErrHash) {
				t.Errorf("error %v", err)
			}
			return
		}
		var m, passes, threads int
		if parts := strings.Split(text, "$"); strings.HasPrefix(parts[1], "argon2") {
			_, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &m, &passes, &threads)
			if err != nil || m > 128<<10 || m*passes > 256<<10 || passes > 10 || threads > 8 {
				t.Errorf("%q would run as %q", phc, text)
			}
		}
	})
}
