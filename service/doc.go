// Package service joins the rooms into the service: New makes them, Register
// adds those that implement the contract to a server, and Run does their
// background work. It holds no rules, and one RPC: GetMe, which answers with a
// user or a service account.
//
// It must not know SQL (that is store's) nor HTTP (that is web's).
package service
