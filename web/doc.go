// Package web is the HTTP port: the REST mirror of the contract, the OAuth 2.0
// endpoints, the well-known documents and the docs page.
//
// It promises that a REST call passes the same door as a gRPC call (channel.go
// carries it there), that nothing of an HTTP request reaches the rules but its
// route, its query, its body and the headers listed in rest.go, that every
// refusal has the shape its readers expect (google.rpc.Status with one
// ErrorInfo, or RFC 6749 for OAuth), and that no URL it answers with is made
// of a request.
//
// It must not know rules, rows or SQL: it turns HTTP into calls of package
// service and back.
//
// Which file holds what: web.go the port and its table of paths; route.go the
// paths of the contract; rest.go the REST mirror; answer.go refusals;
// channel.go the way to the door; oauth.go and form.go OAuth 2.0; wellknown.go
// and docs.go what everybody may read.
package web
