// Package rig sets the service up as an operator would, for programs that
// watch it from outside (bench, faults) and for tests: a private PostgreSQL,
// the binary built from this module, its processes, and clients of them. It
// needs Linux and PostgreSQL's server programs. The service never imports it.
package rig
