package web

import (
	"context"
	"encoding/json"
	"math"
	"net/http"

	"google.golang.org/grpc/status"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/authority"
	"github.com/bizmetry/identity/service/serviceaccount"
)

// oauthError is a refusal of RFC 6749 section 5.2.
type oauthError struct {
	status int
	Word   string `json:"error"`
	Text   string `json:"error_description,omitempty"`
	// challenges and retry are for the header.
	challenges []string
	retry      string
}

// Refusals that are made here; the rules' own come by oauthErrorOf.
var (
	invalidRequest       = &oauthError{status: http.StatusBadRequest, Word: "invalid_request"}
	unsupportedGrantType = &oauthError{status: http.StatusBadRequest, Word: "unsupported_grant_type"}
	oauthTooLarge        = &oauthError{status: http.StatusRequestEntityTooLarge, Word: "invalid_request", Text: "the request is too large"}
	oauthMethod          = &oauthError{status: http.StatusMethodNotAllowed, Word: "invalid_request", Text: "the path does not take this method"}
)

// basicChallenge goes with every refusal of a client (RFC 6749 section 5.2).
const basicChallenge = `Basic realm="identity"`

// saying adds what is wrong: fixed words, nothing of the request.
func (e *oauthError) saying(text string) *oauthError {
	own := *e
	own.Text = text
	return &own
}

// oauthWords is what the reasons of the contract are called in OAuth.
var oauthWords = map[identityv1.Error_Reason]oauthError{
	identityv1.Error_CREDENTIALS_INVALID: {status: http.StatusUnauthorized, Word: "invalid_client", challenges: []string{basicChallenge}},
	identityv1.Error_NOT_FOUND:           {status: http.StatusUnauthorized, Word: "invalid_client", challenges: []string{basicChallenge}},
	identityv1.Error_TOKEN_INVALID:       {status: http.StatusUnauthorized, Word: "invalid_token", challenges: []string{`Bearer error="invalid_token"`}},
	identityv1.Error_PERMISSION_DENIED:   {status: http.StatusBadRequest, Word: "unauthorized_client"},
	identityv1.Error_GRANT_EXCEEDS_OWN:   {status: http.StatusBadRequest, Word: "unauthorized_client"},
	identityv1.Error_INVALID_SCOPE:       {status: http.StatusBadRequest, Word: "invalid_scope"},
	identityv1.Error_INVALID_TARGET:      {status: http.StatusBadRequest, Word: "invalid_target"},
	identityv1.Error_MALFORMED_REQUEST:   {status: http.StatusBadRequest, Word: "invalid_request"},
	identityv1.Error_INVALID_FIELDS:      {status: http.StatusBadRequest, Word: "invalid_request"},
	identityv1.Error_RATE_LIMITED:        {status: http.StatusTooManyRequests, Word: "temporarily_unavailable"},
	identityv1.Error_OVERLOADED:          {status: http.StatusTooManyRequests, Word: "temporarily_unavailable"},
	identityv1.Error_UNAVAILABLE:         {status: http.StatusServiceUnavailable, Word: "temporarily_unavailable"},
	identityv1.Error_DEADLINE_EXCEEDED:   {status: http.StatusServiceUnavailable, Word: "temporarily_unavailable"},
	identityv1.Error_CANCELLED:           {status: http.StatusServiceUnavailable, Word: "temporarily_unavailable"},
}

// oauthErrorOf puts an answer of the rules into the words of OAuth.
func oauthErrorOf(st *status.Status) *oauthError {
	reason := identityv1.Error_Reason(identityv1.Error_Reason_value[infoOf(st).GetReason()])
	e, ok := oauthWords[reason]
	if !ok {
		return &oauthError{status: http.StatusInternalServerError, Word: "server_error", Text: broken.text}
	}
	e.Text = st.Message()
	if reason == identityv1.Error_NOT_FOUND { // deleted this moment: as if it had never been
		e.Text = "the credentials are not accepted"
	}
	if e.status == http.StatusTooManyRequests || e.status == http.StatusServiceUnavailable {
		e.retry = retryAfter(st)
	}
	return &e
}

func writeOAuthError(w http.ResponseWriter, e *oauthError) {
	for _, c := range e.challenges {
		w.Header().Add("WWW-Authenticate", c)
	}
	if e.retry != "" {
		w.Header().Set("Retry-After", e.retry)
	}
	writeOAuth(w, e.status, e)
}

// writeOAuth writes an answer that must not be kept (RFC 6749 section 5.1).
func writeOAuth(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Pragma", "no-cache")
	text, err := json.Marshal(body)
	if err != nil {
		code, text = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	write(w, code, typeJSON, text)
}

// served runs a rule as the door would, and answers where it refuses.
func (p *port) served(w http.ResponseWriter, r *http.Request, name string, rule func(context.Context) error) bool {
	id, err := p.svc.Door.Serve(r.Context(), name, origin(r), rule)
	w.Header().Set("Request-Id", id)
	if err != nil {
		writeOAuthError(w, oauthErrorOf(answer.Of(err)))
	}
	return err == nil
}

type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in"`
	Scope       string `json:"scope,omitempty"`
}

