package service

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
	errInvalidFields      = errors.New("invalid fields")
	errMalformed          = errors.New("malformed request")
	errTooLarge           = errors.New("request too large")
	errToken              = errors.New("token refused")
	errCredentials        = errors.New("credentials refused")
	errDenied             = errors.New("permission denied")
	errNotFound           = store.ErrNotFound
	errEmailTaken         = errors.New("e-mail taken")
	errParentTaken        = errors.New("parent taken")
	errWeakPassword       = errors.New("weak password")
	errGrantExceedsOwn    = errors.New("grant exceeds own")
	errLastAdministrator  = errors.New("last administrator")
	errEtag               = errors.New("etag mismatch")
	errMatchChanged       = errors.New("match changed")
	errRequestIDReused    = errors.New("request id reused")
	errRateLimited        = errors.New("rate limited")
	errPageToken          = errors.New("page token refused")
	errUnknownPermission  = errors.New("unknown permission")
	errOrganizationNeeded = errors.New("organization required")
	errPlatformOnly       = errors.New("platform organization only")
	errConfirmNotAllowed  = errors.New("confirming not allowed")
	errLimitReached       = errors.New("limit reached")
	errScope              = errors.New("scope refused")
	errTarget             = errors.New("target refused")
	errPhoneNotVerified   = errors.New("phone not verified")
	errCode               = errors.New("code refused")
	errVerificationOver   = errors.New("verification over")
	errUnknownMethod      = errors.New("unknown method")
	errLink               = errors.New("link refused")
	errAlreadyConfirmed   = errors.New("already confirmed")
	errStopping           = errors.New("stopping")
	errTooManyStreams     = errors.New("too many streams")
)

// answers is the whole table: the first that matches counts, and nothing else
// reaches a client.
var answers = []struct {
	err    error
	code   codes.Code
	reason identityv1.Error_Reason
	text   string
}{
	{errInvalidFields, codes.InvalidArgument, identityv1.Error_INVALID_FIELDS, "one or more fields are not valid"},
	{errMalformed, codes.InvalidArgument, identityv1.Error_MALFORMED_REQUEST, "the request cannot be read"},
	{errTooLarge, codes.ResourceExhausted, identityv1.Error_TOO_LARGE, "the request is too large"},
	{errToken, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID, "a valid access token is required"},
	{errCredentials, codes.Unauthenticated, identityv1.Error_CREDENTIALS_INVALID, "the credentials are not accepted"},
	{errDenied, codes.PermissionDenied, identityv1.Error_PERMISSION_DENIED, "the caller lacks a permission"},
	{errEmailTaken, codes.AlreadyExists, identityv1.Error_EMAIL_TAKEN, "the e-mail address is in use"},
	{errParentTaken, codes.AlreadyExists, identityv1.Error_PARENT_TAKEN, "the parent has a service account already"},
	{errWeakPassword, codes.InvalidArgument, identityv1.Error_WEAK_PASSWORD, "the password does not meet the rules"},
	{errGrantExceedsOwn, codes.PermissionDenied, identityv1.Error_GRANT_EXCEEDS_OWN, "the caller does not hold all permissions concerned"},
	{errLastAdministrator, codes.FailedPrecondition, identityv1.Error_LAST_ADMINISTRATOR, "an organization keeps its last administrator"},
	{errEtag, codes.Aborted, identityv1.Error_ETAG_MISMATCH, "the resource has changed since it was read"},
	{errMatchChanged, codes.Aborted, identityv1.Error_MATCH_CHANGED, "other people match by now"},
	{errRequestIDReused, codes.InvalidArgument, identityv1.Error_REQUEST_ID_REUSED, "the request id was used with other content"},
	{errRateLimited, codes.ResourceExhausted, identityv1.Error_RATE_LIMITED, "too many attempts"},
	{errPageToken, codes.InvalidArgument, identityv1.Error_PAGE_TOKEN_INVALID, "the page token does not belong to this list"},
	{errUnknownPermission, codes.InvalidArgument, identityv1.Error_UNKNOWN_PERMISSION, "there is no such permission"},
	{errOrganizationNeeded, codes.InvalidArgument, identityv1.Error_ORGANIZATION_REQUIRED, "a service account with system permissions must name the organization"},
	{errPlatformOnly, codes.FailedPrecondition, identityv1.Error_PLATFORM_ONLY, "only the platform organization holds system permissions"},
	{errConfirmNotAllowed, codes.PermissionDenied, identityv1.Error_CONFIRM_NOT_ALLOWED, "the caller may not set confirmed"},
	{errLimitReached, codes.FailedPrecondition, identityv1.Error_LIMIT_REACHED, "there are as many as there may be"},
	{errScope, codes.InvalidArgument, identityv1.Error_INVALID_SCOPE, "the scope exceeds what the account holds"},
	{errTarget, codes.InvalidArgument, identityv1.Error_INVALID_TARGET, "the resource is no audience of the account"},
	{errPhoneNotVerified, codes.FailedPrecondition, identityv1.Error_PHONE_NOT_VERIFIED, "a phone number counts only with a proof that it was verified"},
	{errCode, codes.InvalidArgument, identityv1.Error_CODE_INVALID, "the code is not the one that was sent"},
	{errVerificationOver, codes.FailedPrecondition, identityv1.Error_VERIFICATION_OVER, "the verification is over, start a new one"},
	{errLink, codes.FailedPrecondition, identityv1.Error_LINK_INVALID, "the link is not, or no longer, good"},
	{errAlreadyConfirmed, codes.FailedPrecondition, identityv1.Error_ALREADY_CONFIRMED, "the address is confirmed already"},
	{errUnknownMethod, codes.Unimplemented, identityv1.Error_UNKNOWN_METHOD, "there is no such method"},
	{errStopping, codes.Unavailable, identityv1.Error_UNAVAILABLE, "the server is stopping, try another or again shortly"},
	{secret.ErrBusy, codes.ResourceExhausted, identityv1.Error_OVERLOADED, "too much to do, try again shortly"},
	{errTooManyStreams, codes.ResourceExhausted, identityv1.Error_OVERLOADED, "too many streams at once, try again when one has ended"},
	{store.ErrBusy, codes.Unavailable, identityv1.Error_UNAVAILABLE, "the organization is busy, try again shortly"},
	{store.ErrUnavailable, codes.Unavailable, identityv1.Error_UNAVAILABLE, "the outcome is unknown: try again, a write with the same request id"},
	{store.ErrNotFound, codes.NotFound, identityv1.Error_NOT_FOUND, "no such thing in this organization"},
	{store.ErrExists, codes.AlreadyExists, identityv1.Error_ALREADY_EXISTS, "it exists already"},
	{context.DeadlineExceeded, codes.DeadlineExceeded, identityv1.Error_DEADLINE_EXCEEDED, "not done within the deadline"},
	{context.Canceled, codes.Canceled, identityv1.Error_CANCELLED, "the caller went away"},
}

