//go:build !race

package service_test

// raceRounds is how often the administrators of an organization are raced.
const raceRounds = 1000
