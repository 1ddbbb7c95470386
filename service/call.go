package service

import (
	"context"

	"google.golang.org/grpc/metadata"

	"github.com/bizmetry/identity/service/perm"
	"github.com/bizmetry/identity/service/token"
	"github.com/bizmetry/identity/store"
)

// call is what the door knows about a request.
type call struct {
	method    *method
	requestID string
	source    string // address of the client, by trusted facts only
	userAgent string
	caller    *caller // nil on public methods
	org       string  // the organization that the request is about
	cause     error   // what really went wrong, for the log
	// revisions collects what a stream has to announce at its end; nil: a call, which does at once.
	revisions metadata.MD
}

// denied is the refusal of a call whose caller lacks what the method takes.
func (c *call) denied() error {
	return refuse(errDenied, "permission", c.method.needs(), "principal", c.caller.ID, "organization", c.org)
}

type callKey struct{}

func callOf(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c
	}
	return &call{}
}

// authenticator knows principals and organizations. The door asks it who calls.
type authenticator interface {
	// verifyCaller makes of a bearer token the caller with its present rights.
	verifyCaller(ctx context.Context, bearer string) (*caller, error)
	// recallCaller makes of verified claims the caller, with the rights it has now.
	recallCaller(ctx context.Context, claims token.Claims) (*caller, error)
	// knows refuses an organization that is not there.
	knows(ctx context.Context, org string) error
	// reached waits until what is remembered has seen the moment that a
	// consistency token names.
	reached(ctx context.Context, revision string) error
}

// caller is the principal who calls, with the rights it has now.
type caller struct {
	store.Standing
	claims token.Claims
	model  *perm.Model
	held   perm.Held
	set    perm.Set // what is held, narrowed by the token's scope
}

// has tells whether the caller holds a permission, within the token's scope.
func (c *caller) has(key string) bool { return c != nil && c.model.Has(c.set, key) }

// proof is the credential or session that the caller acts with.
func (c *caller) proof() string { return c.claims.Credential + c.claims.Session }

// holdsSystem tells whether the caller holds any system permission.
func (c *caller) holdsSystem() bool {
	return !c.model.WithoutSystem(c.held.Set()).Equal(c.held.Set())
}
