package service_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/service/token"
	"github.com/bizmetry/identity/store/storetest"
)

// forger makes tokens out of a good one: truly signed ones that say something
// else, and ones that only pretend.
type forger struct {
	real    *ecdsa.PrivateKey
	own     *ecdsa.PrivateKey // of the attacker
	header  map[string]any
	claims  map[string]any
	genuine string
}

func newForger(t *testing.T, w *servicetest.World) *forger {
	t.Helper()
	rows, err := w.Store.SigningKeys(t.Context())
	noError(t, err)
	der, err := w.Ring.Open("signing_keys", rows[0].Sealed, rows[0].ID)
	noError(t, err)
	key, err := token.ParseKey(der)
	noError(t, err)
	f := &forger{real: key.Private, genuine: w.Root}
	f.own, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	noError(t, err)
	parts := strings.Split(w.Root, ".")
	noError(t, json.Unmarshal(decoded(t, parts[0]), &f.header))
	noError(t, json.Unmarshal(decoded(t, parts[1]), &f.claims))
	return f
}

func decoded(t *testing.T, part string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(part)
	noError(t, err)
	return b
}

func part(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	noError(t, err)
	return base64.RawURLEncoding.EncodeToString(text)
}

// altered changes members; nil removes one.
func altered(members, changes map[string]any) map[string]any {
	members = maps.Clone(members)
	for name, value := range changes {
		if members[name] = value; value == nil {
			delete(members, name)
		}
	}
	return members
}

// make signs a token with the changes by a key.
func (f *forger) make(t *testing.T, key *ecdsa.PrivateKey, header, claims map[string]any) string {
	t.Helper()
	signed := part(t, altered(f.header, header)) + "." + part(t, altered(f.claims, claims))
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	noError(t, err)
	signature := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// refusedAlike fails unless GetMe refuses the bearer with the very bytes that
// an absent one gets.
func refusedAlike(t *testing.T, w *servicetest.World, bearer string) {
	t.Helper()
	_, none := w.Users.GetMe(t.Context(), &identityv1.GetMeRequest{})
	_, err := w.Users.GetMe(w.As(bearer), &identityv1.GetMeRequest{})
	servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID)
	if err != nil && answerText(t, err) != answerText(t, none) {
		t.Errorf("the answer tells what was wrong: %v", err)
	}
}

// The signature counts before the content, of the one algorithm, by our key.
func TestTokens_TK01(t *testing.T) {
	w := servicetest.SQLite(t)
	f := newForger(t, w)
	parts := strings.Split(f.genuine, ".")
	unsigned := func(alg string) string {
		return part(t, altered(f.header, map[string]any{"alg": alg})) + "." + parts[1] + "."
	}
	public, err := x509.MarshalPKIXPublicKey(&f.real.PublicKey)
	noError(t, err)
	mac := func(alg string, key []byte) string {
		text := part(t, altered(f.header, map[string]any{"alg": alg})) + "." + parts[1]
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return text + "." + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
	}
	for rule, text := range map[string]string{
		"none":                       unsigned("none"),
		"None":                       unsigned("None"),
		"nOnE":                       unsigned("nOnE"),
		"no signature":               parts[0] + "." + parts[1] + ".",
		"two parts":                  parts[0] + "." + parts[1],
		"four parts":                 f.genuine + "." + parts[2],
		"r and s are 0":              parts[0] + "." + parts[1] + "." + strings.Repeat("A", 86),
		"HS256 by the public key":    mac("HS256", public),
		"HS256 by nothing":           mac("HS256", nil),
		"another key under our id":   f.make(t, f.own, nil, nil),
		"another key without an id":  f.make(t, f.own, map[string]any{"kid": nil}, nil),
		"other claims":               parts[0] + "." + part(t, altered(f.claims, map[string]any{"sub": "x"})) + "." + parts[2],
		"JSON form":                  `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`,
		"a space in it":              parts[0] + " ." + parts[1] + "." + parts[2],
		"one character short":        f.genuine[:len(f.genuine)-1],
		"one character more":         f.genuine + "A",
		"padding":                    f.genuine + "==",
		"8 KiB":                      parts[0] + "." + strings.Repeat("A", 8<<10) + "." + parts[2],
		"garbage":                    "garbage",
		"nothing":                    "",
		"dots":                       "..",
		"the algorithm of RSA":       f.make(t, f.own, map[string]any{"alg": "RS256"}, nil),
		"another curve's algorithm":  f.make(t, f.real, map[string]any{"alg": "ES384"}, nil),
		"an unknown critical member": f.make(t, f.real, map[string]any{"crit": []string{"x"}, "x": 1}, nil),
	} {
		t.Run(rule, func(t *testing.T) { refusedAlike(t, w, text) })
	}
	if _, err := w.Users.GetMe(w.As(f.make(t, f.real, nil, nil)), &identityv1.GetMeRequest{}); err != nil {
		t.Errorf("the forger's own tool is broken: %v", err)
	}
}

