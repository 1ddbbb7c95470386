package service_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// exported is an export that has to come, as records.
func exported(t testing.TB, w *world, token string, f *identityv1.ListUsersRequest_Filter) [][]string {
	t.Helper()
	file := must[string](t)(exportFile(w.As(token), w.World, &identityv1.ExportUsersRequest{Filter: f}))
	records := must[[][]string](t)(csv.NewReader(strings.NewReader(file)).ReadAll())
	if want := "id,email,first_name,last_name,confirmed,enabled,state,roles,permissions,phone,phone_verified,create_time,created_by,update_time,last_sign_in_time"; strings.Join(records[0], ",") != want {
		t.Errorf("header %v", records[0])
	}
	return records[1:]
}

func cellsOf(records [][]string, i int) (values []string) {
	for _, r := range records {
		values = append(values, r[i])
	}
	return values
}

// TestExport_AC10: a filter never reaches foreign rows.
func TestExport_AC10(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := &tenant{Org: w.NewOrg()}
		w.Clock.Add(time.Second)
		a.user = w.NewPerson(a.GetId(), servicetest.MonitoringUser)
		w.Clock.Add(time.Second)
		b := w.newTenant()
		disabled := w.CreateUser(a.GetId(), servicetest.DevOps)
		must[*identityv1.User](t)(w.Users.DisableUser(w.As(a.Admin.Token), &identityv1.DisableUserRequest{Id: disabled.GetId()}))
		deleted := w.CreateUser(a.GetId())
		must[*identityv1.User](t)(w.Users.DeleteUser(w.As(a.Admin.Token), &identityv1.DeleteUserRequest{Id: deleted.GetId()}))
		admin, user, off := a.Admin.GetEmail(), a.user.GetEmail(), disabled.GetEmail()
		for _, row := range []struct {
			name   string
			filter *identityv1.ListUsersRequest_Filter
			want   []string
		}{
			{"everybody, oldest first", nil, []string{admin, user, off}},
			{"an empty filter", &identityv1.ListUsersRequest_Filter{}, []string{admin, user, off}},
			{"the name that all have", &identityv1.ListUsersRequest_Filter{Name: new("grace")}, []string{user, off}},
			{"a foreign address", &identityv1.ListUsersRequest_Filter{Email: new(b.user.GetEmail())}, nil},
			{"a whole foreign address", &identityv1.ListUsersRequest_Filter{EmailExact: new(b.user.GetEmail())}, nil},
			{"nobody's address", &identityv1.ListUsersRequest_Filter{EmailExact: new("none@people.test")}, nil},
			{"a role that others have too", &identityv1.ListUsersRequest_Filter{RoleId: new(servicetest.MonitoringUser)}, []string{user}},
			{"a state", &identityv1.ListUsersRequest_Filter{State: identityv1.User_DISABLED}, []string{off}},
		} {
			t.Run(row.name, func(t *testing.T) {
				if diff := cmp.Diff(row.want, cellsOf(exported(t, w, a.Admin.Token, row.filter), 1)); diff != "" {
					t.Error(diff)
				}
			})
		}
		t.Run("a foreign role", func(t *testing.T) {
			_, err := exportFile(w.As(a.Admin.Token), w.World, &identityv1.ExportUsersRequest{Filter: &identityv1.ListUsersRequest_Filter{RoleId: new(b.role)}})
			servicetest.Refused(t, err, codes.NotFound, identityv1.Error_NOT_FOUND)
		})
	})
}

// Pages follow each other without a gap, also among people of the same moment,
// and take no statement a row.
func TestExport_Pages(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		file, want := "email,first_name,last_name,roles\n", []string(nil)
		for i := range 2500 {
			email := fmt.Sprintf("many%04d@import.test", i)
			file, want = file+email+",Ann,Ng,Monitoring User\n", append(want, email)
		}
		imported(t, w, a.Admin.Token, &identityv1.ImportUsersRequest{}, file)
		before := w.Store.Statements()
		got := cellsOf(exported(t, w, a.Admin.Token, &identityv1.ListUsersRequest_Filter{Email: new("many")}), 1)
		if n := w.Store.Statements() - before; n > 30 {
			t.Errorf("%d statements", n)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%d of %d", len(got), len(want))
		}
	})
}

