// Package answer has the sentinels that rules refuse calls with, and the one
// table that says what a client sees of each. No other room makes a gRPC status;
// web makes those of requests that do not reach the door. It must not know why a
// rule refused.
package answer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/store"
)

// Domain is the domain of every ErrorInfo of this API.
const Domain = "identity.bizmetry.io"

// What rules can refuse a call with. answers says how each reaches the client.
var (
	ErrInvalidFields      = errors.New("invalid fields")
	ErrMalformed          = errors.New("malformed request")
	ErrTooLarge           = errors.New("request too large")
	ErrToken              = errors.New("token refused")
	ErrCredentials        = errors.New("credentials refused")
	ErrDenied             = errors.New("permission denied")
	ErrNotFound           = store.ErrNotFound
	ErrEmailTaken         = errors.New("e-mail taken")
	ErrParentTaken        = errors.New("parent taken")
	ErrWeakPassword       = errors.New("weak password")
	ErrGrantExceedsOwn    = errors.New("grant exceeds own")
	ErrLastAdministrator  = errors.New("last administrator")
	ErrEtag               = errors.New("etag mismatch")
	ErrMatchChanged       = errors.New("match changed")
	ErrRequestIDReused    = errors.New("request id reused")
	ErrRateLimited        = errors.New("rate limited")
	ErrAddressesLimited   = errors.New("new e-mail addresses are limited")
	ErrPageToken          = errors.New("page token refused")
	ErrUnknownPermission  = errors.New("unknown permission")
	ErrOrganizationNeeded = errors.New("organization required")
	ErrPlatformOnly       = errors.New("platform organization only")
	ErrConfirmNotAllowed  = errors.New("confirming not allowed")
	ErrLimitReached       = errors.New("limit reached")
	ErrScope              = errors.New("scope refused")
	ErrTarget             = errors.New("target refused")
	ErrPhoneNotVerified   = errors.New("phone not verified")
	ErrCode               = errors.New("code refused")
	ErrVerificationOver   = errors.New("verification over")
	ErrUnknownMethod      = errors.New("unknown method")
	ErrLink               = errors.New("link refused")
	ErrAlreadyConfirmed   = errors.New("already confirmed")
	ErrAlreadyActivated   = errors.New("already activated")
	ErrUserDisabled       = errors.New("user disabled")
	ErrStopping           = errors.New("stopping")
	ErrTooManyStreams     = errors.New("too many streams")
	ErrOverloaded         = errors.New("overloaded")
)

