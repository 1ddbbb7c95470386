package door

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count calls. Labels come from the contract, never from a request.
type metrics struct {
	calls *prometheus.CounterVec
	took  *prometheus.HistogramVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "identity_calls_total", Help: "Calls by method and gRPC code.",
		}, []string{"method", "code"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "identity_call_seconds", Help: "Time that calls took, by method.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"method"}),
	}
	if r != nil {
		r.MustRegister(m.calls, m.took)
	}
	return m
}

func (m *metrics) observe(method *Method, code string, took time.Duration) {
	m.calls.WithLabelValues(method.Name, code).Inc()
	m.took.WithLabelValues(method.Name).Observe(took.Seconds())
}
