package service_test

import (
	"testing"
	"time"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// Refused calls of a minute are one row, on any number of replicas; sign-ins are
// written with the count of the attempt, and corrected when they were right.
func TestActivity_Fair07(t *testing.T) {
	eachURL(t, func(t *testing.T, url string) {
		w := servicetest.New(t, url)
		rows := secondConnection(t, url)
		read := func(principal, kind string) (said map[string][]int64) {
			t.Helper()
			said = map[string][]int64{}
			found, err := rows.QueryContext(t.Context(), `SELECT outcome, count FROM activity WHERE principal_id = '`+principal+`' AND type = '`+kind+`' ORDER BY time`)
			noError(t, err)
			defer func() { noError(t, found.Close()) }()
			for found.Next() {
				var outcome string
				var n int64
				noError(t, found.Scan(&outcome, &n))
				said[outcome] = append(said[outcome], n)
			}
			noError(t, found.Err())
			return said
		}
		w.Clock.Add(time.Minute - time.Duration(w.Clock.Now().Second())*time.Second) // none is cut in two
		there := replica(t, w, url)
		u := w.NewPerson("")
		for range 3 {
			for _, door := range []*servicetest.World{w, there} {
				_, err := door.Orgs.CreateOrganization(door.As(u.Token), &identityv1.CreateOrganizationRequest{
					Organization: &identityv1.Organization{DisplayName: ptr("x")}, Administrator: w.Draft(),
				})
				if servicetest.Reason(err) != "PERMISSION_DENIED" {
					t.Fatal(err)
				}
			}
		}
		servicetest.Eventually(t, "one row of six", func() bool {
			w.Service.Flush(t.Context())
			got := read(u.GetId(), "call")["refused"]
			return len(got) == 1 && got[0] == 6
		})
		for range 2 {
			attempt(t, w, u.GetEmail(), "wrong")
		}
		attempt(t, w, u.GetEmail(), u.Password)
		got := read(u.GetId(), "sign_in")
		if len(got["refused"]) != 2 || len(got["ok"]) != 2 || len(got["password_change"]) != 1 { // the first after the change of password
			t.Errorf("sign-ins: %v", got)
		}
	})
}