// token is the token endpoint (RFC 6749 section 3.2) with the grant
// client_credentials (section 4.4). Who does not authenticate, or in a way
// that is not known, fails as one with a wrong secret does.
func (p *port) token(w http.ResponseWriter, r *http.Request) {
	form, by, no := readForm(w, r)
	switch {
	case no != nil:
	case !form.Has("grant_type"):
		no = invalidRequest.saying("grant_type is missing")
	case form.Get("grant_type") != "client_credentials":
		no = unsupportedGrantType
	}
	if no != nil {
		writeOAuthError(w, no)
		return
	}
	var t authority.Token
	ok := p.served(w, r, "/oauth2/token", func(ctx context.Context) (err error) {
		t, err = p.svc.Accounts.ClientCredentials(ctx, serviceaccount.TokenRequest{
			ClientID: by.id, ClientSecret: by.secret, Scope: form.Get("scope"), Resources: append(form["resource"], form["audience"]...),
		})
		return err
	})
	if !ok {
		return
	}
	writeOAuth(w, http.StatusOK, tokenAnswer{
		AccessToken: t.Text, TokenType: "Bearer", Scope: t.Scope,
		ExpiresIn: int64(math.Ceil(t.Expires.Sub(p.now()).Seconds())), // issued at a full second: the life as configured
	})
}

// introspection is the answer of RFC 7662 section 2.2. Whoever gets active:
// false learns nothing else.
type introspection struct {
	Active        bool     `json:"active"`
	Scope         string   `json:"scope,omitempty"`
	ClientID      string   `json:"client_id,omitempty"`
	TokenType     string   `json:"token_type,omitempty"`
	Expires       int64    `json:"exp,omitempty"`
	Issued        int64    `json:"iat,omitempty"`
	Subject       string   `json:"sub,omitempty"`
	Audience      []string `json:"aud,omitempty"`
	Issuer        string   `json:"iss,omitempty"`
	ID            string   `json:"jti,omitempty"`
	Organization  string   `json:"org,omitempty"`
	PrincipalType string   `json:"principal_type,omitempty"`
	Credential    string   `json:"cred,omitempty"`
	Session       string   `json:"sid,omitempty"`
}

// introspect is the introspection endpoint (RFC 7662).
func (p *port) introspect(w http.ResponseWriter, r *http.Request) {
	token, by, ok := readTokenForm(w, r)
	if !ok {
		return
	}
	var about *identityv1.IntrospectTokenResponse
	ok = p.served(w, r, "/oauth2/introspect", func(ctx context.Context) (err error) {
		about, err = p.svc.Accounts.IntrospectAs(ctx, by.id, by.secret, by.bearer, token)
		return err
	})
	if ok {
		writeOAuth(w, http.StatusOK, introspectionOf(about))
	}
}

// revoke is the revocation endpoint (RFC 7009). A token that is unknown, over
// or not the client's is answered as one that ends now. An access token serves
// to authenticate too, as on the introspection endpoint.
func (p *port) revoke(w http.ResponseWriter, r *http.Request) {
	token, by, ok := readTokenForm(w, r)
	if !ok {
		return
	}
	ok = p.served(w, r, "/oauth2/revoke", func(ctx context.Context) error {
		return p.svc.Accounts.RevokeAs(ctx, by.id, by.secret, by.bearer, token)
	})
	if ok {
		w.Header().Set("Pragma", "no-cache")
		w.WriteHeader(http.StatusOK)
	}
}

// readTokenForm reads a request about a token by a client that authenticates,
// or answers why it cannot. token_type_hint may say anything: a token tells
// its type itself (RFC 7009 section 2.1).
func readTokenForm(w http.ResponseWriter, r *http.Request) (token string, by client, ok bool) {
	form, by, no := readForm(w, r)
	switch {
	case no != nil:
	case by == client{}:
		no = &oauthError{
			status: http.StatusUnauthorized, Word: "invalid_client", Text: "the client does not authenticate",
			challenges: []string{basicChallenge, "Bearer"},
		}
	case !form.Has("token"):
		no = invalidRequest.saying("token is missing")
	}
	if no != nil {
		writeOAuthError(w, no)
	}
	return form.Get("token"), by, no == nil
}

func introspectionOf(t *identityv1.IntrospectTokenResponse) introspection {
	if !t.GetActive() {
		return introspection{}
	}
	return introspection{
		Active: true, Scope: t.GetScope(), ClientID: t.GetClientId(), TokenType: "Bearer",
		Expires: t.GetExpireTime().GetSeconds(), Issued: t.GetIssueTime().GetSeconds(),
		Subject: t.GetSub(), Audience: t.GetAud(), Issuer: t.GetIss(), ID: t.GetJti(),
		Organization: t.GetOrganizationId(), PrincipalType: t.GetPrincipalType(),
		Credential: t.GetCredentialId(), Session: t.GetSessionId(),
	}
}
