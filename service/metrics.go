package service

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count calls. Labels come from the contract, never from a request.
type metrics struct {
	calls *prometheus.CounterVec
	took  *prometheus.HistogramVec
	// Messages that ended, those in the outbox, and the age of the oldest that waits.
	messages  *prometheus.CounterVec
	outbox    *prometheus.GaugeVec
	outboxAge *prometheus.GaugeVec
}

func newMetrics(s *Service, r prometheus.Registerer) *metrics {
	m := &metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "identity_calls_total", Help: "Calls by method and gRPC code.",
		}, []string{"method", "code"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "identity_call_seconds", Help: "Time that calls took, by method.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"method"}),
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
		r.MustRegister(m.calls, m.took, m.messages, m.outbox, m.outboxAge,
			prometheus.NewCounterFunc(prometheus.CounterOpts{
				Name: "identity_statements_total", Help: "Statements sent to the database.",
			}, func() float64 { return float64(s.store.Statements()) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "identity_memory_age_seconds", Help: "How old what is remembered may be.",
			}, func() float64 { return s.memory.feed.age().Seconds() }))
	}
	return m
}

func (m *metrics) observe(method *method, code string, took time.Duration) {
	m.calls.WithLabelValues(method.name, code).Inc()
	m.took.WithLabelValues(method.name).Observe(took.Seconds())
}
