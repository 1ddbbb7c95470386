package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// entry is a call that was acknowledged, as its caller knows it.
type entry struct {
	Name      string   // of what it made, unique; "" where it changed what was there
	Table     string   // that it made a row of
	Target    string   // the id it was told, or that it named
	Event     string   // type that the change is recorded with
	Answers   int      // calls it took until one was acknowledged
	Unsettled []string `json:",omitempty"` // what the others were told
}

// ledger keeps what was acknowledged, in memory and in a file: never in the
// database whose memory it is held against.
type ledger struct {
	mu      sync.Mutex
	file    *os.File
	entries []entry
}

func newLedger(folder, name string) (*ledger, error) {
	file, err := os.Create(filepath.Join(folder, name+".ledger"))
	return &ledger{file: file}, err
}

func (l *ledger) add(e entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, e)
	_, err = l.file.Write(append(line, '\n'))
	return err
}

// has tells whether a name was acknowledged with an id.
func (l *ledger) has(name, id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.entries, func(e entry) bool { return e.Name == name && e.Target == id })
}

func (l *ledger) close() { _ = l.file.Close() }
