package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// message is one of PostgreSQL's protocol: a type, and all its bytes as they
// travel. The first one of a client has no type.
type message struct {
	kind byte
	raw  []byte
}

// Types of messages that the proxy looks into.
const (
	query    = 'Q' // of clients
	parse    = 'P'
	bind     = 'B'
	complete = 'C' // of the server
	ready    = 'Z'
)

// largest is far above what the service sends or asks for.
const largest = 64 << 20

// readMessage reads one message; with bare set one without a type.
func readMessage(r *bufio.Reader, bare bool) (m message, err error) {
	header := 5
	if bare {
		header = 4
	}
	m.raw = make([]byte, header, 512)
	if _, err := io.ReadFull(r, m.raw); err != nil {
		return m, err
	}
	if !bare {
		m.kind = m.raw[0]
	}
	size := int(binary.BigEndian.Uint32(m.raw[header-4:])) - 4
	if size < 0 || size > largest {
		return m, fmt.Errorf("a message of %d bytes", size)
	}
	m.raw = append(m.raw, make([]byte, size)...)
	_, err = io.ReadFull(r, m.raw[header:])
	return m, err
}

// texts are the strings that the body begins with.
func (m message) texts() (first, second []byte) {
	if len(m.raw) < 5 {
		return nil, nil
	}
	first, rest, _ := bytes.Cut(m.raw[5:], []byte{0})
	second, _, _ = bytes.Cut(rest, []byte{0})
	return first, second
}

// is tells whether a message of a kind begins with a text.
func (m message) is(kind byte, text string) bool {
	if m.kind != kind {
		return false
	}
	first, _ := m.texts()
	return string(first) == text
}
