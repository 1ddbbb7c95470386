package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/bizmetry/identity/store"
)

type outboxCmd struct {
	List  outboxListCmd  `cmd:"" help:"List messages that are not sent, dead ones first."`
	Retry outboxRetryCmd `cmd:"" help:"Have dead messages tried again that still mean something."`
}

type outboxListCmd struct {
	databaseSettings
	Limit int `default:"100" help:"Lines at most."`
}

func (c *outboxListCmd) Run(ctx context.Context, o output) error {
	st, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	messages, err := st.Undelivered(ctx, c.Limit)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(o.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "MESSAGE\tKIND\tTO\tSTATE\tMADE\tTRIES\tNEXT\tEXPIRES\tLAST ERROR")
	for _, m := range messages {
		state, next := "waiting", when(m.Due)
		if m.Dead != 0 {
			state, next = "dead", "-"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", m.ID, m.Kind, m.Recipient, state, when(m.Created), m.Attempts, next, when(m.Expires), m.LastError)
	}
	return table.Flush()
}

type outboxRetryCmd struct {
	databaseSettings
	Message string `arg:"" optional:"" help:"Id of the message."`
	All     bool   `help:"All dead messages."`
}

func (c *outboxRetryCmd) Run(ctx context.Context, o output) error {
	if c.All == (c.Message != "") {
		return errors.New("name one message, or say --all")
	}
	if _, err := uuid.Parse(c.Message); err != nil && !c.All {
		return errors.New("that is no id of a message")
	}
	st, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	var n int64
	err = st.Short(ctx, func(t *store.ShortTx) error {
		n, err = t.Revive(ctx, c.Message, store.At(time.Now()))
		return err
	})
	if err != nil {
		return err
	}
	if n == 0 && !c.All {
		return errors.New("there is no dead message of this id that still means something")
	}
	_, err = fmt.Fprintf(o.out, "%d to be tried again\n", n)
	return err
}