// TestExport_IN06: what a spreadsheet would run is guarded, and an export
// read in again gives the same people.
func TestExport_IN06(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, b := w.newTenant(), w.newTenant()
		own := randomID()
		w.sql(`INSERT INTO roles (organization_id, id, name, name_key, description) VALUES ('` + a.GetId() + `', '` + own + `', '=1+1', '=1+1', '')`)
		file := `{"email":"=cmd@import.test","first_name":"Ann","last_name":"O'Neill-Ng","roles":["=1+1"]}
{"email":"+41@import.test","first_name":"Zoë","last_name":"李","roles":["Monitoring User","Agent"],"permissions":["agents.read","profiles.read"]}
{"email":"-x@import.test","first_name":"Ann","last_name":"Ng","enabled":false,"permissions":["agents.read"]}
`
		for _, row := range imported(t, w, a.Admin.Token, &identityv1.ImportUsersRequest{Format: identityv1.UserFile_JSON_LINES}, file) {
			if row.GetOutcome() != identityv1.ImportUsersResponse_Row_CREATED {
				t.Fatalf("%v", row)
			}
		}
		filter := &identityv1.ListUsersRequest_Filter{Email: new("import.test")}
		byAddress := func(x, y []string) int { return strings.Compare(x[1], y[1]) } // all are of the same moment
		records := exported(t, w, a.Admin.Token, filter)
		slices.SortFunc(records, byAddress)
		for _, cell := range slices.Concat(records...) {
			if cell != "" && strings.Contains("=+-@\t\r", cell[:1]) {
				t.Errorf("the cell %q is a formula", cell)
			}
		}
		if records[2][1] != "'=cmd@import.test" || records[2][7] != "'=1+1" || records[0][7] != "Agent;Monitoring User" || records[0][8] != "agents.read;profiles.read" {
			t.Errorf("records %v", records)
		}
		w.sql(`INSERT INTO roles (organization_id, id, name, name_key, description) VALUES ('` + b.GetId() + `', '` + randomID() + `', '=1+1', '=1+1', '')`)
		for _, format := range []identityv1.UserFile_Format{identityv1.UserFile_CSV, identityv1.UserFile_JSON_LINES} {
			whole := must[string](t)(exportFile(w.As(a.Admin.Token), w.World, &identityv1.ExportUsersRequest{Filter: filter, Format: format}))
			rows := imported(t, w, b.Admin.Token, &identityv1.ImportUsersRequest{Format: format}, whole)
			for _, row := range rows {
				want := identityv1.ImportUsersResponse_Row_CREATED
				if format == identityv1.UserFile_JSON_LINES { // the second file has the same people
					want = identityv1.ImportUsersResponse_Row_EXISTS
				}
				if row.GetOutcome() != want {
					t.Errorf("%v: %v", format, row)
				}
			}
		}
		copies := exported(t, w, b.Admin.Token, filter)
		slices.SortFunc(copies, byAddress)
		for i, copied := range copies {
			if diff := cmp.Diff(records[i][1:9], copied[1:9]); diff != "" {
				t.Error(diff)
			}
		}
	})
}

func TestExport_JSONLines(t *testing.T) {
	w := sqliteWorld(t)
	a := w.NewOrg()
	file := must[string](t)(exportFile(w.As(a.Admin.Token), w.World, &identityv1.ExportUsersRequest{Format: identityv1.UserFile_JSON_LINES}))
	var u struct {
		ID, Email, State    string
		Confirmed           bool
		Roles, Permissions  []string
		Phone, CreateTime   *string
		FirstName, LastName string `json:"-"`
	}
	if err := json.Unmarshal([]byte(file), &u); err != nil || strings.Count(file, "\n") != 1 {
		t.Fatalf("%v in %s", err, file)
	}
	if u.ID != a.Admin.GetId() || u.Email != a.Admin.GetEmail() || !u.Confirmed || u.State != "ACTIVE" || u.Phone != nil ||
		!slices.Equal(u.Roles, []string{"Super User"}) || u.Permissions == nil {
		t.Errorf("got %s", file)
	}
	if strings.Contains(file, "argon2") || strings.Contains(file, "password") {
		t.Errorf("a secret in %s", file)
	}
}

// A byte order mark stands where it was asked for, once, and an import passes over it.
func TestExport_ByteOrderMark(t *testing.T) {
	w := sqliteWorld(t)
	a := w.NewOrg()
	for _, row := range []struct {
		name string
		req  *identityv1.ExportUsersRequest
		mark string
	}{
		{"asked for", &identityv1.ExportUsersRequest{Bom: true}, "\ufeff"},
		{"asked for, the format named", &identityv1.ExportUsersRequest{Bom: true, Format: identityv1.UserFile_CSV}, "\ufeff"},
		{"asked for, nobody in it", &identityv1.ExportUsersRequest{Bom: true, Filter: &identityv1.ListUsersRequest_Filter{Email: ptr("none")}}, "\ufeff"},
		{"not asked for", &identityv1.ExportUsersRequest{}, ""},
	} {
		file := must[string](t)(exportFile(w.As(a.Admin.Token), w.World, row.req))
		if !strings.HasPrefix(file, row.mark+"id,email,") {
			t.Errorf("%s: %.20q", row.name, file)
		}
		for _, status := range imported(t, w, a.Admin.Token, &identityv1.ImportUsersRequest{}, file) {
			if status.GetOutcome() != identityv1.ImportUsersResponse_Row_EXISTS {
				t.Errorf("%s: %v", row.name, status)
			}
		}
	}
	_, err := exportFile(w.As(a.Admin.Token), w.World, &identityv1.ExportUsersRequest{Bom: true, Format: identityv1.UserFile_JSON_LINES})
	servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_INVALID_FIELDS)
}
