package token_test

import (
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/bizmetry/identity/service/token"
)

func sha256Sum(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

// The forger of these tests makes tokens that are taken, so the rows refuse
// for the reason they name.
func TestForge(t *testing.T) {
	k := newKey(t, now)
	accepts(t, newRing(t, k), forge(t, k.Private, header(t, k, nil), payload(t, nil)), want, true)
}

// Signature before content, one algorithm, one serialisation.
func TestVerify_TK01(t *testing.T) {
	k := newKey(t, now)
	r := newRing(t, k)
	good := sign(t, r, claims())
	parts := strings.Split(good, ".")
	signing := parts[0] + "." + parts[1]
	unsigned := func(alg string) string {
		return b64([]byte(header(t, k, map[string]any{"alg": alg}))) + "." + parts[1] + "."
	}
	spki, err := x509.MarshalPKIXPublicKey(&k.Private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})
	hs256 := func(secret []byte) string {
		text := b64([]byte(header(t, k, map[string]any{"alg": "HS256"}))) + "." + parts[1]
		h := hmac.New(sha256.New, secret)
		h.Write([]byte(text))
		return text + "." + b64(h.Sum(nil))
	}
	raw := unraw(t, parts[2])
	der, err := ecdsa.SignASN1(rand.Reader, k.Private, sha256Sum(signing))
	if err != nil {
		t.Fatal(err)
	}
	order := k.Private.Params().N.FillBytes(make([]byte, 32))
	ones := append(make([]byte, 31), 1)
	rows := []struct {
		rule, text string
	}{
		{"none", unsigned("none")},
		{"None", unsigned("None")},
		{"nOnE", unsigned("nOnE")},
		{"NONE", unsigned("NONE")},
		{"none with the signature", unsigned("none") + parts[2]},
		{"no alg", forge(t, k.Private, header(t, k, map[string]any{"alg": nil}), payload(t, nil))},
		{"empty alg", forge(t, k.Private, header(t, k, map[string]any{"alg": ""}), payload(t, nil))},
		{"es256", forge(t, k.Private, header(t, k, map[string]any{"alg": "es256"}), payload(t, nil))},
		{"ES384", forge(t, k.Private, header(t, k, map[string]any{"alg": "ES384"}), payload(t, nil))},
		{"a list of algs", forge(t, k.Private, header(t, k, map[string]any{"alg": []string{"ES256"}}), payload(t, nil))},
		{"HS256 with the public key's PEM", hs256(public)},
		{"HS256 with the public key's DER", hs256(spki)},
		{"HS256 with the key's id", hs256([]byte(k.ID))},
		{"HS256 with nothing", hs256(nil)},
		{"r = s = 0", signing + "." + b64(make([]byte, 64))},
		{"r = 0", signing + "." + b64(append(make([]byte, 32), raw[32:]...))},
		{"s = 0", signing + "." + b64(append(raw[:32:32], make([]byte, 32)...))},
		{"r = s = 1", signing + "." + b64(append(ones[:32:32], ones...))},
		{"r = s = the order", signing + "." + b64(append(order[:32:32], order...))},
		{"empty signature", signing + "."},
		{"63 bytes", signing + "." + b64(raw[:63])},
		{"65 bytes", signing + "." + b64(append(raw[:64:64], 0))},
		{"ASN.1 signature", signing + "." + b64(der)},
		{"another's signature", signing + "." + strings.Split(sign(t, r, claimsOf("j2")), ".")[2]},
		{"empty payload", parts[0] + ".." + parts[2]},
		{"empty header", "." + parts[1] + "." + parts[2]},
		{"no dots", parts[0] + parts[1] + parts[2]},
		{"one dot", signing},
		{"a dot behind", good + "."},
		{"a dot before", "." + good},
		{"two dots together", parts[0] + ".." + parts[1] + "." + parts[2]},
		{"only dots", ".."},
		{"many dots", strings.Repeat(".", 1<<20)},
		{"nothing", ""},
		{"JSON, flattened", object(t, map[string]any{"protected": parts[0], "payload": parts[1], "signature": parts[2]}, nil)},
		{"JSON, general", object(t, map[string]any{"payload": parts[1], "signatures": []any{map[string]any{"protected": parts[0], "signature": parts[2]}}}, nil)},
		{"JSON with two dots", `{"a":"..","protected":"` + parts[0] + `"}`},
		{"larger than 8 KiB", forge(t, k.Private, header(t, k, nil), payload(t, map[string]any{"scope": strings.Repeat("a", 8<<10)}))},
		{"a space before", " " + good},
		{"a line end behind", good + "\n"},
		{"padding", good + "="},
		{"Bearer", "Bearer " + good},
	}
	for _, row := range rows {
		t.Run(row.rule, func(t *testing.T) { accepts(t, r, row.text, want, false) })
	}
	accepts(t, r, good, want, true)
}

