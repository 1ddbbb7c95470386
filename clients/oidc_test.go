package clients

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

func audienceOf(t *testing.T, token string) string {
	t.Helper()
	var claims struct{ Aud []string }
	parts := strings.Split(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(parts[len(parts)/2])
	if err != nil || json.Unmarshal(text, &claims) != nil || len(claims.Aud) != 1 {
		t.Fatalf("claims %s: %v", text, err)
	}
	return claims.Aud[0]
}

// provider discovers the service, as a resource server does when it starts.
func (s *service) provider(t *testing.T) *oidc.Provider {
	t.Helper()
	provider, err := oidc.NewProvider(t.Context(), s.issuer)
	if err != nil {
		t.Fatal(err)
	}
	return provider
}

func token(t *testing.T, config clientcredentials.Config) string {
	t.Helper()
	token, err := config.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return token.AccessToken
}

func TestOIDC_Discovery(t *testing.T) {
	for _, path := range []string{"", "/identity/eu"} {
		s := start(t, path)
		provider := s.provider(t)
		if got := provider.Endpoint().TokenURL; got != s.issuer+"/oauth2/token" {
			t.Errorf("token endpoint %q", got)
		}
		var metadata struct {
			Revocation string   `json:"revocation_endpoint"`
			Algorithms []string `json:"id_token_signing_alg_values_supported"`
		}
		if err := provider.Claims(&metadata); err != nil || metadata.Revocation != s.issuer+"/oauth2/revoke" || !slices.Equal(metadata.Algorithms, []string{"ES256"}) {
			t.Errorf("metadata %+v, %v", metadata, err)
		}
		config := s.config(oauth2.AuthStyleInHeader)
		config.TokenURL = provider.Endpoint().TokenURL
		text := token(t, config)
		verified, err := provider.Verifier(&oidc.Config{ClientID: s.issuer}).Verify(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		var claims struct {
			ClientID string `json:"client_id"`
			ID       string `json:"jti"`
			Org      string `json:"org"`
		}
		if err := verified.Claims(&claims); err != nil || claims.ClientID != s.id || claims.ID == "" || claims.Org == "" {
			t.Errorf("claims %+v, %v", claims, err)
		}
		if verified.Issuer != s.issuer || verified.Subject != s.id || !slices.Equal(verified.Audience, []string{s.issuer}) ||
			verified.Expiry.Sub(verified.IssuedAt) != 15*time.Minute {
			t.Errorf("verified %+v", verified)
		}
	}
}

func TestOIDC_Refuses(t *testing.T) {
	s := start(t, "")
	provider, text := s.provider(t), token(t, s.config(oauth2.AuthStyleInHeader))
	last := strings.LastIndexByte(text, '.')
	for name, r := range map[string]struct {
		config oidc.Config
		token  string
	}{
		"another audience":   {oidc.Config{ClientID: audience}, text},
		"another algorithm":  {oidc.Config{ClientID: s.issuer, SupportedSigningAlgs: []string{oidc.RS256}}, text},
		"its time is over":   {oidc.Config{ClientID: s.issuer, Now: func() time.Time { return time.Now().Add(time.Hour) }}, text},
		"another signature":  {oidc.Config{ClientID: s.issuer}, text[:last] + "." + strings.Repeat("A", len(text)-last-1)},
		"another's contents": {oidc.Config{ClientID: s.issuer}, s.root[:strings.LastIndexByte(s.root, '.')] + text[last:]},
	} {
		if _, err := provider.Verifier(&r.config).Verify(t.Context(), r.token); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// One verifier, made before a rotation, takes the tokens of both keys after it.
func TestOIDC_Rotation(t *testing.T) {
	s := start(t, "")
	provider := s.provider(t)
	config := s.config(oauth2.AuthStyleInHeader)
	config.EndpointParams = map[string][]string{"resource": {audience}}
	verifiers := map[string]*oidc.IDTokenVerifier{
		"for its audience": provider.Verifier(&oidc.Config{ClientID: audience}),
		"for any audience": provider.Verifier(&oidc.Config{SkipClientIDCheck: true, SupportedSigningAlgs: []string{oidc.ES256}}),
	}
	check := func(when, text string) {
		t.Helper()
		for name, verifier := range verifiers {
			if _, err := verifier.Verify(t.Context(), text); err != nil {
				t.Errorf("%s, %s: %v", when, name, err)
			}
		}
	}
	former := token(t, config)
	check("before", former)
	key := headerOf(t, former).Kid

	s.rotate(t)
	eventually(t, "a second key is published", func() bool { return len(s.keys(t)) == 2 })
	ahead := token(t, config)
	if headerOf(t, ahead).Kid != key {
		t.Error("the new key signs before verifiers can know it")
	}
	check("the new key is published ahead", ahead)

	s.rotate(t, "--now")
	latest := ""
	eventually(t, "another key signs", func() bool {
		latest = token(t, config)
		return headerOf(t, latest).Kid != key
	})
	check("the new key signs", latest)
	check("a token of the former key", former)
	if !slices.Contains(s.keys(t), headerOf(t, latest).Kid) || !slices.Contains(s.keys(t), key) {
		t.Error("a key that verifiers need is not published")
	}
}
