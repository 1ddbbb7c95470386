package secret_test

import (
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/bizmetry/identity/service/secret"
)

func TestRefreshToken(t *testing.T) {
	shape := regexp.MustCompile(`^bmr_[0-9A-Za-z]{22}_[1-9][0-9]*_[0-9A-Za-z]{43}$`)
	rapid.Check(t, func(t *rapid.T) {
		old, both := mustRing(t, line(1)), mustRing(t, line(2), line(1))
		session := uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "session")).String()
		generation := rapid.Int64Range(1, math.MaxInt64).Draw(t, "generation")
		text := secret.RefreshToken(old, session, generation)
		if !shape.MatchString(text) {
			t.Fatalf("token %q", text)
		}
		gotSession, gotGeneration, ok := secret.ParseRefreshToken(both, text)
		if !ok || gotSession != session || gotGeneration != generation {
			t.Fatalf("ParseRefreshToken = %q, %d, %t", gotSession, gotGeneration, ok)
		}
		if _, _, ok := secret.ParseRefreshToken(mustRing(t, line(2)), text); ok {
			t.Fatal("a ring without the key takes the token")
		}
	})
}

func TestRefreshToken_PanicsOnMistakes(t *testing.T) {
	rows := []struct {
		rule, session string
		generation    int64
	}{
		{"no UUID", "7", 1},
		{"capital letters", strings.ToUpper(id), 1},
		{"generation 0", id, 0},
		{"generation -1", id, -1},
	}
	for _, r := range rows {
		t.Run(r.rule, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			secret.RefreshToken(ring(t, line(1)), r.session, r.generation)
		})
	}
}

func TestParseRefreshToken_Refuses(t *testing.T) {
	k := ring(t, line(1))
	text := secret.RefreshToken(k, id, 12)
	other := secret.RefreshToken(k, id, 13)
	session, mac := text[4:26], text[30:]
	rows := []struct{ rule, text string }{
		{"nothing", ""},
		{"a megabyte", "bmr_" + strings.Repeat("1", 1<<20)},
		{"a machine secret's prefix", "bms" + text[3:]},
		{"the MAC of another generation", text[:30] + other[30:]},
		{"a leading zero", "bmr_" + session + "_012_" + mac},
		{"a plus", "bmr_" + session + "_+12_" + mac},
		{"a minus", "bmr_" + session + "_-12_" + mac},
		{"no generation", "bmr_" + session + "__" + mac + "0"},
		{"generation 0", "bmr_" + session + "_0_" + mac},
		{"beyond int64", "bmr_" + session + "_9223372036854775808_" + mac},
		{"a part more", text + "_1"},
		{"a MAC that overflows", "bmr_" + session + "_12_" + strings.Repeat("Z", 43)},
		{"an id that overflows", "bmr_" + strings.Repeat("Z", 22) + "_12_" + mac},
	}
	for _, r := range rows {
		t.Run(r.rule, func(t *testing.T) {
			if session, generation, ok := secret.ParseRefreshToken(k, r.text); ok || session != "" || generation != 0 {
				t.Errorf("ParseRefreshToken = %q, %d, %t", session, generation, ok)
			}
		})
	}
}

func TestParseRefreshToken_RG34(t *testing.T) {
	k := ring(t, line(1))
	text := secret.RefreshToken(k, id, 12)
	for i := range text {
		if _, _, ok := secret.ParseRefreshToken(k, text[:i]); ok {
			t.Errorf("the first %d characters pass", i)
		}
		if _, _, ok := secret.ParseRefreshToken(k, text[i+1:]); ok {
			t.Errorf("all but the first %d characters pass", i+1)
		}
		for c := range 256 {
			other := text[:i] + string([]byte{byte(c)}) + text[i+1:]
			if _, _, ok := secret.ParseRefreshToken(k, other); ok && other != text {
				t.Errorf("character %d as %#x passes", i, c)
			}
		}
	}
}

func FuzzParseRefreshToken(f *testing.F) {
	k := ring(f, line(1))
	f.Add(secret.RefreshToken(k, id, 1))
	f.Add(secret.RefreshToken(k, id, math.MaxInt64))
	f.Add("bmr___")
	f.Fuzz(func(t *testing.T, text string) {
		session, generation, ok := secret.ParseRefreshToken(k, text)
		if ok && secret.RefreshToken(k, session, generation) != text {
			t.Errorf("%q is a second text of session %s, generation %d", text, session, generation)
		}
	})
}
