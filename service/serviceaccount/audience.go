package serviceaccount

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/token"
)

// checkAccounts has the door check what the field rules of the contract cannot say
// about machines.
func (s *Accounts) checkAccounts() {
	s.door.CheckFurther(&identityv1.CreateServiceAccountRequest{}, func(found *answer.Refusal, msg proto.Message) {
		for i, audience := range msg.(*identityv1.CreateServiceAccountRequest).GetServiceAccount().GetAudiences() {
			if no := notAudience(audience); no != "" {
				found.Add(fmt.Sprintf("service_account.audiences[%d]", i), "audience", no)
			}
		}
	})
}

// content are schemes of what is run or shown, and names nobody.
var content = []string{"about", "blob", "data", "file", "javascript", "vbscript"}

// notAudience says why a URI cannot be an audience, "" where it can. That it is a
// URI the field rules have seen.
func notAudience(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "" // the field rules say so
	case slices.Contains(content, u.Scheme):
		return "must be the URI of a service, such as https://api.example.com or urn:example:api"
	case (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() == "":
		return "must name a host"
	case u.User != nil:
		return "must not have a user or password"
	case strings.Contains(text, "#"):
		return "must not have a fragment (RFC 8707)"
	}
	return ""
}

// readAudiences keeps each audience once, and the service itself in its own spelling.
func (s *Accounts) readAudiences(texts []string) (audiences []string) {
	for _, text := range texts {
		if token.SameAudience(text, s.authority.Issuer()) {
			text = s.authority.Issuer()
		}
		if !slices.ContainsFunc(audiences, func(known string) bool { return token.SameAudience(known, text) }) {
			audiences = append(audiences, text)
		}
	}
	return audiences
}

// audienceFor is the audience of a token that is asked for by "resource": this
// service where nothing is asked for, otherwise one of the account, as it is
// written there.
func (s *Accounts) audienceFor(own []string, resource string) (string, error) {
	issuer := s.authority.Issuer()
	if resource == "" || token.SameAudience(resource, issuer) {
		return issuer, nil
	}
	if slices.Contains(own, resource) {
		return resource, nil
	}
	at := slices.IndexFunc(own, func(audience string) bool { return token.SameAudience(audience, resource) })
	if at < 0 {
		return "", answer.ErrTarget
	}
	return own[at], nil
}
