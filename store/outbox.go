package store

import (
	"context"
	"slices"
	"strings"
)

// Message is a mail or SMS that is to be sent: kind "mail.activation" goes by
// the channel "mail". Sealed holds recipient and content; it is erased when
// the message was sent or has become pointless. Recipient is masked, for
// operators.
type Message struct {
	Org       string `db:"organization_id"`
	ID        string `db:"id"`
	Kind      string `db:"kind"`
	Channel   string `db:"channel"`
	Recipient string `db:"recipient"`
	Sealed    []byte `db:"sealed"`
	Created   Micros `db:"create_time"`
	Due       Micros `db:"due_time"`
	Expires   Micros `db:"expire_time"` // after that it is not sent any more; 0: never
	Leased    Micros `db:"leased_until"`
	Attempts  int64  `db:"attempts"`
	Sent      Micros `db:"sent_time"`
	Dead      Micros `db:"dead_time"`
	LastError string `db:"last_error"`
	// Principal is whom it goes to; "" where they are no user yet.
	Principal string `db:"principal_id"`
}

const messageColumns = `organization_id, id, kind, channel, recipient, sealed, create_time, due_time, expire_time, leased_until,
	attempts, sent_time, dead_time, last_error, principal_id`

// messagesAtOnce keeps an INSERT below the parameter limits of both databases.
const messagesAtOnce = 500

// Enqueue adds messages, in the transaction of what they tell of: they are
// sent if it is committed, and not otherwise.
func (w writes) Enqueue(ctx context.Context, messages ...Message) error {
	for i := range messages {
		m := &messages[i]
		m.Channel, _, _ = strings.Cut(m.Kind, ".")
		if w.outgoing.carrier.takes(m) {
			w.outgoing.handed = append(w.outgoing.handed, *m)
		} else {
			w.outgoing.waiting = true
		}
	}
	for len(messages) > 0 {
		n := min(len(messages), messagesAtOnce)
		err := later(ctx, w, "outbox", `
			INSERT INTO outbox (`+messageColumns+`)
			VALUES (:organization_id, :id, :kind, :channel, :recipient, :sealed, :create_time, :due_time, :expire_time, :leased_until,
				:attempts, :sent_time, :dead_time, :last_error, :principal_id)`, messages[:n])
		if err != nil {
			return err
		}
		messages = messages[n:]
	}
	return nil
}

// Enqueued gets a sign after a commit of this process that added messages
// which nobody carries.
func (s *Store) Enqueued() <-chan struct{} { return s.enqueued }

// Carrier takes messages that this process adds without their being claimed:
// they are leased to it as they are written, and are handed over after the
// commit. What it does not bring to an end others claim when the lease is over.
type Carrier struct {
	channels []string
	lease    Micros
	places   chan struct{}
	messages chan Message
}

// Carry makes the one carrier of the store: for so many messages at once of
// the channels, leased for so long (us).
func (s *Store) Carry(places int, lease Micros, channels ...string) *Carrier {
	c := &Carrier{channels: channels, lease: lease, places: make(chan struct{}, places), messages: make(chan Message, places)}
	s.carrier.Store(c)
	return c
}

// CarryNoMore has messages wait for whoever claims them.
func (s *Store) CarryNoMore() { s.carrier.Store(nil) }

// Messages are those handed over. Each has a place until Done.
func (c *Carrier) Messages() <-chan Message { return c.messages }

// Done frees the place of a message.
func (c *Carrier) Done() { <-c.places }

// takes leases a message if there is a place for it and it is due already.
func (c *Carrier) takes(m *Message) bool {
	if c == nil || m.Due > m.Created || !slices.Contains(c.channels, m.Channel) {
		return false
	}
	select {
	case c.places <- struct{}{}:
		m.Leased, m.Attempts = m.Created+c.lease, 1
		return true
	default:
		return false
	}
}

// outgoing is what a transaction adds to the outbox, and what follows it.
type outgoing struct {
	carrier *Carrier
	handed  []Message
	waiting bool // there are some for whoever claims them
	then    []func()
}

// end hands the messages over if they are there for sure. Otherwise their
// places are free again, and whoever finds them claims them.
func (o *outgoing) end(committed bool) {
	if committed {
		for _, then := range o.then {
			then()
		}
	}
	for _, m := range o.handed {
		if committed {
			o.carrier.messages <- m // has room for all that have places
		} else {
			o.carrier.Done()
		}
	}
}

// Due returns up to limit messages that a channel has to send, the oldest
// first: whose they are and which.
func (r Reads) Due(ctx context.Context, channel string, now Micros, limit int) (ms []Message, err error) {
	err = r.all(ctx, &ms, `
		SELECT organization_id, id FROM outbox
		WHERE channel = ? AND sent_time = 0 AND dead_time = 0 AND due_time <= ? AND leased_until <= ?
		ORDER BY due_time LIMIT ?`, channel, now, now, limit)
	return ms, err
}

