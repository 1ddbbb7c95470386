package kit

import (
	"fmt"
	"runtime/debug"
)

// Panicked makes of what was recovered an error for the log: its type and where it
// happened. The value is left out, because it may hold what a request did.
func Panicked(value any) error { return fmt.Errorf("panic of type %T\n%s", value, debug.Stack()) }
