package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/lib/pq"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Everything that goes wrong in the store is one of these, or unknown.
var (
	// ErrNotFound means that no row is there.
	ErrNotFound = errors.New("not found")
	// ErrExists means that a unique key is taken; Taken tells which.
	ErrExists = errors.New("exists already")
	// ErrInUse means that other rows refer to the row.
	ErrInUse = errors.New("in use")
	// ErrUnavailable means that the database could not be asked. After a
	// failed commit it also means that the outcome is unknown.
	ErrUnavailable = errors.New("database unavailable")
	// ErrOverloaded means that too much of the same organization or caller waits for a connection.
	ErrOverloaded = errors.New("too many calls wait for the database")
	// ErrBusy means that too much waits for the same organization.
	ErrBusy = errors.New("organization busy")
)

// takenError carries the name of the unique index.
type takenError struct {
	index string
	cause error
}

func (e *takenError) Error() string        { return "exists already: " + e.index }
func (e *takenError) Unwrap() []error      { return []error{ErrExists, e.cause} }
func (e *takenError) Is(target error) bool { return target == ErrExists }

// Taken tells which unique index refused a row, e.g. "users__email_key".
func Taken(err error) string {
	var taken *takenError
	if errors.As(err, &taken) {
		return taken.index
	}
	return ""
}

// translate turns driver errors into those of this package. Nothing else in
// the program knows driver errors.
func translate(err error) error {
	var pg *pq.Error
	var lite *sqlite.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return ErrNotFound
	case errors.As(err, &pg):
		return translatePostgres(pg)
	case errors.As(err, &lite):
		return translateSQLite(lite)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case isConnectionError(err):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

func translatePostgres(err *pq.Error) error {
	switch err.Code {
	case "23505":
		return &takenError{index: err.Constraint, cause: err}
	case "23503":
		return fmt.Errorf("%w: %w", ErrInUse, err)
	case "57014": // query_canceled: our context ended, or the statement timeout struck
		return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	case "0A000": // cached plan must not change result type: a migration ran; the next call prepares anew
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case "55P03": // lock_not_available
		return fmt.Errorf("%w: %w", ErrBusy, err)
	}
	switch err.Code.Class() {
	case "08", "53", "57", "40", "25": // connection, resources, operator, rollback, state of the transaction
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// isStalePlan tells whether a statement was prepared for a schema that has changed since.
func isStalePlan(err error) bool {
	var pg *pq.Error
	return errors.As(err, &pg) && pg.Code == "0A000"
}

func translateSQLite(err *sqlite.Error) error {
	switch err.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE:
		return &takenError{index: sqliteIndex(err.Error()), cause: err}
	case sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return &takenError{index: "primary key", cause: err}
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return fmt.Errorf("%w: %w", ErrInUse, err)
	case sqlite3.SQLITE_INTERRUPT:
		return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	}
	switch err.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR,
		sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// sqliteIndex makes the index name that PostgreSQL reports out of SQLite's
// list of columns: the last column names our indexes ("users.organization_id,
// users.email_key" is users__email_key).
func sqliteIndex(text string) string {
	_, columns, _ := strings.Cut(text, "UNIQUE constraint failed: ")
	columns, _, _ = strings.Cut(columns, " (")
	last := columns[strings.LastIndex(columns, " ")+1:]
	return strings.Replace(last, ".", "__", 1)
}

func isConnectionError(err error) bool {
	var netErr net.Error
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		strings.Contains(err.Error(), "database is closed") || errors.Is(err, net.ErrClosed) || errors.As(err, &netErr)
}
