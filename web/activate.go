package web

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"html/template"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
)

//go:embed activate.html
var activateHTML string

//go:embed page.css
var pageCSS []byte

var activatePage = template.Must(template.New("activate").Parse(activateHTML))

// activation is what the page behind an activation link shows: a form where
// there is an action, else only what it says.
type activation struct {
	Title, Text   string
	Style, Action string
	Token         string
	AskPassword   bool
	Problems      []string
}

// maxLinkToken is that of the contract.
const maxLinkToken = 200

func (p *port) pageStyle(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", cachePublic)
	write(w, http.StatusOK, "text/css; charset=utf-8", pageCSS)
}

// showActivation is where an activation link leads. It changes nothing: mail
// scanners and previews follow links too.
func (p *port) showActivation(w http.ResponseWriter, r *http.Request) {
	token := linkToken(r.URL.RawQuery)
	needed := false
	_, err := p.svc.Door.Serve(r.Context(), "/activate", origin(r), func(ctx context.Context) (err error) {
		needed, err = p.svc.Users.LinkNeedsPassword(ctx, token)
		return err
	})
	if err != nil {
		p.answerActivation(w, err, token, needed)
		return
	}
	p.askActivation(w, http.StatusOK, token, needed)
}

// activate spends an activation link.
func (p *port) activate(w http.ResponseWriter, r *http.Request) {
	form, no := p.readPageForm(w, r)
	if no != nil {
		p.refused("/activate", p.svc.Door.Source(r.RemoteAddr, r.Header.Values("X-Forwarded-For")), no)
		p.sayActivation(w, no.http, "This did not work", "The form could not be read. Follow the link in the mail again.")
		return
	}
	token, password, again := form.Get("token"), form.Get("password"), form.Get("again")
	if !isLinkToken(token) {
		token = "-"
	}
	if password != again {
		p.askActivation(w, http.StatusBadRequest, token, true, "The two passwords are not the same.")
		return
	}
	var done *identityv1.ActivateUserResponse
	_, err := p.svc.Door.Serve(r.Context(), "/activate", origin(r), func(ctx context.Context) (err error) {
		done, err = p.svc.Users.ActivateUser(ctx, &identityv1.ActivateUserRequest{Token: token, Password: password})
		return err
	})
	if err != nil {
		p.answerActivation(w, err, token, password == "") // without one: it was needed
		return
	}
	p.sayActivation(w, http.StatusOK, "Your account is active", "You can now sign in as "+done.GetEmail()+".")
}

// linkToken takes the token out of a query; what mail programs and trackers add to a
// link is passed over. Without one, or with two, it is "-", which is asked for all the
// same, so that it looks like one that is not there.
func linkToken(query string) string {
	token := ""
	for part := range strings.SplitSeq(query, "&") {
		value, found := strings.CutPrefix(part, "token=")
		if !found {
			continue
		}
		text, err := url.QueryUnescape(value)
		if err != nil || !isLinkToken(text) || token != "" {
			return "-"
		}
		token = text
	}
	return cmp.Or(token, "-")
}

func isLinkToken(token string) bool {
	return token != "" && len(token) <= maxLinkToken && isText(token)
}

// askActivation shows the form, with what was wrong with it the last time.
func (p *port) askActivation(w http.ResponseWriter, code int, token string, password bool, problems ...string) {
	page := activation{
		Title: "Activate your account", Text: "Confirm that this e-mail address is yours.",
		Action: p.base + "/activate", Token: token, AskPassword: password, Problems: problems,
	}
	if password {
		page.Text = "Choose a password for your account."
	}
	p.writeActivation(w, code, page)
}

func (p *port) sayActivation(w http.ResponseWriter, code int, title, text string) {
	p.writeActivation(w, code, activation{Title: title, Text: text})
}

