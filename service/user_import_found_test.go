package service_test

import (
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// told are statuses in short, with line and address: "2 1 ann@import.test CREATED".
func told(rows []*identityv1.ImportUsersResponse_Row) (short []string) {
	for _, r := range rows {
		short = append(short, strings.TrimSpace(fmt.Sprintf("%d %d %s %s %s %s", r.GetLine(), r.GetRow(), r.GetEmail(), r.GetOutcome(), r.GetReason(), strings.Join(r.GetViolations(), ", "))))
	}
	return short
}

// A quote that is not closed ends the import. The rows before are settled, the
// others are counted.
func TestImport_QuoteNotClosed(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		var rest strings.Builder
		for i := range 497 {
			fmt.Fprintf(&rest, "rest%d@import.test,Ann,Ng,Monitoring User\n", i)
		}
		for _, row := range []struct{ name, file string }{
			{"to the end", "q1@q.example,\"A,B,Monitoring User\n" + rest.String()},
			{"to a quote in another row", "q1@q.example,\"A,B,Monitoring User\n" + strings.Replace(rest.String(), "Ann", "\"Ann\"", 1)},
			{"of two", "\"q1@q.example,A,B,Monitoring User\n" + strings.Replace(rest.String(), "rest9", "\"rest9", 1)},
		} {
			t.Run(row.name, func(t *testing.T) {
				a := w.NewOrg()
				rows, _, err := importFile(w.As(a.Admin.Token), w.World, &identityv1.ImportUsersRequest{},
					strings.NewReader("email,first_name,last_name,roles\nann@import.test,Ann,Ng,Monitoring User\n"+row.file))
				servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_MALFORMED_REQUEST)
				want := map[string]string{"row": "2", "line": "3", "cause": "a quote opened in line 3 is not closed", "unread": "498"}
				if diff := cmp.Diff(want, infos(err)[0].GetMetadata()); diff != "" {
					t.Error(diff)
				}
				if diff := cmp.Diff([]string{"2 1 ann@import.test CREATED"}, told(rows)); diff != "" {
					t.Error(diff)
				}
			})
		}
	})
}

// Every status says where its row is and whose, as far as that can be read, and
// what names no role.
func TestImport_Told(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		w.sql(`INSERT INTO roles (organization_id, id, name, name_key, description) VALUES ('` + a.GetId() + `', '` + randomID() + `', 'DevOps', 'devops', '')`) // as a built-in one
		for _, row := range []struct {
			format identityv1.UserFile_Format
			file   string
			want   []string
		}{
			{identityv1.UserFile_CSV, `sep=;
E-Mail;First Name;Last Name;State;Enabled;Roles;
ann@import.test;"Ann ";Ng;;yes;Agent

bob@import.test;Bob;Ng;;Maybe;Agent;
carl@import.test;Ca"rl;Ng;;;Agent
;;;;;;
dora@import.test;Dora;Ng;;;Agent;x
"eve@import.test"; "Eve";Ng;;0;"agent;Nobody's;devops"
fay@import.test;Fay;Ng;"ACTIVE;;Agent
gil@import.test;Gil;Ng;ACTIVE";;Agent
"hal@import.test
";Hal;Ng;;;Agent
"x";"A
B";Ng;;;Agent
ida@import.test;Ida;Ng
zoe@import.test;` + strings.Repeat("e\u0308", 60) + `;Ng;;;Agent
`, []string{
				"3 1 ann@import.test CREATED",
				"5 2 bob@import.test REFUSED INVALID_FIELDS enabled: bool",
				"6 3 carl@import.test REFUSED INVALID_FIELDS row: csv",
				"8 4 dora@import.test REFUSED INVALID_FIELDS row: field 7 has no column",
				"9 5 eve@import.test REFUSED NOT_FOUND roles: unknown Nobody's, roles: several are called devops",
				"10 6 fay@import.test REFUSED INVALID_FIELDS state: one_line, row: lines 10 to 11",
				"12 7 hal@import.test CREATED",
				"14 8 x REFUSED INVALID_FIELDS first_name: name, email: email, row: lines 14 to 15",
				"16 9 ida@import.test REFUSED INVALID_FIELDS roles: at_least_one",
				"17 10 zoe@import.test CREATED", // measured as it is kept
			}},
			{identityv1.UserFile_JSON_LINES, `{"email":"jo@import.test","firstName":"Jo","lastName":"Ng","roles":["Agent"]}

{"email":"kim@import.test","first_name":"Kim"
{"email":"lea@import.test","first_name":"Lea","last_name":"Ng","roles":["Nobody's","Agent"]}
`, []string{
				"1 1 jo@import.test CREATED",
				"3 2 kim@import.test REFUSED INVALID_FIELDS row: json",
				"4 3 lea@import.test REFUSED NOT_FOUND roles: unknown Nobody's",
			}},
		} {
			for _, dry := range []bool{true, false} {
				rows := imported(t, w, a.Admin.Token, &identityv1.ImportUsersRequest{Format: row.format, ValidateOnly: dry}, row.file)
				if diff := cmp.Diff(row.want, told(rows)); diff != "" {
					t.Errorf("%v, dry run %t: %s", row.format, dry, diff)
				}
			}
		}
		filter := &identityv1.ListUsersRequest_Filter{EmailExact: ptr("ann@import.test")}
		if got := exported(t, w, a.Admin.Token, filter); len(got) != 1 || got[0][2] != "Ann" {
			t.Errorf("%q", got)
		}
	})
}

