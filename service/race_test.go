//go:build race

package service_test

// raceRounds is smaller under the race detector, which makes every round ten
// times as long.
const raceRounds = 100
