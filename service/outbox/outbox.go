// Package outbox seals messages into rows, and carries them out of the database
// to the senders, each at least once. It must not know why one is sent.
package outbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizmetry/identity/service/kit"
	"github.com/bizmetry/identity/service/notify"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/service/wire"
	"github.com/bizmetry/identity/store"
)

// How messages are sent.
const (
	lookEvery = time.Second // besides being told of what this process enqueued
	// gather and settleAfter collect the messages, and the outcomes, of a moment
	// into one transaction, of settledAtOnce outcomes at most.
	gather        = 50 * time.Millisecond
	settleAfter   = 20 * time.Millisecond
	settledAtOnce = 64
	// carriedAtOnce bounds the messages of this process that are not claimed, but
	// leased as they are written.
	carriedAtOnce = 64
	// claimedAtLeast are claimed however many of its own wait, so that a stream
	// of those does not starve what failed before.
	claimedAtLeast = 2
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

// Outbox sends the messages of the outbox; every replica has one. A message is
// leased before it is sent (when written, or by a claim) and settled afterwards.
// If the process crashes in between, the lease runs out and the same message,
// with the same id and token, is sent again.
type Outbox struct {
	kit.Kit
	store   *store.Store
	ring    *secret.KeyRing
	metrics outboxMetrics
	lanes   []*lane
	own     *store.Carrier
	done    chan outcome
	over    []outcome // to be settled
	// settling runs while there is something to settle.
	settling <-chan time.Time
}

// lane is a channel with its sender.
type lane struct {
	channel string
	sender  notify.Sender
	busy    int
	waiting []leased
	more    bool // the last claim found as many as it could take
}

// leased is a message that waits for a sender; own tells that it has a place of the
// carrier, void that the link in it leads nowhere any more.
type leased struct {
	store.Message
	own, void bool
}

// outcome is how a send ended.
type outcome struct {
	lane    *lane
	message store.Message
	err     error
}

// New makes an outbox; nil senders leave messages where they are.
func New(k kit.Kit, st *store.Store, ring *secret.KeyRing, mail, sms notify.Sender, metrics prometheus.Registerer) *Outbox {
	s := &Outbox{Kit: k, store: st, ring: ring, metrics: newOutboxMetrics(metrics)}
	for channel, sender := range map[string]notify.Sender{"mail": mail, "sms": sms} {
		if sender != nil {
			s.lanes = append(s.lanes, &lane{channel: channel, sender: sender})
		}
	}
	s.done = make(chan outcome, len(s.lanes)*sendersAtOnce) // nobody ever waits to tell
	return s
}

// Run sends until the context ends, and settles what was under way then.
func (s *Outbox) Run(ctx context.Context) {
	channels := make([]string, len(s.lanes))
	for i, l := range s.lanes {
		channels[i] = l.channel
	}
	s.own = s.store.Carry(carriedAtOnce, store.Micros(leaseTime.Microseconds()), channels...)
	look, count := time.NewTicker(lookEvery), time.NewTicker(countEvery)
	defer look.Stop()
	defer count.Stop()
	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	for s.step(ctx, sending, look.C, count.C) {
		s.begin(sending)
	}
	defer time.AfterFunc(stopTime, stop).Stop()
	s.finish(sending)
}

// step waits for one reason to wake, and does what it asks for. It tells whether
// to go on.
func (s *Outbox) step(ctx, sending context.Context, look, count <-chan time.Time) bool {
	select {
	case <-ctx.Done():
		return false
	case m := <-s.own.Messages():
		s.accept(m)
	case o := <-s.done:
		s.sent(ctx, sending, o)
	case <-s.settling:
		s.settleAndClaim(ctx)
	case <-s.store.Enqueued():
		time.Sleep(gather)
		s.claimAll(ctx)
	case <-look:
		s.claimAll(ctx)
	case <-count:
		s.Tried(ctx, "count the outbox", s.count)
	}
	return true
}

// sent notes how a send ended. It is settled with others of the moment, or at
// once where there are many, or nothing else to do.
func (s *Outbox) sent(ctx, sending context.Context, o outcome) {
	s.note(o)
	s.begin(sending) // the place is free
	if s.settling == nil {
		s.settling = time.After(settleAfter)
	}
	if len(s.over) >= settledAtOnce || (o.lane.busy == 0 && o.lane.more) {
		s.settleAndClaim(ctx)
	}
}

// settleAndClaim settles, and goes on with what the last claim left waiting.
func (s *Outbox) settleAndClaim(ctx context.Context) {
	s.settling = nil
	if s.settle(ctx); len(s.over) > 0 {
		s.settling = time.After(lookEvery)
	}
	for _, l := range s.lanes {
		if l.more {
			s.Tried(ctx, "claim messages", func(ctx context.Context) error { return s.claim(ctx, l) })
		}
	}
}

// claimAll looks for messages of every channel.
func (s *Outbox) claimAll(ctx context.Context) {
	for _, l := range s.lanes {
		s.Tried(ctx, "claim messages", func(ctx context.Context) error { return s.claim(ctx, l) })
	}
}

// finish waits for what is under way, and gives back what is not.
func (s *Outbox) finish(ctx context.Context) {
	s.store.CarryNoMore()
	for len(s.own.Messages()) > 0 {
		s.accept(<-s.own.Messages())
	}
	for _, l := range s.lanes {
		for _, m := range l.waiting {
			s.over = append(s.over, outcome{l, m.Message, context.Canceled})
		}
		l.waiting = nil
		for l.busy > 0 {
			s.note(<-s.done)
		}
	}
	s.settle(ctx)
}

// accept takes a message of this process.
func (s *Outbox) accept(m store.Message) {
	for _, l := range s.lanes {
		if l.channel == m.Channel {
			l.waiting = append(l.waiting, leased{m, true, false})
		}
	}
}

// claim takes as many messages as there is room for.
func (s *Outbox) claim(ctx context.Context, l *lane) error {
	others := 0 // that were claimed before
	for _, m := range l.waiting {
		if !m.own {
			others++
		}
	}
	room := max(sendersAtOnce-l.busy-len(l.waiting), claimedAtLeast-others)
	now := s.Now()
	if room <= 0 {
		return nil
	}
	due, err := s.store.Due(ctx, l.channel, store.At(now), room)
	if l.more = len(due) == room; err != nil || len(due) == 0 {
		return err
	}
	var claimed []store.Message
	err = s.store.Short(ctx, func(t *store.ShortTx) (err error) {
		claimed, err = t.Claim(ctx, due, store.At(now), store.At(now.Add(leaseTime)))
		return err
	})
	if err != nil {
		return err
	}
	void, err := s.voidOf(ctx, claimed, store.At(now))
	if err != nil {
		return err // they are claimed again when the lease is over
	}
	for _, m := range claimed {
		l.waiting = slices.Insert(l.waiting, 0, leased{m, false, void[m.ID]}) // it has waited longer
	}
	return nil
}

// begin sends what waits, as far as there is room. What waited so long that
// its lease could end before the send is left to whoever claims it then.
func (s *Outbox) begin(sending context.Context) {
	for _, l := range s.lanes {
		for len(l.waiting) > 0 && l.busy < sendersAtOnce {
			m := l.waiting[0]
			l.waiting = l.waiting[1:]
			if m.own {
				s.own.Done()
			}
			if m.Leased < store.At(s.Now().Add(sendTime)) {
				continue
			}
			l.busy++
			go func() { s.done <- outcome{l, m.Message, s.send(sending, l.sender, m)} }()
		}
	}
}

// Why a message is not sent any more, though it could be.
var (
	errExpired = errors.New("expired")
	errVoid    = errors.New("its link is void")
)

func (s *Outbox) send(ctx context.Context, sender notify.Sender, m leased) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic of type %T", r) // the value may hold the message
		}
	}()
	if wire.Ended(m.Expires, store.At(s.Now())) {
		return errExpired
	}
	if m.void {
		return errVoid
	}
	out, err := s.written(m.Message)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	return sender.Send(ctx, out)
}

