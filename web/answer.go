package web

import (
	"context"
	"maps"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
)

// Types of bodies.
const (
	typeJSON = "application/json; charset=utf-8"
	typeText = "text/plain; charset=utf-8"
)

// refusal is what this port itself answers, before a call reaches the door.
type refusal struct {
	http     int
	code     codes.Code
	reason   identityv1.Error_Reason
	text     string
	metadata map[string]string
	// violations name the parameters or fields that are wrong.
	violations []*errdetails.BadRequest_FieldViolation
}

// All refusals of this port. None repeats what a request holds, but for names.
var (
	malformed = &refusal{
		http.StatusBadRequest, codes.InvalidArgument, identityv1.Error_MALFORMED_REQUEST,
		"the request cannot be read", nil, nil,
	}
	badBody = &refusal{
		http.StatusBadRequest, codes.InvalidArgument, identityv1.Error_MALFORMED_REQUEST,
		"the body is not JSON that this request takes", nil, nil,
	}
	unknownField = &refusal{
		http.StatusBadRequest, codes.InvalidArgument, identityv1.Error_MALFORMED_REQUEST,
		"the body has a field that this request does not take", nil, nil,
	}
	repeatedField = &refusal{
		http.StatusBadRequest, codes.InvalidArgument, identityv1.Error_MALFORMED_REQUEST,
		"the body has a field twice", nil, nil,
	}
	noBody = &refusal{
		http.StatusBadRequest, codes.InvalidArgument, identityv1.Error_MALFORMED_REQUEST,
		"this request takes no body", nil, nil,
	}
	badParameter = &refusal{
		http.StatusBadRequest, codes.InvalidArgument, identityv1.Error_MALFORMED_REQUEST,
		"a parameter has a value that cannot be read, or stands there twice", nil, nil,
	}
	unknownParameter = &refusal{
		http.StatusBadRequest, codes.InvalidArgument, identityv1.Error_MALFORMED_REQUEST,
		"the query has a parameter that this request does not take", nil, nil,
	}
	wrongType = &refusal{
		http.StatusUnsupportedMediaType, codes.InvalidArgument, identityv1.Error_MALFORMED_REQUEST,
		"the body must be application/json in UTF-8 (a charset, where named, is utf-8), without content encoding", nil, nil,
	}
	tooLarge = &refusal{
		http.StatusRequestEntityTooLarge, codes.ResourceExhausted, identityv1.Error_TOO_LARGE,
		"the request is too large", nil, nil,
	}
	tooManyHeaders = &refusal{
		http.StatusRequestHeaderFieldsTooLarge, codes.ResourceExhausted, identityv1.Error_TOO_LARGE,
		"the headers are too large", nil, nil,
	}
	tooSlow = &refusal{
		http.StatusRequestTimeout, codes.DeadlineExceeded, identityv1.Error_DEADLINE_EXCEEDED,
		"the request did not arrive within the deadline", nil, nil,
	}
	noSuchPath = &refusal{
		http.StatusNotFound, codes.NotFound, identityv1.Error_NOT_FOUND,
		"there is no such path", nil, nil,
	}
	wrongMethod = &refusal{
		http.StatusMethodNotAllowed, codes.Unimplemented, identityv1.Error_UNKNOWN_METHOD,
		"the path does not take this method", nil, nil,
	}
	broken = &refusal{
		http.StatusInternalServerError, codes.Internal, identityv1.Error_INTERNAL,
		"internal error", nil, nil,
	}
)

// with adds what varies from request to request.
func (no *refusal) with(name, value string) *refusal {
	own := *no
	own.metadata = map[string]string{name: value}
	maps.Copy(own.metadata, no.metadata)
	return &own
}

// badField refuses one field of a body, as the door would.
func badField(field, rule, text string) *refusal {
	return &refusal{
		http.StatusBadRequest, codes.InvalidArgument, identityv1.Error_INVALID_FIELDS, "one or more fields are not valid", nil,
		[]*errdetails.BadRequest_FieldViolation{{Field: field, Reason: rule, Description: text}},
	}
}

func (no *refusal) status() *status.Status {
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: no.reason.String(), Domain: answer.Domain, Metadata: no.metadata}}
	if len(no.violations) > 0 {
		details = append(details, &errdetails.BadRequest{FieldViolations: no.violations})
	}
	st, err := status.New(no.code, no.text).WithDetails(details...)
	if err != nil {
		return status.New(codes.Internal, broken.text)
	}
	return st
}

