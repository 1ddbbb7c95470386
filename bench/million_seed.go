package main

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/bizmetry/identity/rig"
	"github.com/bizmetry/identity/store"
)

// A million people, and smaller organizations beside them.
const (
	millionUsers = 1_000_000
	smallOrgs    = 1_000
	smallUsers   = 200 // of each
	usersKnown   = 100_000
	// bulkEvery is of how many people one has the role that bulk changes go by.
	bulkEvery = 10
)

// part is how many of so many there are: with -quick one in twenty.
func (b *bench) part(n int) int {
	if b.quick {
		return n / 20
	}
	return n
}

// crowd is an organization that is seeded: the people from first on.
type crowd struct {
	org   string
	first int
	users int
}

// seedMillion fills the customer with a million people and a thousand other
// organizations, by COPY, with the indexes made afterwards.
func (b *bench) seedMillion(ctx context.Context) error {
	crowds := []crowd{{b.org, 0, b.part(millionUsers)}}
	for n := range b.part(smallOrgs) {
		crowds = append(crowds, crowd{uuid.Must(uuid.NewV7()).String(), crowds[0].users + n*smallUsers, smallUsers})
	}
	for n := range b.part(usersKnown) {
		u := member(crowds[0], n)
		b.users = append(b.users, seededUser{u.ID, u.Email})
	}
	indexes, err := b.dropIndexes(ctx, "users", "grants")
	if err != nil {
		return err
	}
	progress("copy %d people", b.part(millionUsers)+b.part(smallOrgs)*smallUsers)
	tx, err := b.postgres.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := copyCrowds(ctx, tx, crowds); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	progress("make the indexes")
	return b.postgres.exec(ctx, append(indexes, `VACUUM (ANALYZE)`, `CHECKPOINT`)...)
}

// dropIndexes drops those that COPY is faster without, and returns how they are made.
func (b *bench) dropIndexes(ctx context.Context, tables ...string) (made []string, err error) {
	for _, table := range tables {
		rows, err := b.postgres.db.QueryContext(ctx, `SELECT indexname, indexdef FROM pg_indexes
			WHERE tablename = $1 AND indexname NOT IN (SELECT conname FROM pg_constraint)`, table)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		var drops []string
		for rows.Next() {
			var name, text string
			if err := rows.Scan(&name, &text); err != nil {
				return nil, err
			}
			drops, made = append(drops, `DROP INDEX `+name), append(made, text)
		}
		if err := rows.Err(); err != nil {
			return nil, err
		}
		if err := b.postgres.exec(ctx, drops...); err != nil {
			return nil, err
		}
	}
	return made, nil
}

func copyCrowds(ctx context.Context, tx *sql.Tx, crowds []crowd) error {
	now := int64(store.At(time.Now()))
	small := crowds[1:]
	err := copyIn(ctx, tx, `COPY organizations (id, display_name, epoch, create_time, update_time) FROM STDIN`, len(small), func(i int) []any {
		return []any{small[i].org, fmt.Sprintf("Organization %d", i), now, now, now}
	})
	if err != nil {
		return err
	}
	err = copyIn(ctx, tx, `COPY organization_clock (organization_id) FROM STDIN`, len(small), func(i int) []any { return []any{small[i].org} })
	if err != nil {
		return err
	}
	for _, c := range crowds {
		var active, pending, disabled int
		var of []store.User // of one chunk
		const chunk = 50_000
		for from := 0; from < c.users; from += chunk {
			of = of[:0]
			for n := from; n < min(from+chunk, c.users); n++ {
				of = append(of, member(c, n))
				switch u := of[len(of)-1]; {
				case !u.Enabled:
					disabled++
				case !u.Confirmed:
					pending++
				default:
					active++
				}
			}
			if err := copyPeople(ctx, tx, of); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `UPDATE organization_clock SET users_active = users_active + $1, users_pending = users_pending + $2,
			users_disabled = users_disabled + $3 WHERE organization_id = $4`, active, pending, disabled, c.org); err != nil {
			return err
		}
	}
	return nil
}

func copyPeople(ctx context.Context, tx *sql.Tx, of []store.User) error {
	err := copyIn(ctx, tx, `COPY users (`+personColumns+`) FROM STDIN`, len(of), func(i int) []any { return personValues(&of[i]) })
	if err != nil {
		return err
	}
	var confirmed []store.User
	var grants [][]any
	for _, u := range of {
		n := int(u.Created) // as member made it
		grants = append(grants, []any{u.Org, u.ID, rig.Developer, int64(u.Created)})
		if n%2 == 0 {
			grants = append(grants, []any{u.Org, u.ID, rig.Agent, int64(u.Created)})
		}
		if n%bulkEvery == 0 {
			grants = append(grants, []any{u.Org, u.ID, rig.Integration, int64(u.Created)})
		}
		if u.Confirmed {
			confirmed = append(confirmed, u)
		}
	}
	err = copyIn(ctx, tx, `COPY grants (organization_id, principal_id, role_id, create_time) FROM STDIN`, len(grants), func(i int) []any { return grants[i] })
	if err != nil {
		return err
	}
	return copyIn(ctx, tx, `COPY directory (kind, key, organization_id, id) FROM STDIN`, len(confirmed), func(i int) []any {
		return []any{store.ConfirmedEmail, confirmed[i].EmailKey, confirmed[i].Org, confirmed[i].ID}
	})
}

// member is the nth of a crowd: one in 25 is pending, one in 50 disabled; of
// the names some are borne by many and most by few.
func member(c crowd, n int) store.User {
	n += c.first
	h := uint64(n)*0x9E3779B97F4A7C15 ^ 0x5DEECE66D //nolint:gosec // n is small
	h ^= h >> 29
	first, last := syllables((h%60)*(h/61%60)%4096, 2), syllables((h/3601%512)*(h/1_843_713%512)%262_144, 3)
	u := person(c.org, n, store.Micros(1_700_000_000_000_000+n))
	u.ID = fmt.Sprintf("018bcfe5-%04x-7%03x-8%03x-%012x", n>>16, n&0xfff, h%0xfff, uint64(n)<<16|h>>48) //nolint:gosec // n is small
	u.FirstName, u.LastName, u.DisplayName, u.NameKey = first, last, first+" "+last, strings.ToLower(first+" "+last)
	u.Email = fmt.Sprintf("%s.%s.%06d@%s.example", strings.ToLower(first), strings.ToLower(last), n, []string{"customer", "partner"}[h%7/6])
	u.EmailKey, u.Confirmed, u.Enabled = u.Email, h%25 != 0, h/25%50 != 0
	return u
}

// parts of names: with them a trigram is about as common as in names of people.
var parts = strings.Fields(`al an ar ba ber bo bra chen cor da del dim do el en er fa fin fra ga ger go han hel hu in is ja jo kar kim ko la len li lo
	mar mel mi mor na nel no ol or pa per pi qua ra ren ri ro sa sel shi so sta tan ter to ul va vi wen yo za`)

// syllables spells a number as a name.
func syllables(n uint64, length int) string {
	var name strings.Builder
	for range length {
		name.WriteString(parts[n%uint64(len(parts))])
		n /= uint64(len(parts))
	}
	return strings.ToUpper(name.String()[:1]) + name.String()[1:]
}
