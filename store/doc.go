// Package store keeps the rows. It promises that
//
//   - every change of identity or authority happens in a transaction that
//     first took the clock row of its organization (Change), so that the
//     changes of one organization queue up and their events are numbered
//     without gaps in the order of commit;
//   - everything else that is written (sessions, throttles, last use) happens
//     in a short explicit transaction (Short); nothing is written without one;
//   - one SQL text serves PostgreSQL and SQLite. What differs is in open.go,
//     errors.go and migrate.go.
//
// It knows nothing of gRPC, of permissions or of who is calling. Only reads
// hang on Store; methods that write hang on Tx or ShortTx.
package store