// refusal adds to a sentinel what varies from call to call.
type refusal struct {
	sentinel   error
	metadata   map[string]string
	violations []*errdetails.BadRequest_FieldViolation
	retry      time.Duration
}

func (r *refusal) Error() string { return fmt.Sprintf("%v %v", r.sentinel, r.metadata) }
func (r *refusal) Unwrap() error { return r.sentinel }

// refuse is a sentinel with metadata: name, value, name, value.
func refuse(sentinel error, metadata ...string) error {
	r := &refusal{sentinel: sentinel, metadata: map[string]string{}}
	for i := 0; i+1 < len(metadata); i += 2 {
		r.metadata[metadata[i]] = metadata[i+1]
	}
	return r
}

// invalid is one bad field: its path, the rule's name, and what the rule says.
func invalid(field, rule, text string) error {
	return &refusal{sentinel: errInvalidFields, violations: []*errdetails.BadRequest_FieldViolation{
		{Field: field, Reason: rule, Description: text},
	}}
}

// retryIn is a sentinel that says when to try again.
func retryIn(sentinel error, wait time.Duration) error {
	return &refusal{sentinel: sentinel, retry: max(wait, time.Second).Round(time.Second)}
}

// orNothing is the refusal, if there is anything to refuse.
func (r *refusal) orNothing() error {
	if len(r.violations) == 0 {
		return nil
	}
	return r
}

// violationsAtMost bounds what is answered: each item of a long list can be wrong.
const violationsAtMost = 50

// add adds a bad field, as far as there is room.
func (r *refusal) add(field, rule, text string) {
	if len(r.violations) >= violationsAtMost {
		return
	}
	r.violations = append(r.violations, &errdetails.BadRequest_FieldViolation{Field: field, Reason: rule, Description: text})
}

// Answer makes of an error what the client may see. Unknown errors become INTERNAL.
func Answer(err error) *status.Status {
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
	var r *refusal
	if errors.As(err, &r) {
		info.Metadata = maps.Clone(r.metadata)
		retry = max(retry, r.retry)
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
