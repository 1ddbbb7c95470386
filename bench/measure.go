package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/rig"
)

// cell is a place in the table.
type cell struct {
	job     string
	clients int
}

func (b *bench) roundsToDo() int {
	switch {
	case b.quick:
		return 1
	case b.million:
		return 3
	}
	return 5
}

// scaled is how many calls a measurement makes.
func (b *bench) scaled(calls int) int {
	if b.quick {
		return max(calls/2, 4)
	}
	return calls
}

// measureAll measures all jobs that were asked for, several times in turn, and
// the floors of each right before it: what the machine does besides changes,
// and so hits both alike.
func (b *bench) measureAll(ctx context.Context) error {
	b.pick()
	if err := b.mint(ctx); err != nil {
		return err
	}
	for _, j := range slices.Concat(b.floors, b.jobs) { // before, so that caches, pools and heaps are as they stay
		if m := load(ctx, j, levels[1], b.warmUp(j), b.serial(j, b.warmUp(j))); m.calls == m.failed {
			return fmt.Errorf("%s: %w", j.name, m.err)
		}
	}
	for round := range b.roundsToDo() {
		progress("round %d of %d", round+1, b.roundsToDo())
		if err := b.measureCrypto(ctx); err != nil {
			return err
		}
		for level := range levels {
			for _, j := range b.jobs {
				if err := b.measureWithFloors(ctx, round, level, j); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (b *bench) measureWithFloors(ctx context.Context, round, level int, j *job) error {
	at := cell{j.name, levels[level]}
	if len(b.rounds[at]) > round {
		return nil // as the floor of another
	}
	for _, f := range slices.Concat(b.floors, b.jobs) {
		if slices.Contains(j.floor, f.name) {
			if err := b.measureWithFloors(ctx, round, level, f); err != nil {
				return err
			}
		}
	}
	m, err := b.measure(ctx, j, levels[level], b.scaled(j.calls[level]))
	b.rounds[at] = append(b.rounds[at], m)
	return err
}

func (b *bench) warmUp(j *job) int { return b.scaled(j.calls[1]) / 4 }

// pick leaves the jobs that were asked for, and the floors of those.
func (b *bench) pick() {
	needed := map[string]bool{}
	for _, j := range b.jobs {
		if b.only.MatchString(j.name) {
			needed[j.name] = true
			for _, f := range j.floor {
				needed[f] = true
			}
		}
	}
	for _, j := range b.jobs { // a job may be the floor of another
		if needed[j.name] {
			for _, f := range j.floor {
				needed[f] = true
			}
		}
	}
	not := func(j *job) bool { return !needed[j.name] }
	b.jobs, b.floors = slices.DeleteFunc(b.jobs, not), slices.DeleteFunc(b.floors, not)
}

// mint makes the tokens that the service is to see for the first time.
func (b *bench) mint(ctx context.Context) error {
	i := slices.IndexFunc(b.jobs, func(j *job) bool { return j.name == jobNew })
	if i < 0 {
		return nil
	}
	j, total := b.jobs[i], 0
	for _, calls := range j.calls {
		total += b.scaled(calls) * b.roundsToDo()
	}
	total += b.warmUp(j) + b.scaled(j.calls[1]) // to count statements
	if b.profile != "" {
		total = 25_000
	}
	conn, err := rig.Dial(b.server.GRPC)
	if err != nil {
		return err
	}
	defer conn.Close()
	b.tokens = make([]string, total)
	client := identityv1.NewServiceAccountServiceClient(conn)
	m := load(ctx, &job{call: func(ctx context.Context, n int) (err error) {
		b.tokens[n], err = b.agent.NewToken(ctx, client)
		return err
	}}, levels[1], total, 0)
	return m.err
}

// measureCrypto asks a process of its own for the cost of the cryptography.
func (b *bench) measureCrypto(ctx context.Context) error {
	task, err := json.Marshal(cryptoTask{Token: b.agent.Token, Tokens: b.scaled(3000), Hashes: b.scaled(12)})
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	out, err := rig.Call(ctx, nil, bytes.NewReader(task), self, "crypto")
	if err != nil {
		return err
	}
	var cost cryptoCost
	if err := json.Unmarshal(out, &cost); err != nil {
		return err
	}
	b.crypto = append(b.crypto, cost)
	return nil
}
