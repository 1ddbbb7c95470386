package store

import (
	"context"
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
}

const messageColumns = `organization_id, id, kind, channel, recipient, sealed, create_time, due_time, expire_time, leased_until,
	attempts, sent_time, dead_time, last_error`

// messagesAtOnce keeps an INSERT below the parameter limits of both databases.
const messagesAtOnce = 500

// Enqueue adds messages, in the transaction of what they tell of: they are
// sent if it is committed, and not otherwise.
func (w writes) Enqueue(ctx context.Context, messages ...Message) error {
	for i := range messages {
		messages[i].Channel, _, _ = strings.Cut(messages[i].Kind, ".")
	}
	for len(messages) > 0 {
		n := min(len(messages), messagesAtOnce)
		err := insertAll(ctx, w, `
			INSERT INTO outbox (`+messageColumns+`)
			VALUES (:organization_id, :id, :kind, :channel, :recipient, :sealed, :create_time, :due_time, :expire_time, :leased_until,
				:attempts, :sent_time, :dead_time, :last_error)`, messages[:n])
		if err != nil {
			return err
		}
		*w.enqueued = true
		messages = messages[n:]
	}
	return nil
}

// Enqueued gets a sign after a commit of this process that added messages.
func (s *Store) Enqueued() <-chan struct{} { return s.enqueued }
