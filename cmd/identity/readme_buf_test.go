//go:build buf

package main

import (
	"testing"

	"github.com/bizmetry/identity/store/storetest"
)

// The gRPC session needs buf, which takes minutes to build: make session.
func TestReadme_GRPCSession(t *testing.T) {
	t.Setenv(databaseURLEnv, storetest.SQLite(t))
	both := sessions(t)
	play(t, serve(t), both[0]+"\n"+both[1])
}
