package token_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/bizmetry/identity/service/token"
)

// The thumbprints printed in RFC 7638 (section 3.1) and RFC 8037 (A.3), by the
// library function that names our keys.
func TestThumbprint(t *testing.T) {
	modulus := "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs" +
		"tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbI" +
		"SD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
	rows := []struct {
		rule string
		key  any
		want string
	}{
		{"RFC 7638", &rsa.PublicKey{N: new(big.Int).SetBytes(unbase64(t, modulus)), E: 65537}, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
		{"RFC 8037", ed25519.PublicKey(unbase64(t, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"},
	}
	for _, r := range rows {
		t.Run(r.rule, func(t *testing.T) {
			got, err := token.Thumbprint(r.key)
			if err != nil || got != r.want {
				t.Errorf("thumbprint %q, %v, want %q", got, err, r.want)
			}
		})
	}
}

func unbase64(t *testing.T, text string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestKey_RoundTrip(t *testing.T) {
	k := newKey(t, time.Time{})
	der, err := k.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got, err := token.ParseKey(der)
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != k.ID || !got.Private.Equal(k.Private) || len(k.ID) != 43 {
		t.Errorf("ParseKey gives %v of %v", got, k)
	}
}

func TestParseKey_Refuses(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8 := func(key any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	good := pkcs8(newKey(t, now).Private)
	for rule, der := range map[string][]byte{
		"nothing": nil, "P-384": pkcs8(p384), "Ed25519": pkcs8(ed),
		"shortened": good[:len(good)-1],
	} {
		t.Run(rule, func(t *testing.T) {
			if k, err := token.ParseKey(der); err == nil {
				t.Errorf("ParseKey gives %v", k)
			}
		})
	}
}

func TestKey_PrintsNoSecret(t *testing.T) {
	k := newKey(t, now)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, k); got != "token.Key("+k.ID+")" {
			t.Errorf("%s prints %q", verb, got)
		}
	}
}

func TestNewRing_Signer(t *testing.T) {
	old, current, next := newKey(t, now.Add(-48*time.Hour)), newKey(t, now), newKey(t, now.Add(time.Second))
	gone := newKey(t, now.Add(-time.Hour))
	gone.ExpireTime = now
	rows := []struct {
		rule string
		keys []token.Key
		want string // the id that signs
	}{
		{"the newest in use", []token.Key{next, current, old, gone}, current.ID},
		{"in any order", []token.Key{old, current, next}, current.ID},
		{"an older one if need be", []token.Key{next, old}, old.ID},
	}
	for _, r := range rows {
		t.Run(r.rule, func(t *testing.T) {
			ring := newRing(t, r.keys...)
			text := sign(t, ring, claims())
			head := string(unbase64(t, strings.Split(text, ".")[0]))
			if !strings.Contains(head, `"kid":"`+r.want+`"`) {
				t.Errorf("header %s, want kid %s", head, r.want)
			}
			accepts(t, ring, text, want, true)
		})
	}
	for rule, keys := range map[string][]token.Key{
		"no keys": nil, "only one to come": {next}, "only an expired one": {gone},
	} {
		if _, err := newRing(t, keys...).Sign(claims()); !errors.Is(err, token.ErrNoKey) {
			t.Errorf("%s: Sign = %v, want ErrNoKey", rule, err)
		}
	}
}

func TestNewRing_Refuses(t *testing.T) {
	k := newKey(t, now)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	renamed := k
	renamed.ID = "../../etc/passwd"
	for rule, keys := range map[string][]token.Key{
		"the same key twice":      {k, k},
		"no private key":          {{ID: "a"}},
		"another curve":           {{ID: "a", Private: p384}},
		"an id of its own choice": {renamed},
	} {
		if _, err := token.NewRing(keys, now); err == nil {
			t.Errorf("%s is taken", rule)
		}
	}
}

func TestJWKS(t *testing.T) {
	a, b, gone := newKey(t, now), newKey(t, now.Add(time.Hour)), newKey(t, now)
	gone.ExpireTime = now
	set := newRing(t, a, b, gone).JWKS()
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Keys []map[string]string }
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Keys) != 2 || got.Keys[0]["kid"] >= got.Keys[1]["kid"] {
		t.Fatalf("JWKS %s, want two keys in order", text)
	}
	for _, k := range got.Keys {
		if k["kid"] != a.ID && k["kid"] != b.ID {
			t.Errorf("kid %q", k["kid"])
		}
		names := map[string]bool{}
		for name := range k {
			names[name] = true
		}
		if diff := cmp.Diff(map[string]bool{"kty": true, "crv": true, "x": true, "y": true, "kid": true, "use": true, "alg": true}, names); diff != "" {
			t.Error("members:", diff)
		}
		if k["use"] != "sig" || k["alg"] != "ES256" || k["crv"] != "P-256" {
			t.Errorf("key %v", k)
		}
	}
	set.Keys[0] = jose.JSONWebKey{} // the caller's copy
	if text, err := json.Marshal(newRing(t).JWKS()); err != nil || string(text) != `{"keys":[]}` {
		t.Errorf("an empty ring gives %s, %v", text, err)
	}
}

func TestRing_Concurrent(t *testing.T) {
	r := newRing(t, newKey(t, now), newKey(t, now.Add(-time.Hour)))
	var done sync.WaitGroup
	for range 8 {
		done.Go(func() {
			for range 20 {
				text, err := r.Sign(claims())
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := r.Verify(text, want); err != nil {
					t.Error(err)
				}
				r.JWKS()
			}
		})
	}
	done.Wait()
}

func FuzzParseKey(f *testing.F) {
	der, err := newKey(f, now).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Fuzz(func(t *testing.T, der []byte) {
		k, err := token.ParseKey(der)
		if err != nil {
			return
		}
		k.UseTime = now
		r := newRing(t, k)
		accepts(t, r, sign(t, r, claims()), want, true)
	})
}
