package secret_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bizmetry/identity/service/secret"
)

// cheap parameters keep the tests quick; what is tested does not depend on them.
var cheap = secret.Params{MemoryKiB: 64, Time: 1, Threads: 1}

func passwords(t testing.TB, c secret.PasswordsConfig) *secret.Passwords {
	t.Helper()
	if c.Params == (secret.Params{}) {
		c.Params = cheap
	}
	p, err := secret.NewPasswords(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func hash(t testing.TB, p *secret.Passwords, password string) string {
	t.Helper()
	phc, err := p.Hash(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	return phc
}

func TestVerify_PW06(t *testing.T) {
	long := strings.Repeat("a", 72)
	rows := []struct {
		rule, set, tried string
		want             bool
	}{
		{"the same", "correct horse", "correct horse", true},
		{"another", "correct horse", "correct house", false},
		{"different behind 72 bytes", long + "x", long + "y", false},
		{"longer than 72 bytes", long + "x", long + "x", true},
		{"a space before", "secret", " secret", false},
		{"a space behind", "secret", "secret ", false},
		{"a line end behind", "secret", "secret\n", false},
		{"case", "secret", "Secret", false},
		{"composed and decomposed", "caf\u00e9", "cafe\u0301", true},
		{"decomposed and composed", "cafe\u0301", "caf\u00e9", true},
		{"compatibility forms differ", "\ufb01x", "fix", false},
		{"NUL does not end it", "a\x00b", "a\x00c", false},
		{"NUL does not repeat it", "a", "a\x00a", false},
		{"NUL is taken", "a\x00b", "a\x00b", true},
		{"broken UTF-8 is taken as sent", "a\xffb", "a\xffb", true},
		{"broken UTF-8 differs", "a\xffb", "a\xfeb", false},
		{"empty", "", "", true},
		{"empty against some", "a", "", false},
		{"1,024 bytes", strings.Repeat("b", 1024), strings.Repeat("b", 1024), true},
	}
	p := passwords(t, secret.PasswordsConfig{})
	for _, r := range rows {
		t.Run(r.rule, func(t *testing.T) {
			ok, stale, err := p.Verify(t.Context(), r.tried, hash(t, p, r.set))
			if ok != r.want || stale || err != nil {
				t.Errorf("Verify = %t, %t, %v, want %t", ok, stale, err, r.want)
			}
		})
	}
}

func TestPasswords_PW02(t *testing.T) {
	p := passwords(t, secret.PasswordsConfig{})
	for _, size := range []int{1025, 1 << 20} {
		password := strings.Repeat("a", size)
		if _, err := p.Hash(t.Context(), password); !errors.Is(err, secret.ErrTooLong) {
			t.Errorf("Hash of %d bytes: %v", size, err)
		}
		if _, _, err := p.Verify(t.Context(), password, ""); !errors.Is(err, secret.ErrTooLong) {
			t.Errorf("Verify of %d bytes: %v", size, err)
		}
	}
	if p.Runs() != 0 {
		t.Errorf("%d hashes were run", p.Runs())
	}
}

func TestHash(t *testing.T) {
	p := passwords(t, secret.PasswordsConfig{})
	a, b := hash(t, p, "secret"), hash(t, p, "secret")
	if !strings.HasPrefix(a, "$argon2id$v=19$m=64,t=1,p=1$") || a == b {
		t.Errorf("Hash gives %q and %q", a, b)
	}
	_, err := passwords(t, secret.PasswordsConfig{Rand: strings.NewReader("short")}).Hash(t.Context(), "secret")
	if err == nil {
		t.Error("a source that ends early is no error")
	}
}

// Unknown, wrong and right passwords, and ones that a format cannot take,
// run one hash each.
func TestVerify_EqualWork(t *testing.T) {
	p := passwords(t, secret.PasswordsConfig{})
	phc := hash(t, p, "secret")
	bcrypt := "$2b$04$abcdefghijklmnopqrstuuNo0oYF9dF1.QdLBK6qR1G7UdqBPgZXi"
	for _, r := range []struct{ rule, password, phc string }{
		{"right", "secret", phc},
		{"wrong", "wrong", phc},
		{"nobody", "secret", ""},
		{"too much for bcrypt", strings.Repeat("a", 73), bcrypt},
		{"NUL in bcrypt", "a\x00a", bcrypt},
	} {
		before := p.Runs()
		ok, stale, err := p.Verify(t.Context(), r.password, r.phc)
		if ok != (r.rule == "right") || stale || err != nil {
			t.Errorf("%s: Verify = %t, %t, %v", r.rule, ok, stale, err)
		}
		if runs := p.Runs() - before; runs != 1 {
			t.Errorf("%s: %d runs", r.rule, runs)
		}
	}
}

func TestVerify_Stale(t *testing.T) {
	now := secret.Params{MemoryKiB: 128, Time: 2, Threads: 1}
	rows := []struct {
		rule string
		old  secret.Params
		want bool
	}{
		{"the same", now, false},
		{"less memory", secret.Params{MemoryKiB: 64, Time: 2, Threads: 1}, true},
		{"less memory, more passes", secret.Params{MemoryKiB: 64, Time: 8, Threads: 1}, true},
		{"fewer passes", secret.Params{MemoryKiB: 128, Time: 1, Threads: 1}, true},
		{"more of both", secret.Params{MemoryKiB: 256, Time: 3, Threads: 1}, false},
		{"more memory makes up for fewer passes", secret.Params{MemoryKiB: 256, Time: 1, Threads: 1}, false},
	}
	p := passwords(t, secret.PasswordsConfig{Params: now})
	for _, r := range rows {
		t.Run(r.rule, func(t *testing.T) {
			phc := hash(t, passwords(t, secret.PasswordsConfig{Params: r.old}), "secret")
			if ok, stale, err := p.Verify(t.Context(), "secret", phc); !ok || stale != r.want || err != nil {
				t.Errorf("Verify = %t, %t, %v, want stale %t", ok, stale, err, r.want)
			}
			if ok, stale, err := p.Verify(t.Context(), "wrong", phc); ok || stale || err != nil {
				t.Errorf("Verify of a wrong one = %t, %t, %v", ok, stale, err)
			}
		})
	}
}

func TestNewPasswords(t *testing.T) {
	rows := []struct {
		rule   string
		config secret.PasswordsConfig
		ok     bool
	}{
		{"all defaults", secret.PasswordsConfig{}, true},
		{"no queue", secret.PasswordsConfig{Queue: -1}, true},
		{"most memory", secret.PasswordsConfig{Params: secret.Params{MemoryKiB: 128 << 10, Time: 2, Threads: 8}}, true},
		{"more memory than we would verify", secret.PasswordsConfig{Params: secret.Params{MemoryKiB: 128<<10 + 4, Time: 1, Threads: 1}}, false},
		{"more work than we would verify", secret.PasswordsConfig{Params: secret.Params{MemoryKiB: 128 << 10, Time: 3, Threads: 1}}, false},
		{"more passes", secret.PasswordsConfig{Params: secret.Params{MemoryKiB: 64, Time: 11, Threads: 1}}, false},
		{"more threads", secret.PasswordsConfig{Params: secret.Params{MemoryKiB: 1024, Time: 1, Threads: 9}}, false},
		{"too little memory for the threads", secret.PasswordsConfig{Params: secret.Params{MemoryKiB: 8, Time: 1, Threads: 2}}, false},
		{"memory that would be rounded", secret.PasswordsConfig{Params: secret.Params{MemoryKiB: 66, Time: 1, Threads: 1}}, false},
		{"half filled in", secret.PasswordsConfig{Params: secret.Params{MemoryKiB: 64}}, false},
		{"negative slots", secret.PasswordsConfig{Slots: -1}, false},
		{"negative wait", secret.PasswordsConfig{Wait: -1}, false},
	}
	for _, r := range rows {
		t.Run(r.rule, func(t *testing.T) {
			if _, err := secret.NewPasswords(r.config); (err == nil) != r.ok {
				t.Errorf("error %v, want ok %t", err, r.ok)
			}
		})
	}
}

func TestPasswords_DefaultsWork(t *testing.T) {
	p, err := secret.NewPasswords(secret.PasswordsConfig{})
	if err != nil {
		t.Fatal(err)
	}
	phc := hash(t, p, "secret")
	if ok, stale, err := p.Verify(t.Context(), "secret", phc); !ok || stale || err != nil {
		t.Errorf("Verify = %t, %t, %v", ok, stale, err)
	}
	if !strings.HasPrefix(phc, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("Hash gives %q", phc)
	}
}

// Twelve callers at once for one slot and two places: some run, the others are
// refused, none is lost.
func TestPasswords_PF01(t *testing.T) {
	p := passwords(t, secret.PasswordsConfig{Slots: 1, Queue: 2, Wait: time.Minute, Params: secret.Params{MemoryKiB: 32 << 10, Time: 4, Threads: 1}})
	const callers = 12
	errs := make(chan error, callers)
	var start, done sync.WaitGroup
	start.Add(1)
	for range callers {
		done.Go(func() {
			start.Wait()
			_, _, err := p.Verify(t.Context(), "secret", "") // the dummy passes the same gate
			errs <- err
		})
	}
	start.Done()
	done.Wait()
	close(errs)
	busy := 0
	for err := range errs {
		switch {
		case errors.Is(err, secret.ErrBusy):
			busy++
		case err != nil:
			t.Errorf("Verify: %v", err)
		}
	}
	if p.Runs()+uint64(busy) != callers || busy == 0 || p.Runs() < 3 {
		t.Errorf("%d ran and %d were refused of %d", p.Runs(), busy, callers)
	}
}

func TestPasswords_ContextEnds(t *testing.T) {
	p := passwords(t, secret.PasswordsConfig{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Hash(ctx, "secret"); !errors.Is(err, context.Canceled) || p.Runs() != 0 {
		t.Errorf("Hash = %v after %d runs", err, p.Runs())
	}
}

// The gate itself, in a bubble with a clock of its own.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := passwords(t, secret.PasswordsConfig{Slots: 1, Queue: 2, Wait: time.Second})
		leave := secret.Occupy(p)

		waited := make(chan error, 2)
		begin := time.Now()
		go func() { _, err := p.Hash(t.Context(), "a"); waited <- err }()
		short, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		go func() { _, _, err := p.Verify(short, "a", ""); waited <- err }()
		synctest.Wait()

		if _, err := p.Hash(t.Context(), "a"); !errors.Is(err, secret.ErrBusy) || time.Since(begin) != 0 {
			t.Errorf("third in the queue: %v after %v, want ErrBusy at once", err, time.Since(begin))
		}
		if err := <-waited; !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Second/2 {
			t.Errorf("impatient: %v after %v", err, time.Since(begin))
		}
		if err := <-waited; !errors.Is(err, secret.ErrBusy) || time.Since(begin) != time.Second {
			t.Errorf("patient: %v after %v", err, time.Since(begin))
		}

		go func() { _, err := p.Hash(t.Context(), "a"); waited <- err }()
		synctest.Wait()
		leave()
		if err := <-waited; err != nil || p.Runs() != 1 {
			t.Errorf("a freed slot: %v, %d runs", err, p.Runs())
		}
	})
}

// A hash with much memory takes the slots that it fills, at most half. Costly
// ones come one at a time: however many wait, one of ours waits for one of them.
func TestGate_PF08_Memory(t *testing.T) {
	salt, key := raw.EncodeToString(make([]byte, 16)), raw.EncodeToString(make([]byte, 32))
	argon := func(memory string) string { return "$argon2id$v=19$m=" + memory + ",t=1,p=1$" + salt + "$" + key }
	synctest.Test(t, func(t *testing.T) {
		p := passwords(t, secret.PasswordsConfig{Slots: 6, Queue: 3, Wait: time.Second, Params: secret.Params{MemoryKiB: 64, Time: 1, Threads: 1}})
		for phc, want := range map[string]int{
			argon("8"): 1, argon("64"): 1, argon("65"): 2, argon("128"): 2, argon("192"): 3, argon("1024"): 3,
			"$scrypt$ln=7,r=8,p=1$" + salt + "$" + key:                          2,
			"$pbkdf2-sha256$500000$" + salt + "$" + key:                         1,
			"$2b$12$" + strings.Repeat("a", 21) + "u" + strings.Repeat("a", 31): 1,
		} {
			if n, err := secret.SlotsOf(p, phc); n != want || err != nil {
				t.Errorf("%.30s: %d slots, %v, want %d", phc, n, err, want)
			}
		}

		p = passwords(t, secret.PasswordsConfig{Slots: 1, Queue: 8, Wait: time.Second, Params: secret.Params{MemoryKiB: 64, Time: 1, Threads: 1}})
		leave := secret.Occupy(p)
		ended := make(chan string, 4)
		for range 3 { // one that is next, and two behind it
			go func() { _, _, _ = p.Verify(t.Context(), "a", argon("1024")); ended <- "large" }()
			synctest.Wait()
		}
		if _, _, err := p.Verify(t.Context(), "a", argon("1024")); !errors.Is(err, secret.ErrBusy) {
			t.Errorf("one more than may wait: %v", err)
		}
		go func() { _, _ = p.Hash(t.Context(), "a"); ended <- "small" }()
		synctest.Wait()
		if len(ended) != 0 || p.Runs() != 0 {
			t.Errorf("%d runs beside one that is in the way", p.Runs())
		}
		leave()
		synctest.Wait()
		if first, second := <-ended, <-ended; first != "large" || second != "small" {
			t.Errorf("a %s one came first, then a %s one", first, second)
		}
		<-ended
		<-ended
	})
}

func BenchmarkHash(b *testing.B) {
	p, err := secret.NewPasswords(secret.PasswordsConfig{})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := p.Hash(b.Context(), "secret"); err != nil {
			b.Fatal(err)
		}
	}
}