func refuse(w http.ResponseWriter, no *refusal) { writeStatus(w, no.http, no.status(), "") }

// gatewayError answers what the gateway reports: errors of the door, which
// have an ErrorInfo, and its own, whose text is replaced.
func (p *port) gatewayError(ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	if md, ok := runtime.ServerMetadataFromContext(ctx); ok {
		for _, id := range md.HeaderMD.Get("request-id") {
			w.Header().Set("Request-Id", id)
		}
	}
	st := status.Convert(err)
	md, _ := metadata.FromOutgoingContext(r.Context())
	if infoOf(st) == nil {
		body, _ := r.Context().Value(readingKey{}).(*reading)
		no := unread(st, body)
		route, _ := runtime.HTTPPathPattern(ctx)
		p.refused(route, p.sourceOf(r.Context(), md), no)
		refuse(w, no)
		return
	}
	code := httpStatus(st)
	if infoOf(st).GetReason() == identityv1.Error_ETAG_MISMATCH.String() && len(md.Get("if-match")) > 0 {
		code = http.StatusPreconditionFailed // what who sends that header expects
	}
	writeStatus(w, code, st, strings.Join(md.Get("authorization"), ""))
}

// httpStatus is the status for an answer of the door.
func httpStatus(st *status.Status) int {
	if infoOf(st).GetReason() == identityv1.Error_TOO_LARGE.String() {
		return http.StatusRequestEntityTooLarge
	}
	return runtime.HTTPStatusFromCode(st.Code())
}

// position is where protojson found a mistake. Its texts quote the body, which
// may be a secret in the wrong place; where it is says enough.
var position = regexp.MustCompile(`\(line (\d+:\d+)\): (unknown field|duplicate field)?`)

// unread classifies what the gateway could not read: the body, where there is one.
func unread(st *status.Status, body *reading) *refusal {
	switch st.Code() {
	case codes.InvalidArgument:
	case codes.NotFound:
		return noSuchPath
	default:
		return broken
	}
	at := position.FindStringSubmatch(st.Message())
	switch {
	case at == nil:
		return badParameter
	case at[2] == "unknown field":
		return unknownField.with("position", at[1])
	case at[2] == "duplicate field":
		return repeatedField.with("position", at[1])
	}
	no := badBody.with("position", at[1])
	if body == nil {
		return no
	}
	return body.explain(no, at[1])
}

// writeStatus writes a google.rpc.Status, with the headers that belong to it.
// Authorization is what the request had, if anything.
func writeStatus(w http.ResponseWriter, code int, st *status.Status, authorization string) {
	switch code {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", challenge(st, authorization))
	case http.StatusForbidden:
		w.Header().Set("WWW-Authenticate", lacking(st))
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", retryAfter(st))
	}
	body, err := codec.Marshal(st.Proto())
	if err != nil {
		code, body = http.StatusInternalServerError, []byte(`{"code":13,"message":"internal error"}`)
	}
	write(w, code, typeJSON, body)
}

func write(w http.ResponseWriter, code int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	_, _ = w.Write(body) //nolint:gosec // pages are made by html/template; fails only where the client has gone
}

// challenge is that of RFC 6750 section 3: bare for who sent no token.
func challenge(st *status.Status, authorization string) string {
	scheme, _, _ := strings.Cut(authorization, " ")
	if infoOf(st).GetReason() == identityv1.Error_TOKEN_INVALID.String() && strings.EqualFold(scheme, "bearer") {
		return `Bearer error="invalid_token"`
	}
	return "Bearer"
}

var permission = regexp.MustCompile(`^[a-z.]+$`)

// lacking names the permission that a token's owner or scope lacks.
func lacking(st *status.Status) string {
	const text = `Bearer error="insufficient_scope"`
	if key := infoOf(st).GetMetadata()["permission"]; permission.MatchString(key) {
		return text + `, scope="` + key + `"`
	}
	return text
}

func retryAfter(st *status.Status) string {
	for _, d := range st.Details() {
		if retry, ok := d.(*errdetails.RetryInfo); ok {
			return strconv.Itoa(max(1, int(retry.GetRetryDelay().AsDuration().Seconds())))
		}
	}
	return "1"
}

func infoOf(st *status.Status) *errdetails.ErrorInfo {
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info
		}
	}
	return nil
}
