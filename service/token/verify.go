package token

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// ErrToken is every refusal. It never says what was wrong.
var ErrToken = errors.New("the token is not valid")

// Leeway for clocks that differ, in seconds. Expiry and nbf get none: they
// are promises to whoever revokes or delays. A token from the near future
// only comes from a replica whose clock runs ahead.
const (
	leeway       = 0
	futureLeeway = 60
)

// Want is what the caller believes in. The issuer, the time and one of the two
// audience fields are required; without them every token is refused.
type Want struct {
	Issuer      string
	Audience    string    // the token must name it
	AnyAudience bool      // instead of Audience: the token is looked at, not presented, so any will do
	Now         time.Time // the caller's clock
}

// Verify gives the claims of a token that this ring's keys signed and that is
// good now for the wanted issuer and audience. Anything else is ErrToken.
// Whether it was revoked is for the caller to ask.
func (r *Ring) Verify(text string, want Want) (Claims, error) {
	typ, payload, ok := r.open(text, want.Now)
	if !ok || !accessToken(typ) {
		return Claims{}, ErrToken
	}
	c, ok := parseClaims(payload)
	if !ok || want.Check(&c) != nil {
		return Claims{}, ErrToken
	}
	return c, nil
}

// open checks form and signature and gives the header's typ and the payload.
func (r *Ring) open(text string, now time.Time) (typ string, payload []byte, ok bool) {
	if len(text) > maxSize || strings.Count(text, ".") != 2 {
		return "", nil, false
	}
	for part := range strings.SplitSeq(text, ".") {
		if !canonical(part) {
			return "", nil, false
		}
	}
	protected, _, _ := strings.Cut(text, ".")
	h, ok := parseHeader(protected)
	if !ok {
		return "", nil, false
	}
	key, ok := r.keys[h.kid]
	if !ok || expired(key.expires, now) {
		return "", nil, false
	}
	signed, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{algorithm})
	if err != nil {
		return "", nil, false
	}
	payload, err = signed.Verify(key.key)
	return h.typ, payload, err == nil
}

// canonical tells whether part is the one base64url text of its bytes. The
// decoder skips line ends and the spare bits of the last character, and the
// library signs what it decoded: without this check other texts would verify.
func canonical(part string) bool {
	b, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && base64.RawURLEncoding.EncodeToString(b) == part
}

type header struct{ kid, typ string }

// parseHeader takes the members that Sign writes and no others. So nothing of
// jku, x5u, jwk, x5c, crit or b64 is ever looked at, by us or by the library.
func parseHeader(protected string) (header, bool) {
	text, err := base64.RawURLEncoding.DecodeString(protected)
	if err != nil {
		return header{}, false
	}
	var members map[string]string
	if err := json.Unmarshal(text, &members); err != nil || len(members) != 3 {
		return header{}, false
	}
	kid, typ := members["kid"], members["typ"]
	return header{kid, typ}, members["alg"] == string(algorithm) && kid != "" && typ != ""
}

// accessToken tells an access token from the other JWTs we make or meet.
func accessToken(typ string) bool {
	return strings.EqualFold(typ, MediaType) || strings.EqualFold(typ, "application/"+MediaType)
}

// Check holds claims that were verified before against what is wanted now.
func (w *Want) Check(c *Claims) error {
	if !w.from(c) || !w.meant(c) || !w.timely(c) {
		return ErrToken
	}
	return nil
}

func (w *Want) from(c *Claims) bool { return w.Issuer != "" && c.Issuer == w.Issuer }

// meant refuses when no audience was asked for, and when both fields are set:
// then it is not clear which one the caller means.
func (w *Want) meant(c *Claims) bool {
	if w.AnyAudience {
		return w.Audience == "" && len(c.Audience) > 0
	}
	return w.Audience != "" && slices.Contains(c.Audience, w.Audience)
}

func (w *Want) timely(c *Claims) bool {
	now := w.Now.Unix()
	return c.Expires > now-leeway && c.NotBefore <= now+leeway && c.IssuedAt <= now+futureLeeway
}
