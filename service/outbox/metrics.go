package outbox

import "github.com/prometheus/client_golang/prometheus"

// outboxMetrics count messages: those that ended, those in the outbox, and the
// age of the oldest that waits.
type outboxMetrics struct {
	messages  *prometheus.CounterVec
	outbox    *prometheus.GaugeVec
	outboxAge *prometheus.GaugeVec
}

func newOutboxMetrics(r prometheus.Registerer) outboxMetrics {
	m := outboxMetrics{
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "identity_messages_total", Help: "Tries to send a message, by channel and outcome: sent, failed (tried again), dead.",
		}, []string{"channel", "outcome"}),
		outbox: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "identity_outbox_messages", Help: "Messages that are not sent, by channel and state: waiting, dead.",
		}, []string{"channel", "state"}),
		outboxAge: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "identity_outbox_oldest_seconds", Help: "Age of the oldest message that waits, by channel.",
		}, []string{"channel"}),
	}
	if r != nil {
		r.MustRegister(m.messages, m.outbox, m.outboxAge)
	}
	return m
}