// note notes how a send ended.
func (s *Outbox) note(o outcome) {
	o.lane.busy--
	s.over = append(s.over, o)
	s.metrics.messages.WithLabelValues(o.lane.channel, o.word()).Inc()
	if o.err != nil {
		s.Log.Warn("a message was not sent", "kind", o.message.Kind, "message", o.message.ID, "organization", o.message.Org,
			"attempts", o.message.Attempts, "error", o.err.Error())
	}
}

// settle writes down how sends ended, in one transaction. What cannot be
// written is tried again with the next, as far as there is room; otherwise it is
// sent again when the lease has run out.
func (s *Outbox) settle(ctx context.Context) {
	var sent []store.Message
	var failed []outcome
	for _, o := range s.over {
		if o.err == nil {
			sent = append(sent, o.message)
		} else {
			failed = append(failed, o)
		}
	}
	if len(s.over) == 0 {
		return
	}
	settled := len(s.over) >= 2*settledAtOnce // then it is given up
	s.Tried(context.WithoutCancel(ctx), "settle messages", func(ctx context.Context) error {
		err := s.store.Short(ctx, func(t *store.ShortTx) error {
			if len(sent) > 0 {
				if err := t.Sent(ctx, sent, store.At(s.Now())); err != nil {
					return err
				}
			}
			for _, o := range failed {
				if err := o.write(ctx, t, s.Now()); err != nil {
					return err
				}
			}
			return nil
		})
		settled = settled || err == nil
		return err
	})
	if settled {
		s.over = nil
	}
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
	return o.message.Attempts >= maxAttempts || o.pointless() || errors.Is(o.err, notify.ErrRejected)
}