// answers is the whole table: the first that matches counts, and nothing else
// reaches a client.
var answers = []struct {
	err    error
	code   codes.Code
	reason identityv1.Error_Reason
	text   string
}{
	{ErrInvalidFields, codes.InvalidArgument, identityv1.Error_INVALID_FIELDS, "one or more fields are not valid"},
	{ErrMalformed, codes.InvalidArgument, identityv1.Error_MALFORMED_REQUEST, "the request cannot be read"},
	{ErrTooLarge, codes.ResourceExhausted, identityv1.Error_TOO_LARGE, "the request is too large"},
	{ErrToken, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID, "a valid access token is required"},
	{ErrCredentials, codes.Unauthenticated, identityv1.Error_CREDENTIALS_INVALID, "the credentials are not accepted"},
	{ErrDenied, codes.PermissionDenied, identityv1.Error_PERMISSION_DENIED, "the caller lacks a permission"},
	{ErrEmailTaken, codes.AlreadyExists, identityv1.Error_EMAIL_TAKEN, "the e-mail address is in use"},
	{ErrParentTaken, codes.AlreadyExists, identityv1.Error_PARENT_TAKEN, "the parent has a service account already"},
	{ErrWeakPassword, codes.InvalidArgument, identityv1.Error_WEAK_PASSWORD, "the password does not meet the rules"},
	{ErrGrantExceedsOwn, codes.PermissionDenied, identityv1.Error_GRANT_EXCEEDS_OWN, "the caller does not hold all permissions concerned"},
	{ErrLastAdministrator, codes.FailedPrecondition, identityv1.Error_LAST_ADMINISTRATOR, "an organization keeps its last administrator"},
	{ErrEtag, codes.Aborted, identityv1.Error_ETAG_MISMATCH, "the resource has changed since it was read"},
	{ErrMatchChanged, codes.Aborted, identityv1.Error_MATCH_CHANGED, "other people match by now"},
	{ErrRequestIDReused, codes.InvalidArgument, identityv1.Error_REQUEST_ID_REUSED, "the request id was used with other content"},
	{ErrAddressesLimited, codes.ResourceExhausted, identityv1.Error_RATE_LIMITED, "too many addresses that were named belong to users of other organizations: new e-mail addresses are refused until the limit ends"},
	{ErrRateLimited, codes.ResourceExhausted, identityv1.Error_RATE_LIMITED, "too many attempts"},
	{ErrPageToken, codes.InvalidArgument, identityv1.Error_PAGE_TOKEN_INVALID, "the page token does not belong to this list"},
	{ErrUnknownPermission, codes.InvalidArgument, identityv1.Error_UNKNOWN_PERMISSION, "there is no such permission"},
	{ErrOrganizationNeeded, codes.InvalidArgument, identityv1.Error_ORGANIZATION_REQUIRED, "a service account with system permissions must name the organization"},
	{ErrPlatformOnly, codes.FailedPrecondition, identityv1.Error_PLATFORM_ONLY, "only the platform organization holds system permissions"},
	{ErrConfirmNotAllowed, codes.PermissionDenied, identityv1.Error_CONFIRM_NOT_ALLOWED, "the caller may not set confirmed"},
	{ErrLimitReached, codes.FailedPrecondition, identityv1.Error_LIMIT_REACHED, "there are as many as there may be"},
	{ErrScope, codes.InvalidArgument, identityv1.Error_INVALID_SCOPE, "the scope exceeds what the account holds"},
	{ErrTarget, codes.InvalidArgument, identityv1.Error_INVALID_TARGET, "the resource is no audience of the account"},
	{ErrPhoneNotVerified, codes.FailedPrecondition, identityv1.Error_PHONE_NOT_VERIFIED, "a phone number counts only with a proof that it was verified"},
	{ErrCode, codes.InvalidArgument, identityv1.Error_CODE_INVALID, "the code is not the one that was sent"},
	{ErrVerificationOver, codes.FailedPrecondition, identityv1.Error_VERIFICATION_OVER, "the verification is over, start a new one"},
	{ErrLink, codes.FailedPrecondition, identityv1.Error_LINK_INVALID, "the link is not, or no longer, good"},
	{ErrAlreadyActivated, codes.FailedPrecondition, identityv1.Error_ALREADY_ACTIVATED, "the account is already activated: sign in"},
	{ErrUserDisabled, codes.FailedPrecondition, identityv1.Error_USER_DISABLED, "the user is disabled: enable them first"},
	{ErrAlreadyConfirmed, codes.FailedPrecondition, identityv1.Error_ALREADY_CONFIRMED, "the address is confirmed, and the user has a password"},
	{ErrUnknownMethod, codes.Unimplemented, identityv1.Error_UNKNOWN_METHOD, "there is no such method"},
	{ErrStopping, codes.Unavailable, identityv1.Error_UNAVAILABLE, "the server is stopping, try another or again shortly"},
	{secret.ErrBusy, codes.ResourceExhausted, identityv1.Error_OVERLOADED, "too much to do, try again shortly"},
	{ErrTooManyStreams, codes.ResourceExhausted, identityv1.Error_OVERLOADED, "too many streams at once, try again when one has ended"},
	{ErrOverloaded, codes.ResourceExhausted, identityv1.Error_OVERLOADED, "too much is under way for this caller or organization, try again shortly"},
	{store.ErrOverloaded, codes.ResourceExhausted, identityv1.Error_OVERLOADED, "too many calls of this organization or caller wait for the database, try again shortly"},
	{store.ErrBusy, codes.Unavailable, identityv1.Error_UNAVAILABLE, "the organization is busy, try again shortly"},
	{store.ErrUnavailable, codes.Unavailable, identityv1.Error_UNAVAILABLE, "the outcome is unknown: try again, a write with the same request id"},
	{store.ErrNotFound, codes.NotFound, identityv1.Error_NOT_FOUND, "no such thing in this organization"},
	{store.ErrExists, codes.AlreadyExists, identityv1.Error_ALREADY_EXISTS, "it exists already"},
	{context.DeadlineExceeded, codes.DeadlineExceeded, identityv1.Error_DEADLINE_EXCEEDED, "not done within the deadline"},
	{context.Canceled, codes.Canceled, identityv1.Error_CANCELLED, "the caller went away"},
}

