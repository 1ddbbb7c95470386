package store

import (
	"context"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
)

// statementsAtMost bounds how many texts are kept prepared. There are fewer
// in the program; lists of filters could combine to more.
const statementsAtMost = 300

// prepareTime bounds the preparing after a transaction.
const prepareTime = 2 * time.Second

// statements keeps the statements of a pool prepared: one that is prepared
// costs the database and us less than half. A transaction never prepares on
// the pool, where it would wait for a second connection: it sends the text
// plain, and the text is prepared after its end.
type statements struct {
	db     *sqlx.DB // nil: nothing is prepared
	mu     sync.RWMutex
	plain  map[string]*sqlx.Stmt
	named  map[string]*sqlx.NamedStmt
	missed map[string]bool // texts that transactions wanted; true: with names
}

func newStatements(db *sqlx.DB) *statements {
	return &statements{db: db, plain: map[string]*sqlx.Stmt{}, named: map[string]*sqlx.NamedStmt{}, missed: map[string]bool{}}
}

// get returns the prepared statement of a text, or nil where it is to be sent plain.
func (s *statements) get(ctx context.Context, query string, inTx bool) (*sqlx.Stmt, error) {
	if s.db == nil {
		return nil, nil
	}
	s.mu.RLock()
	stmt, full := s.plain[query], len(s.plain) >= statementsAtMost
	s.mu.RUnlock()
	if stmt != nil || full {
		return stmt, nil
	}
	if inTx {
		s.miss(query, false)
		return nil, nil
	}
	return keep(s, s.plain, query, func() (*sqlx.Stmt, error) { return s.db.PreparexContext(ctx, s.db.Rebind(query)) })
}

// forget drops a statement whose plan no longer fits the schema.
func (s *statements) forget(query string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.plain, query)
}

// getNamed is get for a statement whose parameters are named after columns,
// which only transactions have.
func (s *statements) getNamed(query string) *sqlx.NamedStmt {
	if s.db == nil {
		return nil
	}
	s.mu.RLock()
	stmt, full := s.named[query], len(s.named) >= statementsAtMost
	s.mu.RUnlock()
	if stmt == nil && !full {
		s.miss(query, true)
	}
	return stmt
}

func (s *statements) miss(query string, named bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.missed) < statementsAtMost {
		s.missed[query] = named
	}
}

// prepareMissed prepares what transactions wanted. What fails is wanted again.
func (s *statements) prepareMissed(ctx context.Context) {
	s.mu.RLock()
	none := len(s.missed) == 0
	s.mu.RUnlock()
	if none {
		return
	}
	s.mu.Lock()
	missed := s.missed
	s.missed = map[string]bool{}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, prepareTime)
	defer cancel()
	for query, named := range missed {
		if named {
			_, _ = keep(s, s.named, query, func() (*sqlx.NamedStmt, error) { return s.db.PrepareNamedContext(ctx, query) })
			continue
		}
		_, _ = keep(s, s.plain, query, func() (*sqlx.Stmt, error) { return s.db.PreparexContext(ctx, s.db.Rebind(query)) })
	}
}

// keep prepares a statement and keeps it, unless another call was first.
func keep[S any](s *statements, all map[string]*S, query string, prepare func() (*S, error)) (*S, error) {
	stmt, err := prepare()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if first := all[query]; first != nil {
		return first, nil // ours goes with its connections
	}
	all[query] = stmt
	return stmt, nil
}
