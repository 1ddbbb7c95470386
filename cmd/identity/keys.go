package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/bizmetry/identity/service/keys"
	"github.com/bizmetry/identity/store"
)

type keysCmd struct {
	List   keysListCmd   `cmd:"" help:"List all signing keys."`
	Rotate keysRotateCmd `cmd:"" help:"Make a new signing key; it is published ten minutes before it signs."`
	Revoke keysRevokeCmd `cmd:"" help:"End a signing key and every token it signed, at once."`
}

type keysListCmd struct{ databaseSettings }

func (c *keysListCmd) Run(ctx context.Context, o output) error {
	st, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	all, err := st.AllSigningKeys(ctx)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(o.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "KEY\tALGORITHM\tMADE\tUSED FROM\tKEPT UNTIL\tREVOKED")
	for _, k := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Algorithm, when(k.Created), when(k.Use), when(k.Expires), when(k.Revoked))
	}
	return table.Flush()
}

func when(m store.Micros) string {
	if m == 0 {
		return "-"
	}
	return m.Time().Format(time.RFC3339)
}

type keysRotateCmd struct {
	databaseSettings
	Now bool `help:"Sign with the new key at once; verifiers that cache the key set refuse its tokens until they fetch it again."`
}

func (c *keysRotateCmd) Run(ctx context.Context, o output) error {
	return c.withKeys(ctx, func(k keys.Keys) error {
		key, err := k.Rotate(ctx, c.Now)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(o.out, "%s signs from %s\n", key.ID, when(key.Use))
		return err
	})
}

type keysRevokeCmd struct {
	databaseSettings
	Key string `arg:"" help:"Id of the key."`
}

func (c *keysRevokeCmd) Run(ctx context.Context, o output) error {
	return c.withKeys(ctx, func(k keys.Keys) error {
		if err := k.Revoke(ctx, c.Key); err != nil {
			return err
		}
		_, err := fmt.Fprintf(o.out, "%s is revoked\n", c.Key)
		return err
	})
}

// withKeys opens the database and its master key for work on the signing keys.
func (d databaseSettings) withKeys(ctx context.Context, fn func(keys.Keys) error) error {
	st, err := d.open(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	ring, err := d.keyRing(ctx, st)
	if err != nil {
		return err
	}
	return fn(keys.Keys{Store: st, Ring: ring, Now: time.Now, Rand: rand.Reader})
}