// Refusal adds to a sentinel what varies from call to call.
type Refusal struct {
	Sentinel   error
	metadata   map[string]string
	violations []*errdetails.BadRequest_FieldViolation
	retry      time.Duration
}

func (r *Refusal) Error() string { return fmt.Sprintf("%v %v", r.Sentinel, r.metadata) }
func (r *Refusal) Unwrap() error { return r.Sentinel }

// Refuse is a sentinel with metadata: name, value, name, value.
func Refuse(sentinel error, metadata ...string) error {
	r := &Refusal{Sentinel: sentinel, metadata: map[string]string{}}
	for i := 0; i+1 < len(metadata); i += 2 {
		r.metadata[metadata[i]] = metadata[i+1]
	}
	return r
}

// Invalid is one bad field: its path, the rule's name, and what the rule says.
func Invalid(field, rule, text string) error {
	return &Refusal{Sentinel: ErrInvalidFields, violations: []*errdetails.BadRequest_FieldViolation{
		{Field: field, Reason: rule, Description: text},
	}}
}

// Limited is a sentinel that names the limit that refused, and says when to try again.
func Limited(sentinel error, limit string, wait time.Duration) error {
	return &Refusal{Sentinel: sentinel, metadata: map[string]string{"limit": limit}, retry: max(wait, time.Second).Round(time.Second)}
}

// Wait is when to try again, if that helps.
func (r *Refusal) Wait() time.Duration { return r.retry }

// OrNil is the refusal, if there is anything to refuse.
func (r *Refusal) OrNil() error {
	if len(r.violations) == 0 {
		return nil
	}
	return r
}

// violationsAtMost bounds what is answered: each item of a long list can be wrong.
const violationsAtMost = 50

// Add adds a bad field, as far as there is room.
func (r *Refusal) Add(field, rule, text string) {
	if len(r.violations) >= violationsAtMost {
		return
	}
	r.violations = append(r.violations, &errdetails.BadRequest_FieldViolation{Field: field, Reason: rule, Description: text})
}

// Of makes of an error what the client may see. Unknown errors become INTERNAL.
func Of(err error) *status.Status {
	code, reason, text := codes.Internal, identityv1.Error_INTERNAL, "internal error"
	for _, a := range answers {
		if errors.Is(err, a.err) {
			code, reason, text = a.code, a.reason, a.text
			break
		}
	}
	info := &errdetails.ErrorInfo{Reason: reason.String(), Domain: Domain}
	details := []protoadapt.MessageV1{info}
	retry := time.Duration(0)
	if code == codes.ResourceExhausted && reason != identityv1.Error_TOO_LARGE {
		retry = time.Second
	}
	var r *Refusal
	if errors.As(err, &r) {
		info.Metadata = maps.Clone(r.metadata)
		retry = max(retry, r.retry)
		if limit := r.metadata["limit"]; limit != "" {
			text += " (limit: " + limit + ")"
		}
		if len(r.violations) > 0 {
			details = append(details, &errdetails.BadRequest{FieldViolations: r.violations})
		}
	}
	if retry > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(retry)})
	}
	answer, err := status.New(code, text).WithDetails(details...)
	if err != nil {
		return status.New(codes.Internal, "internal error")
	}
	return answer
}
