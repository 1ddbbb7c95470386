package service

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
)

// Origin is what a transport other than gRPC knows about a request.
type Origin struct {
	// Peer is the address of the connection, Forwarded the values of X-Forwarded-For.
	Peer      string
	Forwarded []string
	UserAgent string
}

// Serve runs one request of an endpoint that is not in the contract (OAuth)
// with the same request id, deadline, log and metrics as the door. The name
// is a constant, such as "/oauth2/token". It returns the request id, and fn's
// error as it is; Answer says what the client may see of it.
func (s *Service) Serve(ctx context.Context, name string, from Origin, fn func(context.Context) error) (requestID string, err error) {
	start := time.Now()
	c := &call{
		method: &method{name: name}, requestID: s.newID(), userAgent: cut(from.UserAgent, 200),
		source: s.Source(from.Peer, from.Forwarded),
	}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, callKey{}, c), maxDeadline)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
		if c.cause = err; err != nil {
			s.note(ctx, c, Answer(err).Err(), time.Since(start))
			return
		}
		s.note(ctx, c, nil, time.Since(start))
	}()
	return c.requestID, fn(ctx)
}

// IntrospectAs answers the OAuth introspection endpoint (RFC 7662): the
// client authenticates with a secret, or with an access token where bearer is set.
func (s *Service) IntrospectAs(ctx context.Context, clientID, clientSecret, bearer, text string) (*identityv1.IntrospectTokenResponse, error) {
	by, err := s.oauthCaller(ctx, clientID, clientSecret, bearer)
	if err != nil {
		return nil, err
	}
	callOf(ctx).caller, callOf(ctx).org = by, by.Org
	return s.introspect(ctx, by, text)
}

// RevokeAs answers the OAuth revocation endpoint (RFC 7009).
func (s *Service) RevokeAs(ctx context.Context, clientID, clientSecret, bearer, text string) error {
	by, err := s.oauthCaller(ctx, clientID, clientSecret, bearer)
	if err != nil {
		return err
	}
	c := callOf(ctx)
	c.caller, c.org, c.method = by, by.Org, s.methods[identityv1.ServiceAccountService_RevokeToken_FullMethodName]
	return s.revokeToken(ctx, text)
}

func (s *Service) oauthCaller(ctx context.Context, clientID, clientSecret, bearer string) (*caller, error) {
	if bearer != "" {
		return s.verifyCaller(ctx, bearer)
	}
	standing, credential, err := s.authenticateMachine(ctx, clientID, clientSecret)
	if err != nil {
		return nil, err
	}
	claims := s.claimsFor(standing.Standing)
	claims.Credential = credential
	return s.recallCaller(ctx, claims)
}
