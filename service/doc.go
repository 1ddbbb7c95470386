// Package service holds the rules. It promises that every call comes through
// one door (door.go: recover, request id, log and metrics, answer, deadline,
// authenticate, authorize, validate) and that every change of identity or
// authority goes through change.go, which reads the caller's rights again
// under the lock before the rule runs.
//
// It must not know SQL (that is store's) nor HTTP (that is web's).
//
// Which file holds what: user.go, role.go, grant.go, service_account.go,
// credential.go, token.go, session.go, organization.go and event.go hold the
// RPCs of a noun; access.go reads who may call what from the proto options;
// answer.go is the table of errors; page.go, request.go and throttle.go are the
// mechanisms those rules share.
package service
