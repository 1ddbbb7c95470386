package web_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// wrongFields are the violations of an answer, as "field: description".
func (a reply) wrongFields() (all []string) {
	var body struct {
		Details []struct {
			FieldViolations []struct{ Field, Description string }
		}
	}
	_ = json.Unmarshal([]byte(a.text), &body)
	for _, d := range body.Details {
		for _, v := range d.FieldViolations {
			all = append(all, fmt.Sprintf("%s: %s", v.Field, v.Description))
		}
	}
	return all
}

// What cannot be read is named, with what it takes: never with what it was.
func TestREST_UnreadableIsNamed(t *testing.T) {
	s := newSite(t)
	const (
		states = "must be one of ACTIVE, PENDING, DISABLED"
		text   = "must be a text, in valid Unicode"
	)
	for _, r := range []struct {
		name, method, path, body string
		want                     []string
	}{
		{"an enum in lower case", "GET", "/v1/users?filter.state=active", "", []string{"filter.state: " + states}},
		{"an enum that is none", "GET", "/v1/users?filter.state=secret", "", []string{"filter.state: " + states}},
		{"a number", "GET", "/v1/users?pageSize=abc", "", []string{"pageSize: must be a whole number"}},
		{"a number with a fraction", "GET", "/v1/users?page_size=1.5", "", []string{"page_size: must be a whole number"}},
		{"a number too large", "GET", "/v1/users?pageSize=99999999999", "", []string{"pageSize: must be a whole number"}},
		{"a truth", "GET", "/v1/users?withSummary=secret", "", []string{"withSummary: must be true or false"}},
		{"all at once", "GET", "/v1/users?pageSize=abc&filter.state=x&withSummary=", "", []string{
			"filter.state: " + states, "pageSize: must be a whole number", "withSummary: must be true or false",
		}},
		{"twice", "GET", "/v1/users?pageSize=1&pageSize=2", "", []string{"pageSize: is given more than once"}},
		{"in both spellings", "GET", "/v1/users?pageSize=1&page_size=2", "", []string{"page_size: is given as pageSize too"}},
		{"no UTF-8", "GET", "/v1/users?filter.name=%ff", "", []string{"filter.name: " + text}},
		{"a time", "GET", "/v1/events?filter.startTime=yesterday", "", []string{"filter.startTime: must be a time such as 2026-01-31T12:00:00Z"}},
		{"a format", "GET", "/v1/users:export?format=secret", "", []string{"format: must be one of CSV, JSON_LINES"}},
		{"half a surrogate", "POST", "/v1/users", `{"email":"\ud800"}`, []string{"email: " + text}},
		{"half a surrogate further on", "POST", "/v1/users", "{\n  \"firstName\": \"\u00e4\",\n  \"email\": \"\u00e4b\\ud800\"}", []string{"email: " + text}},
		{"half a pair before text", "POST", "/v1/users", `{"firstName":"\\ud83d","email":"\udc00abcdef"}`, []string{"email: " + text}},
		{"two first halves", "POST", "/v1/sessions", `{"email":"a\ud800\ud800"}`, []string{"email: " + text}},
		{"half a pair in a list", "POST", "/v1/users", `{"roleIds":["\ud83d\ude00","\ud83d"]}`, []string{"roleIds[1]: " + text}},
		{"half a pair in a key", "POST", "/v1/users", `{"\ud800":1}`, nil},
		{"a number for a text", "POST", "/v1/users", ` {"firstName":"A","email":7}`, []string{"email: " + text}},
		{"a text for a truth", "POST", "/v1/users", `{"confirmed":"secret"}`, []string{"confirmed: must be true or false"}},
		{"a text for a list", "POST", "/v1/users", `{"roleIds":"x"}`, []string{"roleIds: must be a list"}},
		{"a number in a list", "POST", "/v1/users", `{"role_ids":["x","y",7]}`, []string{"role_ids[2]: " + text}},
		{"inside an object", "POST", "/v1/organizations", `{"administrator":{"email":"a"},"organization":{"displayName":false}}`, []string{"organization.displayName: " + text}},
		{"inside a list", "POST", "/v1/access:batchCheck", `{"checks":[{"permission":"a"},{"permission":{}}]}`, []string{"checks[1].permission: " + text}},
		{"a text for an object", "POST", "/v1/organizations", `{"organization":"x"}`, []string{"organization: must be an object"}},
		{"a time in a body", "POST", "/v1/serviceAccounts/x/credentials", `{"expireTime":"secret"}`, []string{"expireTime: must be a time such as 2026-01-31T12:00:00Z"}},
		{"a duration in an update", "PATCH", "/v1/users/x", `{"enabled":1}`, []string{"enabled: must be true or false"}},
		{"an unknown field", "POST", "/v1/users", `{"secret":1}`, nil},
		{"no object", "POST", "/v1/users", `[]`, nil},
	} {
		t.Run(r.name, func(t *testing.T) {
			a := s.call(s.Root, r.method, r.path, r.body)
			a.is(t, 400, "MALFORMED_REQUEST")
			if got := a.wrongFields(); !slices.EqualFunc(got, r.want, strings.HasPrefix) || strings.Contains(a.text, `"secret`) {
				t.Errorf("%q, want %q: %s", got, r.want, a.text)
			}
		})
	}
}
