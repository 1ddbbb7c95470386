package token_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/bizmetry/identity/service/token"
)

// Times are there, whole, and now is within them.
func TestVerify_TK03(t *testing.T) {
	unix := now.Unix()
	number := func(text string) json.Number { return json.Number(text) }
	rows := []struct {
		rule  string
		claim string
		value any
		ok    bool
	}{
		{"no exp", "exp", nil, false},
		{"exp a second ahead", "exp", unix + 1, true},
		{"exp is now", "exp", unix, false},
		{"exp is past", "exp", unix - 1, false},
		{"exp of null", "exp", json.RawMessage("null"), false},
		{"exp of zero", "exp", 0, false},
		{"exp of -1", "exp", -1, false},
		{"exp of 1e308", "exp", number("1e308"), false},
		{"exp of 10^308 in digits", "exp", number("1" + strings.Repeat("0", 308)), false},
		{"exp of 1e10", "exp", number("1e10"), false},
		{"exp of 2^63", "exp", number("9223372036854775808"), false},
		{"exp of 2^63-1", "exp", number("9223372036854775807"), true},
		{"exp of -2^63", "exp", number("-9223372036854775808"), false},
		{"exp with a fraction", "exp", float64(unix) + 900.5, false},
		{"exp as text", "exp", "4102444800", false},
		{"exp as word", "exp", "never", false},
		{"exp as list", "exp", []int64{unix + 900}, false},
		{"exp as object", "exp", map[string]int64{"exp": unix + 900}, false},
		{"exp of true", "exp", true, false},
		{"no iat", "iat", nil, false},
		{"iat long ago", "iat", 1, true},
		{"iat 60 s ahead", "iat", unix + 60, true},
		{"iat 61 s ahead", "iat", unix + 61, false},
		{"iat as text", "iat", "1", false},
		{"iat of -1", "iat", -1, false},
		{"iat of 1e308", "iat", number("1e308"), false},
		{"no nbf", "nbf", nil, true},
		{"nbf is now", "nbf", unix, true},
		{"nbf a second ahead", "nbf", unix + 1, false},
		{"nbf as text", "nbf", "1", false},
		{"nbf of -1", "nbf", -1, false},
		{"nbf of 1e308", "nbf", number("1e308"), false},
	}
	k := newKey(t, now)
	r := newRing(t, k)
	for _, row := range rows {
		t.Run(row.rule, func(t *testing.T) {
			text := forge(t, k.Private, header(t, k, nil), payload(t, map[string]any{row.claim: row.value}))
			accepts(t, r, text, want, row.ok)
		})
	}
	text := sign(t, r, claims())
	for after, ok := range map[time.Duration]bool{
		899 * time.Second: true, 899*time.Second + 999*time.Millisecond: true, 900 * time.Second: false,
		-1 * time.Second: false, // nbf
	} {
		w := want
		w.Now = now.Add(after)
		accepts(t, r, text, w, ok)
	}
	w := want
	w.Now = time.Time{}
	accepts(t, r, text, w, false) // a forgotten clock refuses
}

// Tokens of other kinds, truly signed by us, are no access tokens.
func TestVerify_TK04(t *testing.T) {
	rows := []struct {
		rule string
		typ  any
		ok   bool
	}{
		{"at+jwt", "at+jwt", true},
		{"AT+JWT", "AT+JWT", true},
		{"application/at+jwt", "application/at+jwt", true},
		{"Application/At+Jwt", "Application/At+Jwt", true},
		{"absent", nil, false},
		{"empty", "", false},
		{"JWT", "JWT", false},
		{"activation", "activation+jwt", false},
		{"refresh", "rt+jwt", false},
		{"ID token", "id_token+jwt", false},
		{"logout", "logout+jwt", false},
		{"assertion", "client-authentication+jwt", false},
		{"DPoP", "dpop+jwt", false},
		{"introspection", "token-introspection+jwt", false},
		{"at+jwt with a space", "at+jwt ", false},
		{"text/at+jwt", "text/at+jwt", false},
		{"application/application/at+jwt", "application/application/at+jwt", false},
		{"Kelvin sign", "at+jwt\u212a", false},
		{"a list", []string{"at+jwt"}, false},
		{"null", json.RawMessage("null"), false},
	}
	k := newKey(t, now)
	r := newRing(t, k)
	for _, row := range rows {
		t.Run(row.rule, func(t *testing.T) {
			accepts(t, r, forge(t, k.Private, header(t, k, map[string]any{"typ": row.typ}), payload(t, nil)), want, row.ok)
		})
	}
}

