package store_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/store/storetest"
)

// Organizations of the plans: a large one, and one of many small ones.
const (
	largeOrg = "10000000-0000-7000-8000-000000000000"
	smallOrg = "20000000-0000-7000-8000-000000000007"
)

// planned is a store whose PostgreSQL writes the plan of every statement that
// it runs into its log, filled with 50,000 people of one organization and 20
// each of 200 others.
type planned struct {
	*store.Store
	t    *testing.T
	pool *sqlx.DB
	log  string // the file, and how much of it was read
	read int
}

func newPlanned(t *testing.T) *planned {
	u := storetest.Postgres(t)
	pool, err := sqlx.Open("postgres", u) // whose statements may take their time
	noError(t, err)
	t.Cleanup(func() { _ = pool.Close() })
	for _, text := range []string{
		`CREATE TEMP TABLE people AS SELECT n, CASE WHEN n < 50000 THEN '` + largeOrg + `'
			ELSE '20000000-0000-7000-8000-' || lpad((n % 200)::text, 12, '0') END::uuid AS org,
			md5(n::text)::uuid AS id, 'first' || chr((97 + n % 26)::int) || ' last' || md5((n / 7)::text) AS name FROM generate_series(0, 53999) n`,
		`INSERT INTO organizations (id, display_name, epoch, create_time, update_time) SELECT DISTINCT org, 'o', 1, 1, 1 FROM people`,
		`INSERT INTO organization_clock (organization_id) SELECT id FROM organizations`,
		`INSERT INTO users (organization_id, id, email, email_key, first_name, last_name, display_name, name_key, confirmed, enabled,
			epoch, create_time, update_time) SELECT org, id, m, m, 'f', 'l', name, name, n % 50 <> 0, n % 100 <> 1, 1, n, n
			FROM people, LATERAL (SELECT replace(name, ' ', '.') || n || '@mail.example' AS m) AS a`,
		`INSERT INTO grants (organization_id, principal_id, role_id, create_time)
			SELECT org, id, CASE WHEN n % 500 = 3 THEN '` + roleRare + `' ELSE '` + roleFrequent + `' END, 1 FROM people`,
		`INSERT INTO sessions (organization_id, id, user_id, epoch, org_epoch, create_time, refresh_time, expire_time)
			SELECT org, id, id, 1, 1, 1, 1, 1 FROM people`,
		`INSERT INTO service_accounts (organization_id, id, display_name, name_key, enabled, epoch, create_time, update_time)
			SELECT org, id, name, name, TRUE, 1, n, n FROM people WHERE n % 2 = 0`,
		`INSERT INTO revoked_tokens (organization_id, id, expire_time, create_time) SELECT org, id, 1, 1 FROM people WHERE n % 10 = 0`,
		`INSERT INTO events (organization_id, seq, time, type, actor_id, target_id)
			SELECT org, n, n, CASE WHEN n % 5000 = 1 THEN 'rare' ELSE 'frequent' END, id, id FROM people WHERE n < 50000`,
		`INSERT INTO events (organization_id, seq, time, type) SELECT DISTINCT org, 100, 1, 'frequent' FROM people WHERE n >= 50000`,
		`INSERT INTO throttles (key, failures, retry_time, update_time) SELECT n::text, 6, n, n FROM people`,
		`VACUUM (ANALYZE)`,
	} {
		_, err := pool.ExecContext(t.Context(), text)
		noError(t, err)
	}
	query := url.Values{"session_preload_libraries": {"auto_explain"}, "auto_explain.log_min_duration": {"0"}, "auto_explain.log_analyze": {"on"}, "auto_explain.log_timing": {"off"}}
	p := &planned{t: t, Store: storetest.Open(t, u+"&"+query.Encode()), pool: pool}
	var data string
	noError(t, pool.GetContext(t.Context(), &data, `SHOW data_directory`))
	p.log = filepath.Join(filepath.Dir(data), "log")
	p.plans() // of what was before
	return p
}

const (
	roleRare     = "00000000-0000-7000-8000-0000000000a1"
	roleFrequent = "00000000-0000-7000-8000-0000000000a2"
)

// plans are the plans of what ran since the last time.
func (p *planned) plans() string {
	p.t.Helper()
	text, err := os.ReadFile(p.log)
	noError(p.t, err)
	text, p.read = text[p.read:], len(text)
	return string(text)
}

var seqScan = regexp.MustCompile(`Seq Scan on (\w+)`)

