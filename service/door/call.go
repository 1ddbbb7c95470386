package door

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/fair"
	"github.com/bizmetry/identity/service/perm"
	"github.com/bizmetry/identity/service/token"
	"github.com/bizmetry/identity/store"
)

// Call is what the door knows about a request.
type Call struct {
	Method    *Method
	RequestID string
	Source    string // address of the client, by trusted facts only
	UserAgent string
	Caller    *Caller // nil on public methods
	Org       string  // the organization that the request is about
	Self      bool    // the request is about the caller
	// Sent is the request as it came, where the door read it as something else and it
	// may be repeated under a request id; nil otherwise.
	Sent    proto.Message
	cause   error // what really went wrong, for the log
	start   time.Time
	arrived bool  // its caller is known
	doubt   error // why its caller was refused, unless a moment that it names says otherwise
	flow
	// Revisions collects the revision headers that a stream sends at its end; nil for
	// a unary call, which sends them at once.
	Revisions metadata.MD
}

// flow is what a call holds while it lasts.
type flow struct {
	charged atomic.Pointer[fair.Payer] // who pays, where a rule says so
	cancel  context.CancelFunc         // of a unary call
	upload  upload
	reply   fair.Place
}

// tellID tells the client the id of the call.
func (c *Call) tellID(to interface{ SetHeader(metadata.MD) error }) {
	_ = to.SetHeader(metadata.Pairs("request-id", c.RequestID)) // fails only where there is no client to tell
}

// Denied is the refusal of a call whose caller lacks what the method takes.
func (c *Call) Denied() error { return c.deniedIn(c.Org) }

// deniedIn is Denied before it is settled which organization the call is about.
func (c *Call) deniedIn(org string) error {
	return answer.Refuse(answer.ErrDenied, "permission", c.Method.Needs(), "principal", c.Caller.ID, "organization", org)
}

type callKey struct{}

// CallOf is the call that a context belongs to.
func CallOf(ctx context.Context) *Call {
	if c, ok := ctx.Value(callKey{}).(*Call); ok {
		return c
	}
	return &Call{}
}

// ErrNotUsable refuses a good token whose principal is not usable, as far as memory knows.
var ErrNotUsable = fmt.Errorf("%w: its principal is not usable", answer.ErrToken)

// Authenticator knows principals and organizations. The door asks it who calls.
type Authenticator interface {
	// VerifyCaller verifies a bearer token and returns its caller with current rights;
	// ErrNotUsable where only those are missing.
	VerifyCaller(ctx context.Context, bearer string) (*Caller, error)
	// Glance is VerifyCaller out of memory alone, which never waits: the caller, or
	// that the bearer token cannot be one or is not accepted any more, or neither where
	// something would have to be looked up.
	Glance(bearer string) (by *Caller, dead bool)
	// RecallCaller makes of verified claims the caller, with the rights it has now.
	RecallCaller(ctx context.Context, claims token.Claims) (*Caller, error)
	// Knows refuses an organization that is not there.
	Knows(ctx context.Context, org string) error
	// Reached waits until what is remembered has seen the moment that a
	// consistency token names.
	Reached(ctx context.Context, revision string) error
}

// Caller is the principal who calls, with the rights it has now.
type Caller struct {
	store.Standing
	Claims token.Claims
	Model  *perm.Model
	Held   perm.Held
	Set    perm.Set // what is held, narrowed by the token's scope
}

// Has tells whether the caller holds a permission, within the token's scope.
func (c *Caller) Has(key string) bool { return c != nil && c.Model.Has(c.Set, key) }

// Proof is the credential or session that the caller acts with.
func (c *Caller) Proof() string { return c.Claims.Credential + c.Claims.Session }

// holdsSystem tells whether the caller holds any system permission.
func (c *Caller) holdsSystem() bool {
	return !c.Model.WithoutSystem(c.Held.Set()).Equal(c.Held.Set())
}
