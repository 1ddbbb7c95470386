package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// profileAll writes profiles of the service for each job that was asked for,
// at the highest level: where CPU time goes, and what allocates.
func (b *bench) profileAll(ctx context.Context) error {
	b.pick()
	if err := b.mint(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(b.profile, 0o750); err != nil {
		return err
	}
	for _, j := range b.jobs {
		if err := b.profileOne(ctx, j); err != nil {
			return fmt.Errorf("%s: %w", j.name, err)
		}
	}
	return nil
}

func (b *bench) profileOne(ctx context.Context, j *job) error {
	load(ctx, j, levels[2], b.warmUp(j), b.serial(j, b.warmUp(j)))
	running, stop := context.WithCancel(ctx)
	ended := make(chan measurement, 1)
	calls := 10_000_000
	if j.name == jobNew {
		calls = len(b.tokens) - b.warmUp(j)
	}
	go func() { ended <- load(running, j, levels[2], calls, b.serial(j, calls)) }()
	name := strings.NewReplacer(" ", "-", ",", "").Replace(j.name)
	err := b.fetchProfile(ctx, "profile", name+".cpu.pprof")
	if err == nil {
		err = b.fetchProfile(ctx, "allocs", name+".allocs.pprof")
	}
	stop()
	m := <-ended
	progress("%s: %d calls, %d failed", name, m.calls, m.failed)
	return err
}

// fetchProfile writes what the admin port tells of the next seconds to a file.
func (b *bench) fetchProfile(ctx context.Context, kind, file string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.server.Admin+"/debug/pprof/"+kind+"?seconds=8", nil)
	if err != nil {
		return err
	}
	body, err := b.do(r, "")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.profile, file), body, 0o600)
}
