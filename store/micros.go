package store

import (
	"fmt"
	"time"
)

// Micros is a time as microseconds since 1970 UTC, the way both databases
// keep it. 0 means never, or not yet.
type Micros int64

// At cuts a time to microseconds; the zero time becomes 0.
func At(t time.Time) Micros {
	if t.IsZero() {
		return 0
	}
	return Micros(t.UnixMicro())
}

// Time is the time; that of 0 is the zero time.
func (m Micros) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(m)).UTC()
}

// Scan implements sql.Scanner, for what a list has many of: database/sql would
// take every one of them apart by reflection.
func (m *Micros) Scan(value any) error {
	n, ok := value.(int64)
	if !ok {
		return fmt.Errorf("%T is no time", value)
	}
	*m = Micros(n)
	return nil
}
