package service

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/bizmetry/identity/service/notify"
	"github.com/bizmetry/identity/store"
)

// How messages are sent.
const (
	lookEvery = time.Second // besides being told of what this process enqueued
	// gather and settleAfter collect the messages, and the outcomes, of a moment
	// into one transaction.
	gather      = 50 * time.Millisecond
	settleAfter = 10 * time.Millisecond
	// sendersAtOnce bounds the sends under way, of each channel.
	sendersAtOnce = 8
	// sendTime ends a send; the lease outlasts it, so that nobody else begins meanwhile.
	sendTime  = time.Minute
	leaseTime = 2 * time.Minute
	// The first wait after a failure, and what doubling it ends at.
	firstRetry  = 5 * time.Second
	lastRetry   = time.Hour
	maxAttempts = 37 // about a day
	// stopTime is how long sends under way may go on when the service stops.
	stopTime = 2 * time.Second
	// countEvery is how often the metrics of the outbox are taken.
	countEvery = 15 * time.Second
)

// courier carries the messages of the outbox. Any number of replicas has one.
// A message is claimed before it is sent and settled afterwards, each in a
// short transaction: who crashes between the two lets the lease run out, and
// the same message, with the same id and token, goes out again.
type courier struct {
	s     *Service
	lanes []*lane
	done  chan outcome
}

// lane is a channel with its sender.
type lane struct {
	channel string
	sender  notify.Sender
	busy    int
}

// outcome is how a send ended.
type outcome struct {
	lane    *lane
	message store.Message
	err     error
}

func newCourier(s *Service, mail, sms notify.Sender) *courier {
	c := &courier{s: s}
	for channel, sender := range map[string]notify.Sender{"mail": mail, "sms": sms} {
		if sender != nil {
			c.lanes = append(c.lanes, &lane{channel: channel, sender: sender})
		}
	}
	c.done = make(chan outcome, len(c.lanes)*sendersAtOnce) // nobody ever waits to tell
	return c
}

// run sends until the context ends, and settles what was under way then.
func (c *courier) run(ctx context.Context) {
	look, count := time.NewTicker(lookEvery), time.NewTicker(countEvery)
	defer look.Stop()
	defer count.Stop()
	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	for {
		select {
		case <-ctx.Done():
			defer time.AfterFunc(stopTime, stop).Stop()
			for c.busy() {
				c.settle(sending, <-c.done)
			}
			return
		case o := <-c.done:
			time.Sleep(settleAfter)
			c.settle(ctx, o)
		case <-count.C:
			c.s.tried(ctx, "count the outbox", c.count)
			continue
		case <-c.s.store.Enqueued():
			time.Sleep(gather)
		case <-look.C:
		}
		for _, l := range c.lanes {
			c.s.tried(ctx, "claim messages", func(ctx context.Context) error { return c.claim(ctx, sending, l) })
		}
	}
}

func (c *courier) busy() bool {
	for _, l := range c.lanes {
		if l.busy > 0 {
			return true
		}
	}
	return false
}

// claim takes as many messages as there is room for, and begins to send them.
func (c *courier) claim(ctx, sending context.Context, l *lane) error {
	room := sendersAtOnce - l.busy
	now := c.s.now()
	if room == 0 {
		return nil
	}
	due, err := c.s.store.Due(ctx, l.channel, store.At(now), room)
	if err != nil || len(due) == 0 {
		return err
	}
	var claimed []store.Message
	err = c.s.store.Short(ctx, func(t *store.ShortTx) (err error) {
		claimed, err = t.Claim(ctx, due, store.At(now), store.At(now.Add(leaseTime)))
		return err
	})
	if err != nil {
		return err
	}
	l.busy += len(claimed)
	for _, m := range claimed {
		go func() { c.done <- outcome{l, m, c.send(sending, l.sender, m)} }()
	}
	return nil
}

// errExpired is why a message is not sent any more.
var errExpired = errors.New("expired")

func (c *courier) send(ctx context.Context, sender notify.Sender, m store.Message) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	if ended(m.Expires, store.At(c.s.now())) {
		return errExpired
	}
	out, err := c.s.written(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	return sender.Send(ctx, out)
}

// settle writes down how a send ended, and others that ended meanwhile, in one
// transaction. What cannot be written is sent again when the lease has run out.
func (c *courier) settle(ctx context.Context, o outcome) {
	over := []outcome{o}
	for len(c.done) > 0 {
		over = append(over, <-c.done)
	}
	for _, o := range over {
		o.lane.busy--
		c.s.metrics.messages.WithLabelValues(o.lane.channel, o.word()).Inc()
		if o.err != nil {
			c.s.log.Warn("a message was not sent", "kind", o.message.Kind, "message", o.message.ID, "organization", o.message.Org,
				"attempts", o.message.Attempts, "error", o.err.Error())
		}
	}
	var sent []store.Message
	var failed []outcome
	for _, o := range over {
		if o.err == nil {
			sent = append(sent, o.message)
		} else {
			failed = append(failed, o)
		}
	}
	c.s.tried(context.WithoutCancel(ctx), "settle messages", func(ctx context.Context) error {
		return c.s.store.Short(ctx, func(t *store.ShortTx) error {
			if len(sent) > 0 {
				if err := t.Sent(ctx, sent, store.At(c.s.now())); err != nil {
					return err
				}
			}
			for _, o := range failed {
				if err := o.write(ctx, t, c.s.now()); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func (o outcome) word() string {
	switch {
	case o.err == nil:
		return "sent"
	case o.final():
		return "dead"
	}
	return "failed"
}

// final tells whether the message is not tried again.
func (o outcome) final() bool {
	return o.message.Attempts >= maxAttempts || errors.Is(o.err, errExpired) || errors.Is(o.err, notify.ErrRejected)
}

// write notes a failure.
func (o outcome) write(ctx context.Context, t *store.ShortTx, now time.Time) error {
	m := o.message
	switch {
	case o.final():
		return t.Bury(ctx, m, store.At(now), cut(o.err.Error(), 300), errors.Is(o.err, errExpired))
	case errors.Is(o.err, context.Canceled): // the service stopped: this was no try
		return t.Postpone(ctx, m, store.At(now), m.Attempts-1, "")
	}
	return t.Postpone(ctx, m, store.At(now.Add(retryWait(m.Attempts))), m.Attempts, cut(o.err.Error(), 300))
}

// retryWait doubles with every attempt up to an hour, and varies by a quarter
// each way, so that what failed together does not come back together.
func retryWait(attempts int64) time.Duration {
	wait := min(firstRetry<<min(max(attempts-1, 0), 20), lastRetry*4/5)
	return time.Duration(float64(wait) * (0.75 + rand.Float64()/2)) //nolint:gosec // spreads load, hides nothing
}

// count takes the metrics.
func (c *courier) count(ctx context.Context) error {
	for _, l := range c.lanes {
		b, err := c.s.store.Backlog(ctx, l.channel)
		if err != nil {
			return err
		}
		age := 0.0
		if b.Oldest != 0 {
			age = c.s.now().Sub(b.Oldest.Time()).Seconds()
		}
		c.s.metrics.outbox.WithLabelValues(l.channel, "waiting").Set(float64(b.Waiting))
		c.s.metrics.outbox.WithLabelValues(l.channel, "dead").Set(float64(b.Dead))
		c.s.metrics.outboxAge.WithLabelValues(l.channel).Set(age)
	}
	return nil
}
