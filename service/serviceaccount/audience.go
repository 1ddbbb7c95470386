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
	"github.com/bizmetry/identity/store"
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

// audiences are what a token is good for that is asked for by "resource" (RFC 8707):
// this service where nothing is asked for, otherwise those of the account, as they are
// written there. Each resource has to be one of them, or this service.
func (s *Accounts) audiences(a store.ServiceAccount, resources []string) (named []string, err error) {
	for _, resource := range resources {
		if resource == "" {
			continue
		}
		audience, err := s.audience(a.Audiences, resource)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(named, audience) {
			named = append(named, audience)
		}
	}
	if len(named) == 0 {
		named = []string{s.authority.Issuer()}
	}
	return named, nil
}

func (s *Accounts) audience(own []string, resource string) (string, error) {
	if issuer := s.authority.Issuer(); token.SameAudience(resource, issuer) {
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