// Issuer and audience are asked for and matched, never skipped.
func TestVerify_TK05(t *testing.T) {
	rows := []struct {
		rule string
		want token.Want
		ok   bool
	}{
		{"both match", token.Want{Issuer: issuer, Audience: audience}, true},
		{"the token's other audience", token.Want{Issuer: issuer, Audience: "https://other.example.com"}, true},
		{"another service", token.Want{Issuer: issuer, Audience: "https://third.example.com"}, false},
		{"a prefix", token.Want{Issuer: issuer, Audience: audience[:len(audience)-1]}, false},
		{"a slash more", token.Want{Issuer: issuer, Audience: audience + "/"}, false},
		{"another case", token.Want{Issuer: issuer, Audience: strings.ToUpper(audience)}, false},
		{"no audience asked for", token.Want{Issuer: issuer}, false},
		{"whatever audience, for looking at it", token.Want{Issuer: issuer, AnyAudience: true}, true},
		{"both fields", token.Want{Issuer: issuer, Audience: audience, AnyAudience: true}, false},
		{"no issuer asked for", token.Want{Audience: audience}, false},
		{"another issuer", token.Want{Issuer: "https://evil.example.com", Audience: audience}, false},
		{"issuer with a slash more", token.Want{Issuer: issuer + "/", Audience: audience}, false},
	}
	k := newKey(t, now)
	r := newRing(t, k)
	text := sign(t, r, claims())
	for _, row := range rows {
		t.Run(row.rule, func(t *testing.T) {
			row.want.Now = now
			accepts(t, r, text, row.want, row.ok)
		})
	}
	for rule, value := range map[string]any{
		"absent": nil, "null": json.RawMessage("null"), "empty": []string{}, "of nothing": []string{""}, "with an empty one": []string{audience, ""},
		"text": audience, "number": 1, "numbers": []int{1}, "object": map[string]bool{audience: true}, "nested": [][]string{{audience}},
		"elsewhere": []string{"https://third.example.com"},
	} {
		t.Run("aud "+rule, func(t *testing.T) {
			text := forge(t, k.Private, header(t, k, nil), payload(t, map[string]any{"aud": value}))
			accepts(t, r, text, want, false)
			accepts(t, r, text, token.Want{Issuer: issuer, Now: now}, false)
			accepts(t, r, text, token.Want{Issuer: issuer, Now: now, AnyAudience: true}, rule == "elsewhere")
		})
	}
}

func TestVerify_RequiredClaims(t *testing.T) {
	k := newKey(t, now)
	r := newRing(t, k)
	check := func(rule string, ok bool, body string) {
		t.Run(rule, func(t *testing.T) { accepts(t, r, forge(t, k.Private, header(t, k, nil), body), want, ok) })
	}
	for _, name := range []string{"iss", "sub", "aud", "exp", "iat", "jti", "client_id", "org"} {
		check("no "+name, false, payload(t, map[string]any{name: nil}))
		check(name+" of null", false, payload(t, map[string]any{name: json.RawMessage("null")}))
		check(name+" of true", false, payload(t, map[string]any{name: true}))
		check(name+" in capitals", false, payload(t, map[string]any{name: nil, strings.ToUpper(name): "x"}))
	}
	for _, name := range []string{"iss", "sub", "jti", "client_id", "org"} {
		check("empty "+name, false, payload(t, map[string]any{name: ""}))
		check(name+" as number", false, payload(t, map[string]any{name: 1}))
	}
	for _, name := range []string{"scope", "principal_type", "cred", "sid"} {
		check("no "+name, true, payload(t, map[string]any{name: nil}))
		check(name+" as number", false, payload(t, map[string]any{name: 1}))
		check(name+" as list", false, payload(t, map[string]any{name: []string{"x"}}))
	}
	for _, name := range []string{"org_epoch", "epoch"} {
		check(name+" as text", false, payload(t, map[string]any{name: "1"}))
		check(name+" negative", false, payload(t, map[string]any{name: -1}))
		check(name+" of 1e308", false, payload(t, map[string]any{name: json.Number("1e308")}))
		check(name+" with a fraction", false, payload(t, map[string]any{name: 1.5}))
	}
	good := payload(t, nil)
	check("a claim of later versions", true, payload(t, map[string]any{"act": map[string]any{"sub": "a"}}))
	check("org twice", false, good[:len(good)-1]+`,"org":"o2"}`)
	check("two objects", false, good+good)
	check("something behind", false, good+"x")
	check("a list", false, "["+good+"]")
	check("null", false, "null")
	check("nothing", false, "")
	check("broken UTF-8", false, strings.Replace(good, `"u1"`, "\"u\xff\"", 1))
	check("deeply nested", false, strings.Repeat("[", 5000))
}