// indexed runs statements, all of which must find their rows by indexes.
func (p *planned) indexed(what string, run func() error) string {
	p.t.Helper()
	if err := run(); err != nil {
		p.t.Errorf("%s: %v", what, err)
	}
	plans := p.plans()
	if !strings.Contains(plans, "Scan") {
		p.t.Errorf("%s: no plan", what)
	}
	if found := seqScan.FindStringSubmatch(plans); found != nil {
		p.t.Errorf("%s: reads all of %s\n%s", what, found[1], plans)
	}
	return plans
}

// filters are each part of a filter alone, with who is rare and who is
// frequent, and combinations of them.
func filters() map[string]store.UserFilter {
	all := map[string]store.UserFilter{
		"none": {}, "rare name": {Name: "lastd41d"}, "frequent name": {Name: "last"}, "nobody": {Name: "zzzz"}, "one letter": {Name: "f"},
		"two letters": {Name: "la"}, "rare e-mail": {Email: "49999@"}, "frequent e-mail": {Email: "mail.example"}, "short e-mail": {Email: "fi"},
		"exact e-mail": {EmailKey: "nobody@mail.example"}, "wildcards": {Name: `%_\%`}, "long": {Name: strings.Repeat("ab ", 66)},
		"active": {State: store.Active}, "pending": {State: store.Pending}, "disabled": {State: store.Disabled},
		"rare role": {RoleID: roleRare}, "frequent role": {RoleID: roleFrequent},
		"name and e-mail": {Name: "firsta", Email: "last"}, "name and state": {Name: "firsta", State: store.Pending},
		"name and role": {Name: "last", RoleID: roleRare}, "state and role": {State: store.Disabled, RoleID: roleFrequent},
		"everything": {Name: "first", Email: "mail", State: store.Active, RoleID: roleFrequent},
	}
	for name, f := range all {
		f.Now = 1
		all[name] = f
	}
	return all
}

// TestPlans_F27_AC04: what people are found by, on many of them. The rule
// wants 200 ms a page of a million people for 99 of 100: times depend on the
// machine, so the bench measures them (docs/performance.md), and this test
// shows what they rest on: nothing reads all rows.
func TestPlans_F27_AC04(t *testing.T) {
	p := newPlanned(t)
	for name, test := range map[string]func(*testing.T, *planned){
		"F27: any list, count and search": testPlansOfLists, "AC04: rows of others": testPlansOfForeignRows, "points": testPlansOfPoints,
		"events": testPlansOfEvents, "service accounts": testPlansOfAccounts,
	} {
		t.Run(name, func(t *testing.T) { p.t = t; test(t, p) })
	}
}

// No list, count or search of people reads all rows, whatever
// it is ordered and filtered by.
func testPlansOfLists(t *testing.T, p *planned) {
	deep := map[string]*store.Cursor{
		"email": {Key: "firstm", ID: largeOrg}, "display_name": {Key: "firstm", ID: largeOrg}, "create_time": {Key: int64(25_000), ID: largeOrg},
	}
	for name, f := range filters() {
		list := func(org string, page store.Page) {
			page.Limit = 51
			p.indexed(fmt.Sprintf("%s in %s by %+v", name, org[:1], page), func() error {
				_, _, err := p.ListUsers(t.Context(), org, f, page, 10_001)
				return err
			})
		}
		for order, cursor := range deep {
			list(largeOrg, store.Page{Order: order})
			list(largeOrg, store.Page{Order: order, Desc: true})
			list(largeOrg, store.Page{Order: order, After: cursor})
			list(largeOrg, store.Page{Order: order, Desc: true, After: cursor})
		}
		list(smallOrg, store.Page{Order: "email"})
	}
}

// No list and no count of events reads all rows, or sorts what it has not bounded.
func testPlansOfEvents(t *testing.T, p *planned) {
	var someone string
	noError(t, p.pool.GetContext(t.Context(), &someone, `SELECT actor_id FROM events WHERE organization_id = $1 LIMIT 1`, largeOrg))
	for name, f := range map[string]store.EventFilter{
		"none": {}, "rare type": {Type: "rare"}, "frequent type": {Type: "frequent"}, "type of none": {Type: "absent"},
		"actor": {Actor: someone}, "target": {Target: someone}, "actor of none": {Actor: largeOrg},
		"actor and type": {Actor: someone, Type: "frequent"}, "everything": {Actor: someone, Target: someone, Type: "frequent", From: 1, To: 50_000},
		"first": {To: 1000}, "last": {From: 49_000}, "between": {From: 20_000, To: 20_100}, "type and time": {Type: "rare", From: 20_000},
	} {
		for _, org := range []string{largeOrg, smallOrg} {
			for _, before := range []int64{0, 25_000} {
				plans := p.indexed(name, func() error {
					_, err := p.Events(t.Context(), org, f, before, 0, 51)
					return err
				})
				if strings.Contains(plans, "Sort Key: events.") {
					t.Errorf("%s: sorts\n%s", name, plans)
				}
			}
			p.indexed("count: "+name, func() error {
				_, err := p.CountEvents(t.Context(), org, f, 10_001)
				return err
			})
		}
	}
}

