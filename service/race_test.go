//go:build race

package service_test

// slowdown is what rounds and sizes that only make a finding more likely are
// divided by. The race detector makes each ten times as long, and looks at more.
const slowdown = 10
