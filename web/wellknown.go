package web

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// cachePublic lets caches keep what everybody may read for five minutes. For
// the key set that is part of how keys change: a new key is published at least
// two such spans before it signs, so that nobody meets a token whose key is not
// in their copy. Make it longer there first.
const cachePublic = "public, max-age=300"

// jwks is the set of public keys (RFC 7517).
func (p *port) jwks(w http.ResponseWriter, _ *http.Request) { writePublic(w, p.svc.Authority.JWKS()) }

// serverMetadata is what RFC 8414 and OpenID Connect Discovery 1.0 have in
// common. What is not announced is not there; the defaults of both would
// announce more.
type serverMetadata struct {
	Issuer                   string   `json:"issuer"`
	TokenEndpoint            string   `json:"token_endpoint"`
	IntrospectionEndpoint    string   `json:"introspection_endpoint"`
	RevocationEndpoint       string   `json:"revocation_endpoint"`
	JWKSURI                  string   `json:"jwks_uri"`
	ServiceDocumentation     string   `json:"service_documentation"`
	GrantTypes               []string `json:"grant_types_supported"`
	TokenAuthMethods         []string `json:"token_endpoint_auth_methods_supported"`
	IntrospectionAuthMethods []string `json:"introspection_endpoint_auth_methods_supported"`
	RevocationAuthMethods    []string `json:"revocation_endpoint_auth_methods_supported"` // RFC 8414 has no word here for access tokens, which do too
}

// openIDMetadata adds what verifiers of tokens look for that know OpenID
// Connect only. No ID tokens are issued.
type openIDMetadata struct {
	serverMetadata
	SubjectTypes []string `json:"subject_types_supported"`
	Algorithms   []string `json:"id_token_signing_alg_values_supported"`
}

// metadata is made of the issuer alone, never of a Host header.
func (p *port) metadata() serverMetadata {
	return serverMetadata{
		Issuer:                   p.svc.Authority.Issuer(),
		TokenEndpoint:            p.url("/oauth2/token"),
		IntrospectionEndpoint:    p.url("/oauth2/introspect"),
		RevocationEndpoint:       p.url("/oauth2/revoke"),
		JWKSURI:                  p.url("/.well-known/jwks.json"),
		ServiceDocumentation:     p.url("/docs"),
		GrantTypes:               []string{"client_credentials"},
		TokenAuthMethods:         []string{"client_secret_basic", "client_secret_post"},
		IntrospectionAuthMethods: []string{"client_secret_basic", "client_secret_post", "Bearer"},
		RevocationAuthMethods:    []string{"client_secret_basic", "client_secret_post"},
	}
}

// url is the public address of a path.
func (p *port) url(path string) string {
	return strings.TrimSuffix(p.svc.Authority.Issuer(), "/") + path
}

// authorizationServer is the document of RFC 8414.
func (p *port) authorizationServer(w http.ResponseWriter, _ *http.Request) {
	writePublic(w, p.metadata())
}

// openIDConfiguration is the document of OpenID Connect Discovery 1.0.
func (p *port) openIDConfiguration(w http.ResponseWriter, _ *http.Request) {
	var algorithms []string
	for _, key := range p.svc.Authority.JWKS().Keys {
		algorithms = append(algorithms, key.Algorithm)
	}
	slices.Sort(algorithms)
	writePublic(w, openIDMetadata{
		serverMetadata: p.metadata(), SubjectTypes: []string{"public"}, Algorithms: slices.Compact(algorithms),
	})
}

// writePublic writes a document that everybody may read and keep.
func writePublic(w http.ResponseWriter, document any) {
	body, err := json.Marshal(document)
	if err != nil {
		refuse(w, broken)
		return
	}
	w.Header().Set("Cache-Control", cachePublic)
	write(w, http.StatusOK, typeJSON, body)
}