// No list and no count of service accounts reads all rows.
func testPlansOfAccounts(t *testing.T, p *planned) {
	for name, f := range map[string]store.AccountFilter{
		"none": {}, "rare name": {Name: "lastd41d"}, "nobody": {Name: "zzzz"}, "parent": {ParentID: "nothing"}, "type and parent": {ParentType: "agent", ParentID: "nothing"},
	} {
		for _, org := range []string{largeOrg, smallOrg} {
			for _, order := range []string{"display_name", "create_time"} {
				p.indexed(name, func() error {
					_, err := p.ServiceAccounts(t.Context(), org, f, store.Page{Order: order, Limit: 51})
					return err
				})
			}
			p.indexed("count: "+name, func() error {
				_, err := p.CountServiceAccounts(t.Context(), org, f, 10_001)
				return err
			})
		}
	}
}

// A search for what is in another organization has the plan of
// any search, and touches no row of it.
func testPlansOfForeignRows(t *testing.T, p *planned) {
	search := func(text string) string {
		return p.indexed(text, func() error {
			us, b, err := p.ListUsers(t.Context(), smallOrg, store.UserFilter{Email: text, Now: 1}, store.Page{Order: "email", Limit: 51}, 10_001)
			if len(us.Rows) != 0 || b != (store.Tally{}) {
				t.Errorf("%d found", len(us.Rows))
			}
			return err
		})
	}
	numbers := regexp.MustCompile(`[0-9.]+ ?(ms|kB)?|\$\d+ = '[^']*'`)
	shape := func(plans string) string {
		var lines []string
		for line := range strings.Lines(plans) {
			if strings.Contains(line, "cost=") || strings.Contains(line, "Cond:") {
				lines = append(lines, numbers.ReplaceAllString(line, "#"))
			}
		}
		return strings.Join(lines, "")
	}
	taken, free := search("49999@mail.example"), search("49998@nowhere.example")
	if shape(taken) != shape(free) {
		t.Errorf("an address of another organization:\n%s\nan address of nobody:\n%s", taken, free)
	}
	for _, rows := range regexp.MustCompile(`Bitmap Heap Scan on users .*actual rows=(\d+)`).FindAllStringSubmatch(taken, -1) {
		if rows[1] != "0" {
			t.Errorf("%s rows were read\n%s", rows[1], taken)
		}
	}
}

// What every call asks finds its rows by keys.
func testPlansOfPoints(t *testing.T, p *planned) {
	ctx := t.Context()
	var id string
	noError(t, p.pool.GetContext(ctx, &id, `SELECT id FROM users WHERE organization_id = $1 LIMIT 1`, largeOrg))
	p.indexed("points", func() error {
		for range 3 { // also when it is prepared
			for _, ask := range []func() error{
				func() error { _, err := p.User(ctx, largeOrg, id); return err },
				func() error { _, err := p.Principal(ctx, largeOrg, id); return err },
				func() error { _, err := p.PersonStanding(ctx, largeOrg, id, id); return err },
				func() error { _, err := p.PersonActing(ctx, largeOrg, id, id, id, smallOrg); return err },
				func() error { _, err := p.Grants(ctx, largeOrg, id, id, id); return err },
				func() error { _, err := p.Blocked(ctx, []string{"1", "2", "3"}, 1); return err },
				func() error { _, err := p.BlockedNow(ctx, 1, 1000); return err },
				func() error { _, err := p.Badges(ctx, largeOrg); return err },
				func() error { _, err := p.Clocks(ctx, []string{largeOrg, smallOrg}); return err },
				func() error {
					_, err := p.EventsOf(ctx, []store.Span{{Org: largeOrg, From: 90, To: 95}, {Org: smallOrg, From: 99, To: 100}})
					return err
				},
				func() error {
					_, err := p.EventsOf(ctx, spans(store.SpansAtOnce, []string{largeOrg, smallOrg}))
					return err
				},
				func() error { _, _, err := p.RolesEpoch(ctx, largeOrg); return err },
			} {
				if err := ask(); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