// The classic confusion: the ring's only family is ECDSA, so RSA tokens and
// those MACed with an RSA public key have nothing to meet.
func TestVerify_TK01_RSA(t *testing.T) {
	k := newKey(t, now)
	r := newRing(t, k)
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, alg := range []jose.SignatureAlgorithm{jose.RS256, jose.PS256} {
		signer, err := jose.NewSigner(
			jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: private, KeyID: k.ID}},
			(&jose.SignerOptions{}).WithType("at+jwt"))
		if err != nil {
			t.Fatal(err)
		}
		signed, err := signer.Sign([]byte(payload(t, nil)))
		if err != nil {
			t.Fatal(err)
		}
		text, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		accepts(t, r, text, want, false)
	}
}

func claimsOf(id string) token.Claims {
	c := claims()
	c.ID = id
	return c
}

func unraw(t *testing.T, text string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Keys come from the ring by kid and from nowhere else: an attacker's own key,
// offered in any header member, is refused and nothing is fetched.
func TestVerify_TK02(t *testing.T) {
	k, evil := newKey(t, now), newKey(t, now)
	r := newRing(t, k)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	contact := make(chan struct{}, 100)
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			contact <- struct{}{}
			c.Close()
		}
	}()
	url := "http://" + listener.Addr().String() + "/keys"
	jwk, err := json.Marshal(jose.JSONWebKey{Key: &evil.Private.PublicKey, KeyID: evil.ID, Algorithm: "ES256", Use: "sig"})
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "evil"}, NotAfter: now.Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &evil.Private.PublicKey, evil.Private)
	if err != nil {
		t.Fatal(err)
	}
	chain := []string{base64.StdEncoding.EncodeToString(certificate)}
	changes := map[string]map[string]any{
		"jku":                 {"jku": url},
		"x5u":                 {"x5u": url},
		"jwk":                 {"jwk": json.RawMessage(jwk)},
		"x5c":                 {"x5c": chain},
		"x5t":                 {"x5t": b64(sha256Sum("x")[:20])},
		"x5t#S256":            {"x5t#S256": b64(sha256Sum("x"))},
		"crit":                {"crit": []string{"exp"}, "exp": now.Unix() + 900},
		"empty crit":          {"crit": []string{}},
		"crit of b64":         {"crit": []string{"b64"}, "b64": true},
		"b64":                 {"b64": false},
		"cty":                 {"cty": "JWT"},
		"zip":                 {"zip": "DEF"},
		"nonce":               {"nonce": "1"},
		"unknown member":      {"x": "1"},
		"no kid":              {"kid": nil},
		"empty kid":           {"kid": ""},
		"kid as number":       {"kid": 1},
		"kid as list":         {"kid": []string{k.ID}},
		"kid as path":         {"kid": "../../../../dev/null"},
		"kid as SQL":          {"kid": "x' UNION SELECT 'key"},
		"kid as URL":          {"kid": url},
		"kid of nobody":       {"kid": evil.ID},
		"kid in another case": {"kid": strings.ToUpper(k.ID)},
		"kid with a NUL":      {"kid": k.ID + "\x00"},
		"jku without kid":     {"jku": url, "kid": nil},
		"jwk without kid":     {"jwk": json.RawMessage(jwk), "kid": nil},
		"jwk and its kid":     {"jwk": json.RawMessage(jwk), "kid": evil.ID},
		"x5c and its kid":     {"x5c": chain, "kid": evil.ID},
		"Kid beside kid":      {"Kid": evil.ID},
		"ALG instead of alg":  {"alg": nil, "ALG": "ES256"},
		"KID instead of kid":  {"kid": nil, "KID": k.ID},
		"TYP instead of typ":  {"typ": nil, "TYP": "at+jwt"},
	}
	for rule, change := range changes {
		t.Run(rule, func(t *testing.T) {
			h := header(t, k, change)
			accepts(t, r, forge(t, evil.Private, h, payload(t, nil)), want, false)
			accepts(t, r, forge(t, k.Private, h, payload(t, nil)), want, false) // not even when truly signed
		})
	}
	for rule, h := range map[string]string{
		"kid twice":      `{"alg":"ES256","kid":"` + evil.ID + `","kid":"` + k.ID + `","typ":"at+jwt"}`,
		"alg twice":      `{"alg":"none","alg":"ES256","kid":"` + k.ID + `","typ":"at+jwt"}`,
		"no object":      `["ES256"]`,
		"null":           `null`,
		"two objects":    header(t, k, nil) + header(t, k, nil),
		"deeply nested":  strings.Repeat("[", 4000),
		"nested kid":     `{"alg":"ES256","kid":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `,"typ":"at+jwt"}`,
		"broken":         `{"alg":"ES256"`,
		"nothing inside": `{}`,
	} {
		t.Run(rule, func(t *testing.T) {
			accepts(t, r, forge(t, k.Private, h, payload(t, nil)), want, false)
		})
	}
	accepts(t, r, forge(t, evil.Private, header(t, k, nil), payload(t, nil)), want, false)
	select {
	case <-contact:
		t.Error("the token's URL was called")
	case <-time.After(50 * time.Millisecond):
	}
}

func TestVerify_KeyTimes(t *testing.T) {
	k, ahead := newKey(t, now), newKey(t, now.Add(time.Hour))
	k.ExpireTime = now.Add(time.Minute)
	r := newRing(t, k, ahead)
	text := forge(t, k.Private, header(t, k, nil), payload(t, nil))
	accepts(t, r, text, want, true)
	for after, ok := range map[time.Duration]bool{59 * time.Second: true, time.Minute: false, time.Hour: false} {
		w := want
		w.Now = now.Add(after)
		accepts(t, r, text, w, ok)
	}
	// A replica ahead of us may already sign with the next key.
	accepts(t, r, forge(t, ahead.Private, header(t, ahead, nil), payload(t, nil)), want, true)
	accepts(t, newRing(t), text, want, false)
}

// RG-34: one text only. Base64 has spare bits and skipped characters, ECDSA
// has none that one changed character reaches.
func TestVerify_RG34(t *testing.T) {
	k := newKey(t, now)
	r := newRing(t, k)
	for _, scope := range []string{"", "a", "ab", "abc"} { // every length modulo 3
		c := claims()
		c.Scope = scope
		text := sign(t, r, c)
		accepts(t, r, text, want, true)
		for i := range text {
			accepts(t, r, text[:i], want, false)
			accepts(t, r, text[i+1:], want, false)
			accepts(t, r, text[:i]+text[i+1:], want, false)
			accepts(t, r, text[:i]+"\n"+text[i:], want, false)
			accepts(t, r, text[:i]+"\r"+text[i:], want, false)
			for bit := range 8 {
				accepts(t, r, text[:i]+string([]byte{text[i] ^ 1<<bit})+text[i+1:], want, false)
			}
		}
		for _, suffix := range []string{"A", "=", "==", ".", "\n", "\r\n", " ", "\x00"} {
			accepts(t, r, text+suffix, want, false)
		}
	}
}

// Every other character at every place of the last signature group and the
// ends of the parts, where base64 is loose; elsewhere a sample per place.
func TestVerify_RG34_Characters(t *testing.T) {
	r := newRing(t, newKey(t, now))
	text := sign(t, r, claims())
	const characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=. \n"
	for i := range text {
		end := i+2 >= len(text) || strings.Contains(text[i:i+2], ".")
		for j := range characters {
			if !end && (i+j)%9 != 0 || characters[j] == text[i] {
				continue
			}
			accepts(t, r, text[:i]+characters[j:j+1]+text[i+1:], want, false)
		}
	}
}

func FuzzVerify(f *testing.F) {
	k := newKey(f, now)
	r := newRing(f, k)
	good := sign(f, r, claims())
	f.Add(good)
	f.Add("..")
	f.Add(forge(f, k.Private, header(f, k, map[string]any{"crit": []string{"b64"}, "b64": false}), payload(f, nil)))
	f.Add(forge(f, k.Private, `{"alg":"ES256","kid":null,"typ":"at+jwt"}`, `null`))
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := r.Verify(text, want); !refused(err) && text != good {
			t.Errorf("Verify(%q) = %v", text, err)
		}
	})
}

// Behind a good signature anything may stand; only complete claims pass.
func FuzzVerify_Payload(f *testing.F) {
	k := newKey(f, now)
	r := newRing(f, k)
	f.Add(payload(f, nil))
	f.Add(`{"exp":1e308}`)
	f.Add(`[`)
	f.Fuzz(func(t *testing.T, body string) {
		c, err := r.Verify(forge(t, k.Private, header(t, k, nil), body), want)
		if err == nil && (c.Expires <= now.Unix() || c.Subject == "" || c.Issuer != issuer) || err != nil && !refused(err) {
			t.Errorf("Verify of %q = %+v, %v", body, c, err)
		}
	})
}
