package main

import (
	"context"
	"fmt"
)

type migrateCmd struct {
	databaseSettings
}

func (c *migrateCmd) Run(ctx context.Context, o output) error {
	st, err := c.connect(ctx, true)
	if err != nil {
		return err
	}
	defer st.Close()
	pending, err := st.Pending(ctx)
	if err != nil {
		return err
	}
	if err := st.Migrate(ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintf(o.out, "migrated: %d applied, the schema is current\n", pending)
	return err
}