// pointless tells whether the message means nothing any more, to anybody.
func (o outcome) pointless() bool { return errors.Is(o.err, errExpired) || errors.Is(o.err, errVoid) }

// write notes a failure.
func (o outcome) write(ctx context.Context, t *store.ShortTx, now time.Time) error {
	m := o.message
	switch {
	case o.final():
		return t.Bury(ctx, m, store.At(now), wire.Cut(o.err.Error(), 300), o.pointless())
	case errors.Is(o.err, context.Canceled): // the service stopped: this was no try
		return t.Postpone(ctx, m, store.At(now), m.Attempts-1, "")
	}
	return t.Postpone(ctx, m, store.At(now.Add(retryWait(m.Attempts, rand.Float64()))), m.Attempts, wire.Cut(o.err.Error(), 300)) //nolint:gosec // spreads load, hides nothing
}

// retryWait doubles with every attempt up to an hour, and varies by a quarter
// each way, so that what failed together does not come back together. by is from
// 0 to 1.
func retryWait(attempts int64, by float64) time.Duration {
	wait := min(firstRetry<<min(max(attempts-1, 0), 20), lastRetry*4/5)
	return time.Duration(float64(wait) * (0.75 + by/2))
}

// count takes the metrics.
func (s *Outbox) count(ctx context.Context) error {
	for _, l := range s.lanes {
		b, err := s.store.Backlog(ctx, l.channel)
		if err != nil {
			return err
		}
		age := 0.0
		if b.Oldest != 0 {
			age = max(0, s.Now().Sub(b.Oldest.Time()).Seconds())
		}
		s.metrics.outbox.WithLabelValues(l.channel, "waiting").Set(float64(b.Waiting))
		s.metrics.outbox.WithLabelValues(l.channel, "dead").Set(float64(b.Dead))
		s.metrics.outboxAge.WithLabelValues(l.channel).Set(age)
	}
	return nil
}
