package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/bizmetry/identity/rig"
)

// bug is a mistake that is made on purpose, to see that it is found: texts of
// a file of the service, and what takes their place while one binary is built.
// The files themselves are never touched (go help build, -overlay).
type bug struct {
	name     string
	file     string
	changes  []string // text, other text, text, other text
	scenario string   // that finds it
}

var bugs = []bug{
	{"memory does not follow the feed", "service/authority/poll.go", []string{
		"	p.memory.apply(events)\n", "	for _, m := range part {\n		m.f.mu.Lock()\n		m.f.seq = max(m.f.seq, m.to)\n		m.f.mu.Unlock()\n	}\n",
	}, "revocation"},
	{"done already is answered before memory knows", "service/authority/commit.go", []string{
		"	s.keepUp(ctx, org, seen, last[org])\n", "	_ = seen\n",
	}, "revocation"},
	{"memory is believed for ever", "service/authority/feed.go", []string{
		"	if age <= freshFor {\n", "	if age <= freshFor || f.failed.Load() != 0 {\n",
	}, "away"},
	{"nobody counts administrators", "service/change/administrator.go", []string{
		"	if err == nil && !after {\n", "	if err == nil && !after && !before {\n",
	}, "administrators"},
	{"a request id is not looked up", "service/change/request.go", []string{
		"	if req.GetRequestId() == \"\" {\n		return false, nil\n", "	if req.GetRequestId() != \"\" {\n		return false, nil\n",
	}, "deliveries"},
	{"a failed commit is success", "store/store.go", []string{
		"	err = tx.Commit()\n", "	_ = tx.Commit()\n",
	}, "cuts"},
	{"commits are not waited for", "store/open.go", []string{
		"		\"application_name\":                    \"identity\",\n", "		\"application_name\": \"identity\", \"synchronous_commit\": \"off\",\n",
		"	if commit == \"off\" {\n", "	if commit == \"\" {\n",
	}, "kill-database"},
	{"a lost outcome is a definite refusal", "store/store.go", []string{
		"	err = tx.Commit()\n", "	if err = tx.Commit(); err != nil {\n		return ErrNotFound\n	}\n",
	}, "cuts"},
}

// seedsToFind is how many schedules a planted bug may live through.
const seedsToFind = 3

// plantAll plants one bug after the other and runs the scenario that is to
// find it, with a few seeds. It fails where one is not found.
func plantAll(ctx context.Context, o options, out io.Writer) error {
	folder, err := rig.NewFolder("faults-planted")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	o.short = true
	var missed error
	for i, b := range bugs {
		if !o.only.MatchString(b.name) {
			continue
		}
		found, err := b.hunt(ctx, filepath.Join(folder, fmt.Sprint(i)), o, out)
		if err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		if !found {
			missed = errors.Join(missed, fmt.Errorf("not found: %s", b.name))
		}
	}
	return missed
}

// hunt builds the service with the bug and tells whether it is found.
func (b bug) hunt(ctx context.Context, folder string, o options, out io.Writer) (found bool, err error) {
	if err := os.Mkdir(folder, 0o700); err != nil {
		return false, err
	}
	overlay, err := b.plant(folder)
	if err != nil {
		return false, err
	}
	if o.binary, err = rig.Build(ctx, folder, "identity", "-overlay", overlay); err != nil {
		return false, err
	}
	o.only = regexp.MustCompile("^" + b.scenario + "$")
	for range seedsToFind {
		var said strings.Builder
		err := runAll(ctx, o, &said)
		if errors.Is(err, errBroken) {
			fmt.Fprintf(out, "found: %s, by %s with seed %d\n%s", b.name, b.scenario, o.seed, firstLine(said.String(), "BROKEN"))
			return true, nil
		}
		if err != nil { // perhaps the bug's doing, but not found
			fmt.Fprintf(out, "%s, seed %d: %v\n", b.name, o.seed, err)
		}
		o.seed++
	}
	return false, nil
}

// plant writes the file with the bug, and the overlay that the compiler takes
// it from. A text that is not there once means that the service has moved on.
func (b bug) plant(folder string) (overlay string, err error) {
	path, err := filepath.Abs(b.file)
	if err != nil {
		return "", err
	}
	source, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	text := string(source)
	for i := 0; i < len(b.changes); i += 2 {
		if n := strings.Count(text, b.changes[i]); n != 1 {
			return "", fmt.Errorf("%s has %d times %q", b.file, n, b.changes[i])
		}
		text = strings.Replace(text, b.changes[i], b.changes[i+1], 1)
	}
	with := filepath.Join(folder, filepath.Base(b.file))
	if err := os.WriteFile(with, []byte(text), 0o600); err != nil { //nolint:gosec // a folder of ours
		return "", err
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: with}})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(folder, "overlay.json")
	return overlay, os.WriteFile(overlay, list, 0o600)
}

// firstLine is the first line that holds a word.
func firstLine(text, word string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			return line
		}
	}
	return ""
}
