// Package clients has no code, only tests: clients that others wrote, as they
// come out of their registries, against the binary that is shipped. It is a
// module of its own, so that the service needs none of them.
//
// Which file holds what: service_test.go the service; oauth2_test.go and
// oidc_test.go clients in Go; npm_test.go and the scripts it runs those of npm.
package clients
