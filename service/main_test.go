package service_test

import (
	"testing"

	"github.com/bizmetry/identity/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func ptr[T any](v T) *T { return &v }
