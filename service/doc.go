// Package service joins its rooms into the service: New makes them, Register
// adds those that implement the contract to a server, Run does their work in
// the background. A rule never stands here; GetMe does, the one RPC that is about
// users and service accounts.
//
// It must not know SQL (that is store's) nor HTTP (that is web's).
package service
