package fair

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Count is what a limit let in, refused, and keeps waiting. Its zero value is
// ready. Safe for concurrent use.
type Count struct{ used, refused, waiting, held atomic.Int64 }

// Use counts what was let in.
func (c *Count) Use(n int64) { c.used.Add(n) }

// Refuse counts one refusal.
func (c *Count) Refuse() { c.refused.Add(1) }

// Wait counts those who begin to wait, or with a negative number stop.
func (c *Count) Wait(n int64) { c.waiting.Add(n) }

// Hold counts what is in use now.
func (c *Count) Hold(n int64) { c.held.Add(n) }

// Refused is how often the limit refused so far.
func (c *Count) Refused() int64 { return c.refused.Load() }

// Waiting is how many wait now.
func (c *Count) Waiting() int64 { return c.waiting.Load() }

// Held is what is in use now.
func (c *Count) Held() int64 { return c.held.Load() }

// Meter shows every limit in the metrics. It is a prometheus.Collector.
type Meter struct {
	mu     sync.Mutex
	counts map[string]*Count
}

// NewMeter returns a meter without limits, registered with r; nil: with none.
func NewMeter(r prometheus.Registerer) *Meter {
	m := &Meter{counts: map[string]*Count{}}
	if r != nil {
		r.MustRegister(m)
	}
	return m
}

// Show adds a limit that counts by itself.
func (m *Meter) Show(limit string, c *Count) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts[limit] = c
}

// Of returns the count of a limit, a new one where there is none. A nil meter
// returns one that nobody sees.
func (m *Meter) Of(limit string) *Count {
	if m == nil {
		return &Count{}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.counts[limit]
	if c == nil {
		c = &Count{}
		m.counts[limit] = c
	}
	return c
}

var (
	usedDesc    = prometheus.NewDesc("identity_limit_used_total", "What a limit let in.", []string{"limit"}, nil)
	refusedDesc = prometheus.NewDesc("identity_limit_refused_total", "How often a limit refused.", []string{"limit"}, nil)
	waitingDesc = prometheus.NewDesc("identity_limit_waiting", "Calls that wait for a limit.", []string{"limit"}, nil)
	heldDesc    = prometheus.NewDesc("identity_limit_held", "What is in use now of a limit.", []string{"limit"}, nil)
)

// Describe implements prometheus.Collector.
func (m *Meter) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{usedDesc, refusedDesc, waitingDesc, heldDesc} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m *Meter) Collect(out chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for limit, c := range m.counts {
		out <- prometheus.MustNewConstMetric(usedDesc, prometheus.CounterValue, float64(c.used.Load()), limit)
		out <- prometheus.MustNewConstMetric(refusedDesc, prometheus.CounterValue, float64(c.refused.Load()), limit)
		out <- prometheus.MustNewConstMetric(waitingDesc, prometheus.GaugeValue, float64(c.waiting.Load()), limit)
		out <- prometheus.MustNewConstMetric(heldDesc, prometheus.GaugeValue, float64(c.held.Load()), limit)
	}
}
