package token_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/bizmetry/identity/service/token"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const (
	issuer   = "https://identity.example.com"
	audience = "https://api.example.com"
)

var want = token.Want{Issuer: issuer, Audience: audience, Now: now}

func claims() token.Claims {
	return token.Claims{
		Issuer: issuer, Subject: "u1", Audience: []string{"https://other.example.com", audience},
		Expires: now.Unix() + 900, NotBefore: now.Unix(), IssuedAt: now.Unix(), ID: "j1", ClientID: "identity",
		Scope: "users.read users.write", Organization: "o1", PrincipalType: "user", Credential: "c1", Session: "s1",
		OrganizationEpoch: 1_790_000_000_000_000, Epoch: 3,
	}
}

func newKey(t testing.TB, use time.Time) token.Key {
	t.Helper()
	k, err := token.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k.UseTime = use
	return k
}

func newRing(t testing.TB, keys ...token.Key) *token.Ring {
	t.Helper()
	r, err := token.NewRing(keys, now)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func sign(t testing.TB, r *token.Ring, c token.Claims) string {
	t.Helper()
	text, err := r.Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// accepts checks a verification; a refusal must be ErrToken, by its plain text, and tell nothing.
func accepts(t *testing.T, r *token.Ring, text string, w token.Want, ok bool) {
	t.Helper()
	c, err := r.Verify(text, w)
	if ok && err != nil {
		t.Errorf("refused: %v", err)
	}
	if !ok && (!refused(err) || !cmp.Equal(c, token.Claims{})) {
		t.Errorf("Verify = %+v, %v, want ErrToken and nothing else", c, err)
	}
}

func refused(err error) bool {
	return errors.Is(err, token.ErrToken) && err.Error() == token.ErrToken.Error()
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// forge signs any header and payload with a key, validly.
func forge(t testing.TB, k *ecdsa.PrivateKey, header, payload string) string {
	t.Helper()
	signing := b64([]byte(header)) + "." + b64([]byte(payload))
	r, s, err := ecdsa.Sign(rand.Reader, k, sha256Sum(signing))
	if err != nil {
		t.Fatal(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signing + "." + b64(signature)
}

// header is what Sign writes, with members added or (as null) dropped.
func header(t testing.TB, k token.Key, change map[string]any) string {
	t.Helper()
	return object(t, map[string]any{"alg": "ES256", "kid": k.ID, "typ": "at+jwt"}, change)
}

// payload is that of claims(), with members changed or (as null) dropped.
func payload(t testing.TB, change map[string]any) string {
	t.Helper()
	text, err := json.Marshal(claims())
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	var members map[string]any
	if err := d.Decode(&members); err != nil {
		t.Fatal(err)
	}
	return object(t, members, change)
}

func object(t testing.TB, members, change map[string]any) string {
	t.Helper()
	for name, value := range change {
		members[name] = value
		if value == nil {
			delete(members, name)
		}
	}
	text, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestSignVerify(t *testing.T) {
	r := newRing(t, newKey(t, now))
	got, err := r.Verify(sign(t, r, claims()), want)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(claims(), got); diff != "" {
		t.Error(diff)
	}
}

func TestSign_Form(t *testing.T) {
	k := newKey(t, now)
	text := sign(t, newRing(t, k), claims())
	parts := strings.Split(text, ".")
	head, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(header(t, k, nil), string(head)); diff != "" {
		t.Error("header:", diff)
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	const wantBody = `{"iss":"https://identity.example.com","sub":"u1",` +
		`"aud":["https://other.example.com","https://api.example.com"],"exp":1795349700,"nbf":1795348800,` +
		`"iat":1795348800,"jti":"j1","client_id":"identity","scope":"users.read users.write","org":"o1",` +
		`"principal_type":"user","cred":"c1","sid":"s1","org_epoch":1790000000000000,"epoch":3}`
	if diff := cmp.Diff(wantBody, string(body)); diff != "" {
		t.Error("claims:", diff)
	}
	// Anybody's library takes it.
	signed, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signed.Verify(newRing(t, k).JWKS()); err != nil {
		t.Error("go-jose with the JWKS:", err)
	}
}

func TestSign_Refuses(t *testing.T) {
	rows := []struct {
		rule   string
		change func(*token.Claims)
	}{
		{"no issuer", func(c *token.Claims) { c.Issuer = "" }},
		{"no subject", func(c *token.Claims) { c.Subject = "" }},
		{"no audience", func(c *token.Claims) { c.Audience = nil }},
		{"an empty audience", func(c *token.Claims) { c.Audience = []string{audience, ""} }},
		{"no expiry", func(c *token.Claims) { c.Expires = 0 }},
		{"no time of issue", func(c *token.Claims) { c.IssuedAt = 0 }},
		{"a negative nbf", func(c *token.Claims) { c.NotBefore = -1 }},
		{"no id", func(c *token.Claims) { c.ID = "" }},
		{"no client", func(c *token.Claims) { c.ClientID = "" }},
		{"no organization", func(c *token.Claims) { c.Organization = "" }},
		{"a negative epoch", func(c *token.Claims) { c.Epoch = -1 }},
		{"a negative organization epoch", func(c *token.Claims) { c.OrganizationEpoch = -1 }},
		{"broken UTF-8", func(c *token.Claims) { c.Subject = "u\xff" }},
		{"broken UTF-8 in the audience", func(c *token.Claims) { c.Audience = []string{"\xff"} }},
		{"more than verifiers take", func(c *token.Claims) { c.Scope = strings.Repeat("a", 8<<10) }},
	}
	r := newRing(t, newKey(t, now))
	for _, row := range rows {
		t.Run(row.rule, func(t *testing.T) {
			c := claims()
			row.change(&c)
			if text, err := r.Sign(c); err == nil || text != "" {
				t.Errorf("Sign = %q, %v", text, err)
			}
		})
	}
}

func BenchmarkSign(b *testing.B) {
	r := newRing(b, newKey(b, now))
	c := claims()
	for b.Loop() {
		if _, err := r.Sign(c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	r := newRing(b, newKey(b, now))
	text := sign(b, r, claims())
	for b.Loop() {
		if _, err := r.Verify(text, want); err != nil {
			b.Fatal(err)
		}
	}
}