// Nothing in a header makes the service fetch a key, or take the one inside.
func TestTokens_TK02(t *testing.T) {
	w := servicetest.SQLite(t)
	f := newForger(t, w)
	var config net.ListenConfig
	port, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	noError(t, err)
	var connections atomic.Int64
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		for {
			conn, err := port.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			_ = conn.Close()
		}
	}()
	at := "http://" + port.Addr().String() + "/keys"
	jwk := map[string]string{
		"kty": "EC", "crv": "P-256",
		"x": base64.RawURLEncoding.EncodeToString(f.own.X.FillBytes(make([]byte, 32))),
		"y": base64.RawURLEncoding.EncodeToString(f.own.Y.FillBytes(make([]byte, 32))),
	}
	for rule, header := range map[string]map[string]any{
		"jku":                 {"jku": at},
		"x5u":                 {"x5u": at},
		"jku without kid":     {"jku": at, "kid": nil},
		"jwk":                 {"jwk": jwk},
		"jwk without kid":     {"jwk": jwk, "kid": nil},
		"x5c":                 {"x5c": []string{"AAAA"}},
		"kid is a URL":        {"kid": at},
		"kid is a path":       {"kid": "../../../../dev/null"},
		"kid is SQL":          {"kid": "x' UNION SELECT '1"},
		"kid is nul":          {"kid": "\x00"},
		"kid is long":         {"kid": strings.Repeat("k", 4000)},
		"kid is empty":        {"kid": ""},
		"all of them at once": {"jku": at, "x5u": at, "jwk": jwk, "kid": at},
	} {
		t.Run(rule, func(t *testing.T) {
			refusedAlike(t, w, f.make(t, f.own, header, nil))
			if header["kid"] == nil { // even our own signature does not make such a header good
				refusedAlike(t, w, f.make(t, f.real, header, nil))
			}
		})
	}
	noError(t, port.Close())
	<-closed
	if n := connections.Load(); n != 0 {
		t.Errorf("%d connections were made to where a token pointed", n)
	}
}

// Times, type and audience, in tokens that are truly signed.
func TestTokens_TK03_TK04_TK05(t *testing.T) {
	w := servicetest.SQLite(t)
	f := newForger(t, w)
	now := w.Clock.Now().Unix()
	for rule, claims := range map[string]map[string]any{
		"TK03 no exp":                 {"exp": nil},
		"TK03 exp is now":             {"exp": now},
		"TK03 exp is past":            {"exp": now - 1},
		"TK03 exp is text":            {"exp": "4102444800"},
		"TK03 exp is negative":        {"exp": -1},
		"TK03 exp is 1e308":           {"exp": json.Number("1e308")},
		"TK03 nbf is ahead":           {"nbf": now + 61},
		"TK03 iat is ahead":           {"iat": now + 61},
		"TK05 no aud":                 {"aud": nil},
		"TK05 an empty aud":           {"aud": []string{}},
		"TK05 another service":        {"aud": []string{"https://other.test"}},
		"TK05 aud with a slash":       {"aud": []string{servicetest.Issuer + "/"}},
		"TK05 aud in capitals":        {"aud": []string{strings.ToUpper(servicetest.Issuer)}},
		"TK05 another issuer":         {"iss": "https://evil.test"},
		"TK05 no issuer":              {"iss": nil},
		"no such person":              {"sub": "00000000-0000-7000-8000-000000000099"},
		"a person that is no id":      {"sub": "' OR 1=1 --"},
		"another organization":        {"org": "00000000-0000-7000-8000-000000000099"},
		"no such session":             {"sid": "00000000-0000-7000-8000-000000000099"},
		"no session":                  {"sid": nil},
		"a person said to be machine": {"principal_type": "service_account"},
		"a principal of no kind":      {"principal_type": "root"},
		"no epoch":                    {"epoch": 0},
		"no epoch of organization":    {"org_epoch": 0},
		"another epoch":               {"epoch": 1},
		"a later epoch":               {"epoch": int64(9e15)},
	} {
		t.Run(rule, func(t *testing.T) { refusedAlike(t, w, f.make(t, f.real, nil, claims)) })
	}
	for _, typ := range []any{
		nil, "", "JWT", "activation+jwt", "rt+jwt", "id_token+jwt", "client-authentication+jwt", "dpop+jwt", "at+jwt ", []string{"at+jwt"},
	} {
		t.Run(fmt.Sprintf("TK04 typ %q", typ), func(t *testing.T) { refusedAlike(t, w, f.make(t, f.real, map[string]any{"typ": typ}, nil)) })
	}
	_, err := w.Sessions.Refresh(t.Context(), &identityv1.RefreshRequest{RefreshToken: "x"})
	servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID)
}

