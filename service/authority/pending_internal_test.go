package authority

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func many(from, n int) map[string]int64 {
	all := map[string]int64{}
	for i := range n {
		all[fmt.Sprint(from+i)] = 1
	}
	return all
}

// What waits is folded, and bounded: of too many any may have changed.
func TestPending(t *testing.T) {
	none := map[string]int64{}
	for name, row := range map[string]struct {
		add  []map[string]int64
		want map[string]int64
		ok   bool
	}{
		"nothing":           {nil, none, false},
		"none":              {[]map[string]int64{none}, none, false},
		"twice":             {[]map[string]int64{{"a": 2, "b": 1}, {"a": 1}, {"a": 3, "c": 1}}, map[string]int64{"a": 3, "b": 1, "c": 1}, true},
		"any":               {[]map[string]int64{nil}, nil, true},
		"any beside others": {[]map[string]int64{{"a": 1}, nil, {"b": 1}}, nil, true},
		"many":              {[]map[string]int64{many(0, pendingAtMost)}, many(0, pendingAtMost), true},
		"many, twice":       {[]map[string]int64{many(0, pendingAtMost), many(0, pendingAtMost)}, many(0, pendingAtMost), true},
		"too many at once":  {[]map[string]int64{many(0, pendingAtMost+1)}, nil, true},
		"too many":          {[]map[string]int64{many(0, pendingAtMost), many(1, pendingAtMost)}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPending()
			for _, last := range row.add {
				p.add(last)
				if len(p.last) > pendingAtMost {
					t.Errorf("%d wait", len(p.last))
				}
			}
			if len(p.some) != map[bool]int{true: 1}[row.ok] {
				t.Errorf("%d signs", len(p.some))
			}
			if last, ok := p.take(); ok != row.ok || !cmp.Equal(last, row.want) {
				t.Errorf("%v, %v", last, ok)
			}
			if last, ok := p.take(); ok {
				t.Errorf("then %v", last)
			}
			p.add(map[string]int64{"a": 1})
			if last, ok := p.take(); !ok || !cmp.Equal(last, map[string]int64{"a": 1}) {
				t.Errorf("again %v, %v", last, ok)
			}
		})
	}
}

// Nothing that is added is lost, whoever adds and takes at the same moment.
func TestPending_ManyAtOnce(t *testing.T) {
	const adders, each = 8, 500
	p := newPending()
	var adding sync.WaitGroup
	for a := range adders {
		adding.Go(func() {
			for i := range each {
				p.add(map[string]int64{fmt.Sprint(a): int64(i + 1)})
			}
		})
	}
	got := map[string]int64{}
	for sum := int64(0); sum < adders*each; {
		<-p.some
		last, _ := p.take()
		for org, seq := range last {
			if seq <= got[org] {
				t.Errorf("%s went from %d to %d", org, got[org], seq)
			}
			sum += seq - got[org]
			got[org] = seq
		}
	}
	adding.Wait()
}
