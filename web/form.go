package web

import (
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// maxForm bounds the body of an OAuth request.
const maxForm = 16 << 10

// client is how the sender of an OAuth request authenticates: with an id and
// a secret, or with an access token. The zero value is one who does not.
type client struct {
	id, secret string
	bearer     string
}

// readForm reads the parameters of an OAuth request and who sends it.
func readForm(w http.ResponseWriter, r *http.Request) (form url.Values, by client, no *oauthError) {
	if r.URL.RawQuery != "" {
		return nil, by, invalidRequest.saying("parameters belong in the body")
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" ||
		len(r.Header.Values("Content-Type")) > 1 || r.Header.Get("Content-Encoding") != "" {
		return nil, by, invalidRequest.saying("the body must be application/x-www-form-urlencoded")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, by, oauthTooLarge
	case err != nil:
		return nil, by, invalidRequest
	}
	form, ok := parseForm(string(body))
	if !ok {
		return nil, by, invalidRequest.saying("the body cannot be read, or has a parameter twice other than resource and audience")
	}
	by, no = clientOf(r.Header, form)
	return form, by, no
}

// repeatable are the parameters that may stand in a form more than once (RFC 8707
// section 2; audience is another name of resource).
var repeatable = []string{"resource", "audience"}

// parseForm reads a form (RFC 6749 appendix B). Other parameters may stand there
// once; an empty one counts as absent (section 3.2).
func parseForm(body string) (url.Values, bool) {
	values, err := url.ParseQuery(body)
	if err != nil {
		return nil, false
	}
	form := url.Values{}
	for key, list := range values {
		if !isText(key) || (len(list) > 1 && !slices.Contains(repeatable, key)) {
			return nil, false
		}
		for _, value := range list {
			if !isText(value) {
				return nil, false
			}
			if value != "" {
				form.Add(key, value)
			}
		}
	}
	return form, true
}

// clientOf finds out how the client authenticates: in one way (RFC 6749 section 2.3).
func clientOf(h http.Header, form url.Values) (by client, no *oauthError) {
	values := h.Values("Authorization")
	if len(values) > 1 {
		return by, invalidRequest.saying("there are two authorization headers")
	}
	if len(values) == 0 {
		return client{id: form.Get("client_id"), secret: form.Get("client_secret")}, nil
	}
	if form.Has("client_secret") || form.Has("client_assertion") {
		return by, invalidRequest.saying("the client authenticates in two ways")
	}
	scheme, text, _ := strings.Cut(values[0], " ")
	switch {
	case strings.EqualFold(scheme, "bearer"):
		by.bearer = strings.TrimSpace(text)
	case strings.EqualFold(scheme, "basic"):
		var ok bool
		if by.id, by.secret, ok = parseBasic(text); !ok {
			return client{}, invalidRequest.saying("the authorization header cannot be read")
		}
		if other := form.Get("client_id"); other != "" && other != by.id {
			return client{}, invalidRequest.saying("header and body name different clients")
		}
	}
	return by, nil
}

// parseBasic reads the credentials of the Basic scheme. Id and secret are
// form-encoded before they are joined (RFC 6749 section 2.3.1).
func parseBasic(text string) (id, secret string, ok bool) {
	joined, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(text))
	if err != nil {
		return "", "", false
	}
	id, secret, ok = strings.Cut(string(joined), ":")
	if !ok {
		return "", "", false
	}
	id, err = url.QueryUnescape(id)
	if err != nil || !isText(id) {
		return "", "", false
	}
	secret, err = url.QueryUnescape(secret)
	if err != nil || !isText(secret) {
		return "", "", false
	}
	return id, secret, true
}
