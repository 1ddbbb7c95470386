package service_test

import (
	"strings"
	"testing"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
)

// PW-17: whoever's password or address was changed is told, under the old
// address and the new, in the transaction of the change.
func TestNotices_PW17(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		u := w.CreateUser(a.GetId())
		if err := w.patch(a, &identityv1.User{Id: u.GetId(), Password: ptr("Another#Horse8battery")}, "password"); err != nil {
			t.Fatal(err)
		}
		w.Letter(u.GetEmail(), "Your password was changed")
		next := "next-" + u.GetEmail()
		if err := w.patch(a, &identityv1.User{Id: u.GetId(), Email: &next}, "email"); err != nil {
			t.Fatal(err)
		}
		w.Letter(u.GetEmail(), "Your e-mail address was changed")
		w.Letter(next, "Your e-mail address was changed")
		if err := w.activate(w.Link(next), ""); err != nil { // it was un-confirmed, and is proven again
			t.Error(err)
		}
		if err := w.patch(a, &identityv1.User{Id: u.GetId(), FirstName: ptr("Gracie"), RoleIds: a.roles()}, "first_name", "role_ids"); err != nil {
			t.Fatal(err)
		}
		number := newNumber()
		phone := &identityv1.User{Id: u.GetId(), Phone: &number, PhoneProof: ptr(w.prove(a.Admin.Token, "", u.GetId(), number))}
		if err := w.patch(a, phone, "phone", "phone_proof"); err != nil {
			t.Fatal(err)
		}
		w.Letter(next, "Your phone number was changed")
		// The notice after ChangePassword: the fixture replaced the initial password.
		v := w.NewPerson(a.GetId())
		w.Letter(v.GetEmail(), "Your password was changed")
		// What is refused tells nobody.
		rows := func() (n int) {
			if err := w.db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM outbox`).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		taken, before := a.user.GetEmail(), rows()
		if err := w.patch(a, &identityv1.User{Id: u.GetId(), Email: &taken, Password: ptr("Third#Horse9battery")}, "email", "password"); err == nil {
			t.Fatal("a taken address was accepted")
		}
		if after := rows(); after != before {
			t.Errorf("%d messages, then %d", before, after)
		}
		// A notice is kept or lost with its change: the number of the change's event is taken, so its end fails.
		for _, statement := range []string{
			`INSERT INTO events (organization_id, seq, time, type, actor_id, target_id, data, request_id, source)
				SELECT organization_id, event_seq + 1, 0, 'test', '', '', '{}', '', '' FROM organization_clock WHERE organization_id = $1`,
			`DELETE FROM events WHERE organization_id = $1 AND type = 'test'`,
		} {
			if _, err := w.db.ExecContext(t.Context(), statement, a.GetId()); err != nil {
				t.Fatal(err)
			}
			err := w.patch(a, &identityv1.User{Id: u.GetId(), Password: ptr("Fourth#Horse9battery")}, "password")
			if failed := strings.HasPrefix(statement, "INSERT"); failed != (err != nil) || failed != (rows() == before) {
				t.Errorf("%v, and %d messages more", err, rows()-before)
			}
		}
	})
}
