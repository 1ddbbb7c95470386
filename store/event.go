package store

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
)

// Event is one change that happened.
type Event struct {
	Org        string `db:"organization_id"`
	Seq        int64  `db:"seq"`
	Time       Micros `db:"time"`
	Type       string `db:"type"`
	Actor      string `db:"actor_id"`
	ActorOrg   string `db:"actor_organization_id"`
	Credential string `db:"credential_id"`
	Target     string `db:"target_id"`
	Data       Data   `db:"data"`
	RequestID  string `db:"request_id"`
	Source     string `db:"source"`
	Operation  string `db:"operation_id"`
	// Before is how many events just before this one it stands for too, where
	// Change returns all of one operation as one event without a target.
	Before int64 `db:"-"`
}

const eventColumns = `organization_id, seq, time, type, actor_id, actor_organization_id, credential_id,
	target_id, data, request_id, source, operation_id`

// Data is what an event says beside its type, kept as JSON text.
type Data map[string]string

// Value makes the JSON text.
func (d Data) Value() (driver.Value, error) {
	if d == nil {
		return "{}", nil
	}
	text, err := json.Marshal(d)
	return string(text), err
}

// Scan Reads the JSON text.
func (d *Data) Scan(src any) error {
	*d = nil // or what was read before would change with it
	switch text := src.(type) {
	case string:
		return json.Unmarshal([]byte(text), d)
	case []byte:
		return json.Unmarshal(text, d)
	}
	return errors.New("event data is no text")
}

// Record notes an event of an organization whose lock this change holds. Its
// number is given here, its row is written before the commit.
func (t *Tx) Record(e Event) {
	c := t.clocks[e.Org]
	e.Seq = c.seq + c.recorded() + 1
	c.events = append(c.events, e)
}

// recorded counts the events of a change so far.
func (c *clock) recorded() int64 { return int64(len(c.events)) + c.writtenRows }

// wrote notes that a statement has written n events, like the one given, with
// the numbers after Seq.
func (t *Tx) wrote(e Event, n int64) {
	if n == 0 {
		return
	}
	c := t.clocks[e.Org]
	e.Seq, e.Before = c.seq+c.recorded()+n, n-1
	c.written, c.writtenRows = append(c.written, e), c.writtenRows+n
}

// Seq is the number of the last event recorded for the organization.
func (t *Tx) Seq(org string) int64 {
	c := t.clocks[org]
	return c.seq + c.recorded()
}

// eventsAtOnce keeps an INSERT below the parameter limits of both databases.
const eventsAtOnce = 500

func (t *Tx) addEvents(ctx context.Context, events []Event) error {
	for len(events) > 0 {
		n := min(len(events), eventsAtOnce)
		err := later(ctx, t.writes, "events", `
			INSERT INTO events (`+eventColumns+`)
			VALUES (:organization_id, :seq, :time, :type, :actor_id, :actor_organization_id, :credential_id,
				:target_id, :data, :request_id, :source, :operation_id)`, events[:n])
		if err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}
