package main

import (
	"context"
	"fmt"
)

// madeRows are the rows of each table that a load makes, by the name it gave.
var madeRows = map[string]string{ //nolint:gosec // the tables have these names
	"users":            `SELECT id, email FROM users WHERE organization_id = $1 AND email LIKE '%@load.example'`,
	"service_accounts": `SELECT id, display_name FROM service_accounts WHERE organization_id = $1 AND display_name LIKE '%.%'`,
	"credentials":      `SELECT id, display_name FROM credentials WHERE organization_id = $1 AND display_name LIKE '%.%'`,
}

// check holds the rows and events of the organization against the ledger: what
// was acknowledged is there once (I-1, I-2), nothing else is, and there is one
// event for each change (I-8).
func (l *load) check(ctx context.Context) error {
	wanted := map[string]int{} // events, by type and target
	named := map[string]map[string]string{"users": {}, "service_accounts": {}, "credentials": {}}
	for _, e := range l.book.entries {
		wanted[e.Event+" "+e.Target]++
		if e.Name != "" {
			named[e.Table][e.Name] = e.Target
		}
	}
	for table, query := range madeRows {
		if err := l.checkRows(ctx, table, query, named[table]); err != nil {
			return err
		}
	}
	found, err := l.t.pairs(ctx, `
		SELECT type || ' ' || target_id, COUNT(*)::text FROM events
		WHERE organization_id = $1 AND actor_id <> '' AND actor_organization_id = '' GROUP BY 1`, l.org)
	if err != nil {
		return err
	}
	for _, p := range found {
		if want := fmt.Sprint(wanted[p[0]]); want != p[1] {
			l.t.fail("%s events %q, acknowledged were %s", p[1], p[0], want)
		}
		delete(wanted, p[0])
	}
	for what, n := range wanted {
		l.t.fail("no event %q, acknowledged were %d", what, n)
	}
	return l.t.checkNumbers(ctx, l.org)
}

func (l *load) checkRows(ctx context.Context, table, query string, named map[string]string) error {
	rows, err := l.t.pairs(ctx, query, l.org)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, row := range rows {
		id, name := row[0], row[1]
		switch {
		case seen[name]:
			l.t.fail("%s: %s was made twice", table, name)
		case named[name] == "":
			l.t.fail("%s: %s is there, but nobody was told so", table, name)
		case named[name] != id:
			l.t.fail("%s: %s is %s, its maker was told %s", table, name, id, named[name])
		}
		seen[name] = true
	}
	for name := range named {
		if !seen[name] {
			l.t.fail("%s: %s was acknowledged and is lost", table, name)
		}
	}
	return nil
}

// checkNumbers checks that the events of an organization are numbered without
// gaps up to its clock, and that its badges say what the rows say.
func (t *trial) checkNumbers(ctx context.Context, org string) error {
	var count, last, clock, users, accounts, badges, total int
	err := t.db.QueryRowContext(ctx, `
		SELECT (SELECT COUNT(*) FROM events e WHERE e.organization_id = c.organization_id),
		       (SELECT COALESCE(MAX(seq), 0) FROM events e WHERE e.organization_id = c.organization_id), event_seq,
		       (SELECT COUNT(*) FROM users u WHERE u.organization_id = c.organization_id AND delete_time = 0),
		       (SELECT COUNT(*) FROM service_accounts a WHERE a.organization_id = c.organization_id AND delete_time = 0),
		       users_active + users_pending + users_disabled, accounts_total
		FROM organization_clock c WHERE organization_id = $1`, org).Scan(&count, &last, &clock, &users, &accounts, &badges, &total)
	if err != nil {
		return err
	}
	if count != clock || last != clock {
		t.fail("%d events, the last has number %d, the clock says %d", count, last, clock)
	}
	if users != badges || accounts != total {
		t.fail("%d people and %d machines, the badges say %d and %d", users, accounts, badges, total)
	}
	return nil
}

// pairs reads two columns of text.
func (t *trial) pairs(ctx context.Context, query string, args ...any) (all [][2]string, err error) {
	rows, err := t.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var p [2]string
		if err := rows.Scan(&p[0], &p[1]); err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, rows.Err()
}