// What is a secret elsewhere is no bearer token, and the other way round.
func TestTokens_SS02(t *testing.T) {
	w := servicetest.SQLite(t)
	org := w.NewOrg()
	m := w.NewMachine(org.Admin.Token, "", servicetest.Agent)
	tokens := w.Tokens(org.Admin.GetEmail(), org.Admin.Password)
	for rule, bearer := range map[string]string{
		"a refresh token":     tokens.GetRefreshToken(),
		"a machine's secret":  m.Secret,
		"a client id":         m.GetId(),
		"a credential's id":   m.Credential,
		"a session's id":      tokens.GetSessionId(),
		"a person's id":       org.Admin.GetId(),
		"a password":          org.Admin.Password,
		"secret with id":      m.GetId() + ":" + m.Secret,
		"two tokens":          tokens.GetAccessToken() + "," + tokens.GetAccessToken(),
		"a token and garbage": tokens.GetAccessToken() + " x",
	} {
		t.Run(rule, func(t *testing.T) { refusedAlike(t, w, bearer) })
	}
	for rule, text := range map[string]string{"access token": tokens.GetAccessToken()[:200], "secret": m.Secret, "session id": tokens.GetSessionId()} {
		t.Run("refresh by "+rule, func(t *testing.T) {
			_, err := w.Sessions.Refresh(t.Context(), &identityv1.RefreshRequest{RefreshToken: text})
			servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID)
		})
	}
	for rule, text := range map[string]string{"refresh token": tokens.GetRefreshToken(), "credential id": m.Credential, "client id": m.GetId()} {
		t.Run("client secret is a "+rule, func(t *testing.T) {
			_, err := w.Accounts.IssueToken(t.Context(), &identityv1.IssueTokenRequest{ClientId: m.GetId(), ClientSecret: text})
			servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_CREDENTIALS_INVALID)
		})
	}
}

// A token for another service is refused here, but can be looked into.
func TestTokens_TK05_OtherAudience(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		org := w.NewOrg()
		admin := w.As(org.Admin.Token)
		a, err := w.Accounts.CreateServiceAccount(admin, &identityv1.CreateServiceAccountRequest{ServiceAccount: &identityv1.ServiceAccount{
			DisplayName: ptr("Caller"), RoleIds: []string{servicetest.Integration}, Audiences: []string{"https://metrics.test"},
		}})
		noError(t, err)
		c, err := w.Accounts.CreateCredential(admin, &identityv1.CreateCredentialRequest{ServiceAccountId: a.GetId()})
		noError(t, err)
		issue := func(resource string) (string, error) {
			got, err := w.Accounts.IssueToken(t.Context(), &identityv1.IssueTokenRequest{
				ClientId: a.GetId(), ClientSecret: c.GetSecret(), Resource: resource,
			})
			return got.GetAccessToken(), err
		}
		here, err := issue("")
		noError(t, err)
		there, err := issue("https://metrics.test")
		noError(t, err)
		refusedAlike(t, w, there)
		for rule, by := range map[string]string{"its own account": here, "the organization": org.Admin.Token, "the platform": w.Root} {
			got, err := w.Accounts.IntrospectToken(w.As(by), &identityv1.IntrospectTokenRequest{Token: there})
			if err != nil || !got.GetActive() || len(got.GetAud()) != 1 || got.GetAud()[0] != "https://metrics.test" {
				t.Errorf("introspection by %s: %v, %v", rule, got, err)
			}
		}
		for _, resource := range []string{"https://metrics.test//", "https://METRICS.test", "https://other.test", servicetest.Issuer + "/x", "*"} {
			_, err := issue(resource)
			servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_INVALID_TARGET)
		}
		for _, resource := range []string{"https://metrics.test/", servicetest.Issuer + "/"} { // the same with a slash
			_, err := issue(resource)
			noError(t, err)
		}
	})
}

// Without an issuer, which is also the audience, the service does not start.
func TestTokens_TK05_Settings(t *testing.T) {
	url := storetest.SQLite(t)
	w := servicetest.New(t, url)
	good := service.Config{Store: w.Store, Ring: w.Ring, Issuer: servicetest.Issuer, Passwords: w.Passwords, Now: w.Clock.Now}
	for rule, spoil := range map[string]func(*service.Config){
		"no issuer": func(c *service.Config) { c.Issuer = "" },
		"no store":  func(c *service.Config) { c.Store = nil },
		"no ring":   func(c *service.Config) { c.Ring = nil },
	} {
		t.Run(rule, func(t *testing.T) {
			cfg := good
			spoil(&cfg)
			if _, err := service.New(t.Context(), cfg); err == nil {
				t.Error("it started")
			}
		})
	}
	if _, err := service.New(t.Context(), good); err != nil {
		t.Error(err)
	}
}