// Claim leases those of the messages, of which there must be one, that are
// still to be sent: nobody else gets them until then. Of two claims the second
// sees under the lock of a row that it is taken.
func (t *ShortTx) Claim(ctx context.Context, messages []Message, now, until Micros) (ms []Message, err error) {
	these, args := rowsOf(messages)
	// The sum keeps PostgreSQL from walking all that waits, by its index, for these few.
	err = t.all(ctx, &ms, `
		UPDATE outbox SET leased_until = ?, attempts = attempts + 1
		WHERE (`+these+`) AND sent_time + dead_time = 0 AND leased_until <= ?
		RETURNING `+messageColumns, append(append([]any{until}, args...), now)...)
	return ms, err
}

// Sent notes that messages, of which there must be one, are out, and erases
// what they held.
func (t *ShortTx) Sent(ctx context.Context, messages []Message, now Micros) error {
	these, args := rowsOf(messages)
	_, err := t.exec(ctx, `
		UPDATE outbox SET sent_time = ?, sealed = NULL, last_error = '' WHERE (`+these+`) AND sent_time = 0`, append([]any{now}, args...)...)
	return err
}

// rowsOf is the condition for the rows of messages, filled up like a list, so
// that there are few texts.
func rowsOf(messages []Message) (these string, args []any) {
	const this = `organization_id = ? AND id = ?`
	size := 1
	for size < len(messages) {
		size *= 2
	}
	for i := range size {
		m := messages[min(i, len(messages)-1)]
		args = append(args, m.Org, m.ID)
	}
	return this + strings.Repeat(` OR `+this, size-1), args
}

// Postpone gives a claimed message back, to be tried again when it is due,
// unless somebody else claimed it meanwhile.
func (t *ShortTx) Postpone(ctx context.Context, m Message, due Micros, attempts int64, lastError string) error {
	_, err := t.exec(ctx, `
		UPDATE outbox SET due_time = ?, attempts = ?, last_error = ?, leased_until = 0
		WHERE organization_id = ? AND id = ? AND sent_time = 0 AND dead_time = 0 AND attempts = ?`,
		due, attempts, lastError, m.Org, m.ID, m.Attempts)
	return err
}

// Bury gives a claimed message up. What it held stays, for operators to try
// again, unless it is pointless.
func (t *ShortTx) Bury(ctx context.Context, m Message, now Micros, lastError string, pointless bool) error {
	_, err := t.exec(ctx, `
		UPDATE outbox SET dead_time = ?, last_error = ?, sealed = CASE WHEN ? THEN NULL ELSE sealed END
		WHERE organization_id = ? AND id = ? AND sent_time = 0 AND dead_time = 0 AND attempts = ?`,
		now, lastError, pointless, m.Org, m.ID, m.Attempts)
	return err
}

// Undelivered returns up to limit messages that are not sent, dead ones first,
// then the oldest.
func (r Reads) Undelivered(ctx context.Context, limit int) (ms []Message, err error) {
	err = r.all(ctx, &ms, `
		SELECT `+messageColumns+` FROM outbox WHERE sent_time = 0
		ORDER BY CASE WHEN dead_time > 0 THEN 0 ELSE 1 END, create_time, id LIMIT ?`, limit)
	return ms, err
}

const revive = `
	UPDATE outbox SET dead_time = 0, attempts = 0, leased_until = 0, due_time = ?
	WHERE dead_time > 0 AND sealed IS NOT NULL AND (expire_time = 0 OR expire_time > ?)`

// Revive makes dead messages due again that still mean something: the one of
// an id, or all ("").
func (t *ShortTx) Revive(ctx context.Context, id string, now Micros) (rows int64, err error) {
	if id == "" {
		return t.exec(ctx, revive, now, now)
	}
	return t.exec(ctx, revive+` AND id = ?`, now, now, id)
}

// Backlog is how much waits in the outbox.
type Backlog struct {
	Waiting int64  `db:"waiting"`
	Oldest  Micros `db:"oldest"` // when the first of them was made, or is due at the earliest; 0: none
	Dead    int64  `db:"dead"`
}

// Backlog counts what is not sent of a channel.
func (r Reads) Backlog(ctx context.Context, channel string) (b Backlog, err error) {
	err = r.one(ctx, &b, `
		SELECT COUNT(*) AS waiting,
			COALESCE(MIN(CASE WHEN attempts = 0 AND due_time > create_time THEN due_time ELSE create_time END), 0) AS oldest,
			(SELECT COUNT(*) FROM outbox WHERE channel = ? AND dead_time > 0) AS dead
		FROM outbox WHERE channel = ? AND sent_time = 0 AND dead_time = 0`, channel, channel)
	return b, err
}