func (p *port) writeActivation(w http.ResponseWriter, code int, page activation) {
	page.Style = p.base + "/page.css"
	var b bytes.Buffer
	if err := activatePage.Execute(&b, page); err != nil {
		p.log.Error("activation page", "error", err.Error())
		refuse(w, broken)
		return
	}
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	write(w, code, "text/html; charset=utf-8", b.Bytes())
}

// answerActivation says in words what the error table says in reasons.
func (p *port) answerActivation(w http.ResponseWriter, err error, token string, password bool) {
	st := answer.Of(err)
	switch infoOf(st).GetReason() {
	case identityv1.Error_LINK_INVALID.String():
		p.sayActivation(w, http.StatusBadRequest, "This link is invalid or has expired",
			"It is older than 72 hours, was replaced by a newer one, or your account has changed since. Ask your administrator for a new one.")
	case identityv1.Error_ALREADY_ACTIVATED.String():
		p.sayActivation(w, http.StatusOK, "You are already activated", "Sign in with your e-mail address and your password.")
	case identityv1.Error_EMAIL_TAKEN.String():
		p.sayActivation(w, http.StatusConflict, "This address is in use", "Another account was confirmed with this e-mail address. Ask your administrator.")
	case identityv1.Error_WEAK_PASSWORD.String():
		p.askActivation(w, http.StatusBadRequest, token, true, unmetInWords(infoOf(st).GetMetadata()["unmet"])...)
	case identityv1.Error_INVALID_FIELDS.String():
		p.askActivation(w, http.StatusBadRequest, token, password, violations(st.Details())...)
	case identityv1.Error_RATE_LIMITED.String(), identityv1.Error_OVERLOADED.String():
		w.Header().Set("Retry-After", retryAfter(st))
		p.sayActivation(w, http.StatusTooManyRequests, "Too many attempts", "Wait a little and follow the link again.")
	default:
		w.Header().Set("Retry-After", retryAfter(st))
		p.sayActivation(w, http.StatusServiceUnavailable, "This did not work", "Wait a little and follow the link again.")
	}
}

func violations(details []any) (texts []string) {
	for _, d := range details {
		if bad, ok := d.(*errdetails.BadRequest); ok {
			for _, v := range bad.GetFieldViolations() {
				texts = append(texts, strings.ToUpper(v.GetDescription()[:1])+v.GetDescription()[1:]+".")
			}
		}
	}
	return texts
}

// unmetInWords says which rules a password does not meet.
func unmetInWords(unmet string) (texts []string) {
	words := map[string]string{
		"too_short": "It is too short.", "too_long": "It is too long.",
		"no_upper": "It needs an upper-case letter.", "no_digit": "It needs a digit.", "no_special": "It needs one of # @ _ ! $.",
		"common": "It is one of the passwords that are tried first.", "context": "It is made of your name, address or organization.",
	}
	for rule := range strings.SplitSeq(unmet, ",") {
		if text := words[rule]; text != "" {
			texts = append(texts, text)
		}
	}
	if len(texts) == 0 {
		texts = []string{"Choose another password."}
	}
	return texts
}

// readPageForm reads what a form of our own pages sends.
func (p *port) readPageForm(w http.ResponseWriter, r *http.Request) (url.Values, *refusal) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if !p.sameOrigin(r) || r.URL.RawQuery != "" || err != nil || media != "application/x-www-form-urlencoded" ||
		len(r.Header.Values("Content-Type")) > 1 || r.Header.Get("Content-Encoding") != "" {
		return nil, malformed
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	if err != nil {
		return nil, malformed
	}
	form, ok := parseForm(string(body))
	if !ok {
		return nil, malformed
	}
	return form, nil
}

// sameOrigin tells whether a form was sent by a page of ours, as far as the
// browser says. Because our pages send no referrer, older ones say "null",
// which other pages can do as well: all that they could send without is a
// token, and who has that needs no other page's help.
func (p *port) sameOrigin(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin"
	}
	origin := r.Header.Get("Origin")
	return origin == "" || origin == "null" || origin == p.origin
}
