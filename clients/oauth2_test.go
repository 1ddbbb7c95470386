package clients

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

func (s *service) config(style oauth2.AuthStyle) clientcredentials.Config {
	return clientcredentials.Config{ClientID: s.id, ClientSecret: s.secret, TokenURL: s.issuer + "/oauth2/token", AuthStyle: style}
}

var styles = map[string]oauth2.AuthStyle{
	"basic": oauth2.AuthStyleInHeader, "params": oauth2.AuthStyleInParams, "whichever works": oauth2.AuthStyleAutoDetect,
}

func TestClientCredentials(t *testing.T) {
	s := start(t, "")
	for name, style := range styles {
		t.Run(name, func(t *testing.T) {
			config := s.config(style)
			token, err := config.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if life := time.Until(token.Expiry); token.TokenType != "Bearer" || token.RefreshToken != "" || life < 14*time.Minute || life > 15*time.Minute {
				t.Errorf("token: %s, refresh %q, for %v", token.TokenType, token.RefreshToken, life)
			}
			if h := headerOf(t, token.AccessToken); h.Typ != "at+jwt" || h.Alg != "ES256" || h.Kid == "" {
				t.Errorf("header %+v", h)
			}
			if id := whoAmI(t, config.Client(t.Context()), s.issuer); id != s.id {
				t.Errorf("acts as %q, want %q", id, s.id)
			}
		})
	}
}

// whoAmI calls the API with a client that gets its own tokens.
func whoAmI(t *testing.T, client *http.Client, issuer string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, issuer+"/v1/me", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var me struct{ ServiceAccount struct{ ID string } }
	if err := json.NewDecoder(resp.Body).Decode(&me); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("me: %d %v", resp.StatusCode, err)
	}
	return me.ServiceAccount.ID
}

func TestClientCredentials_ScopeAndResource(t *testing.T) {
	s := start(t, "")
	for name, style := range styles {
		t.Run(name, func(t *testing.T) {
			config := s.config(style)
			config.Scopes = []string{scope[1], scope[0]}
			config.EndpointParams = url.Values{"resource": {audience}}
			token, err := config.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if want := scope[0] + " " + scope[1]; token.Extra("scope") != want {
				t.Errorf("scope %q, want %q", token.Extra("scope"), want)
			}
			if got := audienceOf(t, token.AccessToken); got != audience {
				t.Errorf("audience %q, want %q", got, audience)
			}
		})
	}
}

// What is not accepted is told in the words of RFC 6749, whatever characters it has.
func TestClientCredentials_Refused(t *testing.T) {
	s := start(t, "")
	rows := map[string]struct {
		change func(*clientcredentials.Config)
		status int
		word   string
	}{
		"a colon, blanks, signs": {func(c *clientcredentials.Config) { c.ClientSecret = "a:b c+d%20e&f=g;h/i?j#k\"l'm\\n~" }, 401, "invalid_client"},
		"a percent sign":         {func(c *clientcredentials.Config) { c.ClientSecret = "100%" }, 401, "invalid_client"},
		"other scripts":          {func(c *clientcredentials.Config) { c.ClientSecret = "пароль-密码-🙂-é" }, 401, "invalid_client"},
		"a blank at the end":     {func(c *clientcredentials.Config) { c.ClientSecret += " " }, 401, "invalid_client"},
		"an odd client":          {func(c *clientcredentials.Config) { c.ClientID = "client:1 & co/ф%" }, 401, "invalid_client"},
		"a scope not held":       {func(c *clientcredentials.Config) { c.Scopes = []string{"platform.administer"} }, 400, "invalid_scope"},
		"an odd scope":           {func(c *clientcredentials.Config) { c.Scopes = []string{"a+b", "ф&c=d"} }, 400, "invalid_scope"},
		"another resource": {func(c *clientcredentials.Config) {
			c.EndpointParams = url.Values{"resource": {audience + "/"}}
		}, 400, "invalid_target"},
		"two resources": {func(c *clientcredentials.Config) {
			c.EndpointParams = url.Values{"resource": {audience, s.issuer}}
		}, 400, "invalid_request"},
		"another grant": {func(c *clientcredentials.Config) {
			c.EndpointParams = url.Values{"grant_type": {"password"}}
		}, 400, "unsupported_grant_type"},
	}
	for style, value := range styles {
		for name, r := range rows {
			config := s.config(value)
			r.change(&config)
			_, err := config.Token(t.Context())
			var refused *oauth2.RetrieveError
			if !errors.As(err, &refused) || refused.ErrorCode != r.word || refused.Response.StatusCode != r.status {
				t.Errorf("%s, %s: %v, want %d %s", name, style, err, r.status, r.word)
			}
		}
	}
}
