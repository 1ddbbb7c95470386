package token

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"
)

// Life of access tokens: what an account gets that says nothing, and the most.
const (
	DefaultLifetime = 15 * time.Minute
	MaxLifetime     = time.Hour
)

// Claims is what an access token says. Times are seconds since 1970 UTC. The
// audience is a list, also of one. Claims it does not name are ignored when
// read, so that older verifiers live with newer tokens.
type Claims struct {
	Issuer            string   `json:"iss"`
	Subject           string   `json:"sub"`
	Audience          []string `json:"aud"`
	Expires           int64    `json:"exp"`
	NotBefore         int64    `json:"nbf,omitempty"` // 0: at once
	IssuedAt          int64    `json:"iat"`
	ID                string   `json:"jti"`
	ClientID          string   `json:"client_id"`
	Scope             string   `json:"scope,omitempty"`
	Organization      string   `json:"org"`
	PrincipalType     string   `json:"principal_type,omitempty"`
	Credential        string   `json:"cred,omitempty"`
	Session           string   `json:"sid,omitempty"`
	OrganizationEpoch int64    `json:"org_epoch"`
	Epoch             int64    `json:"epoch"`
}

// parseClaims is strict: whole numbers only, no member twice, names in their
// exact case. go-jose's JSON does the last two, the standard one does not.
func parseClaims(payload []byte) (Claims, bool) {
	if !utf8.Valid(payload) {
		return Claims{}, false // would be read as replacement characters
	}
	var c Claims
	if err := json.Unmarshal(payload, &c); err != nil || !c.complete() {
		return Claims{}, false
	}
	return c, true
}

// complete tells whether all required claims are there and make sense. Zero
// stands for absent, so a null does not pass for a value.
func (c *Claims) complete() bool {
	return c.Issuer != "" && c.Subject != "" && c.ID != "" && c.ClientID != "" && c.Organization != "" &&
		len(c.Audience) > 0 && !slices.Contains(c.Audience, "") &&
		c.Expires > 0 && c.IssuedAt > 0 && c.NotBefore >= 0 && c.OrganizationEpoch >= 0 && c.Epoch >= 0
}

// writable tells whether JSON can carry the claims as they are: it would
// quietly replace broken UTF-8, and two subjects could become one.
func (c *Claims) writable() bool {
	texts := []string{
		c.Issuer, c.Subject, c.ID, c.ClientID, c.Scope, c.Organization, c.PrincipalType, c.Credential, c.Session,
	}
	for _, t := range append(texts, c.Audience...) {
		if !utf8.ValidString(t) {
			return false
		}
	}
	return true
}

// SameAudience tells whether two identifiers of a service are one: they may differ
// in a slash at the end.
func SameAudience(a, b string) bool { return strings.TrimSuffix(a, "/") == strings.TrimSuffix(b, "/") }
