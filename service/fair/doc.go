// Package fair shares something scarce between callers: connections, hashes,
// bytes. A Gate lets so much in at a time; whoever holds least comes next, so
// nobody who asks for much keeps others waiting, and nothing idles while somebody
// waits who may have it. A Meter shows what every limit let in and refused. The
// package knows nothing of ours.
package fair
