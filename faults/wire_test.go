package main

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
)

func TestReadMessage(t *testing.T) {
	for _, row := range []struct {
		rule  string
		bytes string
		bare  bool
		kind  byte
		first string
		fails bool
	}{
		{"a query", "Q\x00\x00\x00\x0bCOMMIT\x00", false, query, "COMMIT", false},
		{"a prepared statement", "P\x00\x00\x00\x0d1\x00SELECT\x00", false, parse, "1", false},
		{"one without a body", "S\x00\x00\x00\x04", false, 'S', "", false},
		{"the first of a client has no type", "\x00\x00\x00\x08\x00\x03\x00\x00", true, 0, "", false},
		{"shorter than itself", "Q\x00\x00\x00\x03", false, query, "", true},
		{"larger than any", "Q\x7f\xff\xff\xff", false, query, "", true},
		{"cut in the header", "Q\x00\x00", false, query, "", true},
		{"cut in the body", "Q\x00\x00\x00\x0bCOM", false, query, "", true},
	} {
		m, err := readMessage(bufio.NewReader(strings.NewReader(row.bytes)), row.bare)
		if row.fails {
			if err == nil {
				t.Errorf("%s is read", row.rule)
			}
			continue
		}
		first, _ := m.texts()
		if row.bare {
			first = nil
		}
		if err != nil || m.kind != row.kind || string(first) != row.first || !bytes.Equal(m.raw, []byte(row.bytes)) {
			t.Errorf("%s: %q of kind %q begins with %q, %v", row.rule, m.raw, m.kind, first, err)
		}
	}
}

// A change is told from other work by its first statement, and cut at its COMMIT.
func TestLink_CutsChangesOnly(t *testing.T) {
	message := func(kind byte, body string) message {
		return message{kind, append([]byte{kind, 0, 0, 0, byte(len(body) + 4)}, body...)}
	}
	commit := message(query, "COMMIT\x00")
	p := &proxy{links: map[*link]bool{}}
	p.arm(cut{at: "torn"})
	l := &link{proxy: p, locks: map[string]bool{}}
	l.fromClient(message(parse, "1\x00SELECT 1\x00"))
	l.fromClient(message(parse, "2\x00"+beginning+" x\x00"))
	l.fromClient(message(bind, "\x001\x00"))
	if pass, end := l.fromClient(commit); end || pass != len(commit.raw) {
		t.Errorf("other work is cut: %d %v", pass, end)
	}
	l.fromClient(message(bind, "\x002\x00"))
	l.fromServer(message(ready, "I")) // rolled back: the cut is for the next
	l.fromClient(message(bind, "\x002\x00"))
	if pass, end := l.fromClient(commit); !end || pass != len(commit.raw)/2 {
		t.Errorf("a change is not cut in the middle of COMMIT: %d %v", pass, end)
	}
	if n := len(p.hits()); n != 1 {
		t.Errorf("%d cuts", n)
	}
}
