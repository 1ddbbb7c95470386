// Package perm computes which permissions a set of roles and grants amounts
// to. A Model is one organization's roles over the catalogue of permissions,
// with the closure of every role worked out once; Sets are bitsets of such a
// model; Held adds when each permission runs out.
//
// It promises answers in time proportional to the question (a model of 10,000
// edges is built in milliseconds), the same answer whatever the order of the
// input, and that cycles and unknown names neither loop nor grant anything.
// Models, Sets and Helds never change and may be shared by any number of
// goroutines.
//
// It must not know where roles and grants are kept, who asks, or what time it
// is. Sets of different models do not mix: bits mean something only in the
// model that made them.
// The file key.go names the permissions of this service's own areas.
package perm