// An export that a spreadsheet saved again is taken whole.
func TestImport_SavedAgain(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		for range 20 {
			w.CreateUser(a.GetId(), servicetest.MonitoringUser, servicetest.DevOps)
		}
		file := must[string](t)(exportFile(w.As(a.Admin.Token), w.World, &identityv1.ExportUsersRequest{Bom: true}))
		records := must[[][]string](t)(csv.NewReader(strings.NewReader(strings.TrimPrefix(file, "\ufeff"))).ReadAll())
		saved := func(separator rune, change func(record []string) []string) string {
			var b strings.Builder
			b.WriteString("\ufeff")
			out := csv.NewWriter(&b)
			out.Comma, out.UseCRLF = separator, true
			for _, r := range records {
				if err := out.Write(change(slices.Clone(r))); err != nil {
					t.Fatal(err)
				}
			}
			out.Flush()
			return b.String()
		}
		leftOut := func(r []string) []string {
			for r[len(r)-1] == "" {
				r = r[:len(r)-1]
			}
			return r
		}
		capitals := func(r []string) []string {
			for i := range r {
				r[i] = strings.NewReplacer("true", "TRUE", "false", "FALSE").Replace(r[i])
			}
			return append(r, "", "")
		}
		for name, again := range map[string]string{
			"as it is":                         file,
			"empty cells left out at the end":  saved(',', leftOut),
			"semicolons, empty cells left out": saved(';', leftOut),
			"tabs, capitals and empty columns": saved('\t', capitals),
		} {
			for i, row := range imported(t, w, a.Admin.Token, &identityv1.ImportUsersRequest{}, again) {
				if row.GetOutcome() != identityv1.ImportUsersResponse_Row_EXISTS || row.GetLine() != int64(i+2) {
					t.Errorf("%s: %v", name, row)
				}
			}
		}
	})
}

// A file of another kind is refused by what it is, before anything is done.
func TestImport_OtherKind(t *testing.T) {
	w := sqliteWorld(t)
	_, _, err := importFile(w.As(w.Root), w.World, &identityv1.ImportUsersRequest{}, strings.NewReader("PK\x03\x04"+strings.Repeat("\x00", 26)+"xl/workbook.xml"))
	servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_MALFORMED_REQUEST)
	want := map[string]string{"row": "0", "line": "1", "cause": "This is an Excel workbook (.xlsx). Save it as CSV UTF-8 and import that."}
	if diff := cmp.Diff(want, infos(err)[0].GetMetadata()); diff != "" {
		t.Error(diff)
	}
}
