package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// readable is an error of the API for people: reason, sentence, and what is
// wrong with which field. Several stay several.
func readable(err error) error {
	if several, ok := err.(interface{ Unwrap() []error }); ok { // only this one, not what it wraps
		var all []error
		for _, one := range several.Unwrap() {
			all = append(all, readable(one))
		}
		return errors.Join(all...)
	}
	var of interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &of) {
		return err
	}
	st := of.GRPCStatus()
	text := inWords(st)
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			text = d.GetReason() + ": " + text
			for _, name := range []string{"permission", "limit", "unmet", "field", "row", "cause"} {
				if value := d.GetMetadata()[name]; value != "" {
					text += " (" + name + " " + value + ")"
				}
			}
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				text += "\n  " + v.GetField() + ": " + v.GetDescription()
			}
		case *errdetails.RetryInfo:
			text += fmt.Sprintf("; again in %v", d.GetRetryDelay().AsDuration())
		}
	}
	return errors.New(strings.TrimSpace(text))
}

// wrapping is what gRPC puts around the texts of others.
var wrapping = regexp.MustCompile(`(rpc error: code = \w+ desc = |connection error: desc = |transport: )`)

// inWords is the sentence of an error. What the service itself says has one
// already; the client's library speaks to programmers.
func inWords(st *status.Status) string {
	text := strings.ReplaceAll(wrapping.ReplaceAllString(st.Message(), ""), `"`, "")
	if len(st.Details()) > 0 {
		return text
	}
	switch st.Code() {
	case codes.Unavailable:
		return "the service cannot be reached: " + text
	case codes.DeadlineExceeded:
		return "the service did not answer in time"
	case codes.Canceled:
		return "the call was broken off"
	case codes.Unimplemented:
		return "the service does not know this call: is it an identity service, and as new as this program?"
	}
	return text
}
