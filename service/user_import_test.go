package service_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/scrypt"
	"google.golang.org/grpc/codes"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// imported imports a text that has to be read to its end.
func imported(t testing.TB, w *world, token string, req *identityv1.ImportUsersRequest, file string) []*identityv1.ImportUsersResponse_Row {
	t.Helper()
	rows, sum, err := importFile(w.As(token), w.World, req, strings.NewReader(file))
	if err != nil || sum.GetRows() != int64(len(rows)) || sum.GetCreated()+sum.GetExisting()+sum.GetRefused() != sum.GetRows() {
		t.Fatalf("%d rows, summary %v, %v", len(rows), sum, err)
	}
	return rows
}

// TestImport shows every outcome of a row, in a dry run first: the same, and
// nothing is written. One bad row costs the others nothing (RG-02, AC-07:
// each row is held against the caller's rights like a CreateUser).
func TestImport_RG02(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, b := w.newTenant(), w.newTenant()
		deleted := w.CreateUser(a.GetId())
		must[*identityv1.User](t)(w.Users.DeleteUser(w.As(a.Admin.Token), &identityv1.DeleteUserRequest{Id: deleted.GetId()}))
		business := w.NewPerson(a.GetId(), servicetest.BusinessAdmin)
		rows := [][2]string{
			{"ann@import.test,Ann,Ng,,Monitoring User,,", "CREATED"},
			{"Bob@Import.Test,Bob,O'Neill,false,monitoring user;" + servicetest.MonitoringUser + ",,", "CREATED"},
			{"carl@import.test,Carl,Ek,,,profiles.read;agents.read,", "CREATED"},
			{"BOB@import.test,Bob,Again,,Monitoring User,,", "EXISTS"},
			{a.user.GetEmail() + ",Any,Body,,Monitoring User,,", "EXISTS"},
			{deleted.GetEmail() + ",Any,Body,,Monitoring User,,", "REFUSED EMAIL_TAKEN"},
			{b.user.GetEmail() + ",Any,Body,,Monitoring User,,", "REFUSED EMAIL_TAKEN"}, // confirmed elsewhere
			{"dora@import.test,Dora,Ek,,Super User,,", "REFUSED GRANT_EXCEEDS_OWN"},
			{"dora@import.test,Dora,Ek,,,platform.tokens.write,", "REFUSED GRANT_EXCEEDS_OWN"},
			{"dora@import.test,Dora,Ek,,Platform Operator,,", "REFUSED NOT_FOUND roles: unknown Platform Operator"},
			{"dora@import.test,Dora,Ek,," + b.role + ",,", "REFUSED NOT_FOUND roles: unknown " + b.role},
			{"dora@import.test,Dora,Ek,,Nobody's,,", "REFUSED NOT_FOUND roles: unknown Nobody's"},
			{"dora@import.test,Dora,Ek,,,no.such,", "REFUSED UNKNOWN_PERMISSION permissions: unknown no.such"},
			{"dora@import.test,Dora,Ek,,,system.organizations.act,", "REFUSED UNKNOWN_PERMISSION permissions: unknown system.organizations.act"},
			{"dora@import.test,Dora,Ek,true,Monitoring User,,", "REFUSED CONFIRM_NOT_ALLOWED"},
			{"dora@import.test,Dora,Ek,,,,", "REFUSED INVALID_FIELDS roles: at_least_one"},
			{"no address,Dora,Ek,,Monitoring User,,", "REFUSED INVALID_FIELDS email: email"},
			{",Dora,,,Monitoring User,,", "REFUSED INVALID_FIELDS email: required, last_name: required"},
			{"dora@import.test,D0ra,Ek,maybe,Monitoring User,,", "REFUSED INVALID_FIELDS confirmed: bool"},
			{"dora@import.test,D_ra,Ek,,Monitoring User,,", "REFUSED INVALID_FIELDS first_name: name"},
			{"dora@import.test,Dora,Ek,,Monitoring User,Not A Key,", "REFUSED INVALID_FIELDS permissions[0]: string.pattern"},
			{"dora@import.test,Dora,Ek,,Monitoring User,,secret", "REFUSED INVALID_FIELDS password_hash: hash"},
			{"dora@import.test,Dora", "REFUSED INVALID_FIELDS last_name: required, roles: at_least_one"},
			{"dora@import.test,Dora,Ek,,Agent,,,x", "REFUSED INVALID_FIELDS row: has 8 fields, not 7"},
			{"dora@import.test,Dora,Ek,,Agent;Nobody's;\x1b[31m,,", "REFUSED NOT_FOUND roles: unknown Nobody's, roles: unknown ?[31m"},
			{"dora@import.test,Dora,Ek,,Monitoring User,,", "CREATED"},
		}
		file, want := "email,first_name,last_name,confirmed,roles,permissions,password_hash\n", []string(nil)
		for i, row := range rows {
			file += row[0] + "\n"
			want = append(want, fmt.Sprintf("%d %s", i+1, row[1]))
		}
		events := w.events(t)
		rehearsal := imported(t, w, business.Token, &identityv1.ImportUsersRequest{ValidateOnly: true}, file)
		if diff := cmp.Diff(want, statuses(rehearsal)); diff != "" {
			t.Errorf("dry run: %s", diff)
		}
		if w.events(t) != events || len(a.emails(t, w)) != 3 {
			t.Error("the dry run left something")
		}
		done := imported(t, w, business.Token, &identityv1.ImportUsersRequest{}, file)
		if diff := cmp.Diff(want, statuses(done)); diff != "" {
			t.Error(diff)
		}
		if done[1].GetEmail() != "Bob@Import.Test" || done[3].GetId() != done[1].GetId() || done[4].GetId() != a.user.GetId() {
			t.Errorf("rows %v", done)
		}
		a.checkImported(t, w, business, done)

		again := imported(t, w, business.Token, &identityv1.ImportUsersRequest{}, file)
		for i, row := range again { // safe to repeat
			if done[i].GetOutcome() == identityv1.ImportUsersResponse_Row_CREATED && (row.GetOutcome() != identityv1.ImportUsersResponse_Row_EXISTS || row.GetId() != done[i].GetId()) {
				t.Errorf("again: %v", row)
			}
			if row.GetOutcome() == identityv1.ImportUsersResponse_Row_CREATED {
				t.Errorf("again: %v", row)
			}
		}
	})
}

func (a *tenant) emails(t testing.TB, w *world) (all []string) {
	t.Helper()
	list := must[*identityv1.ListUsersResponse](t)(w.Users.ListUsers(w.As(a.Admin.Token), &identityv1.ListUsersRequest{PageSize: 1000}))
	for _, u := range list.GetUsers() {
		all = append(all, u.GetEmail())
	}
	return all
}

// checkImported looks at what an import left: people as CreateUser makes them,
// an event each with one operation id, badges that count.
func (a *tenant) checkImported(t *testing.T, w *world, by servicetest.Person, rows []*identityv1.ImportUsersResponse_Row) {
	t.Helper()
	operation, created := "", 0
	for _, row := range rows {
		if row.GetOutcome() != identityv1.ImportUsersResponse_Row_CREATED {
			continue
		}
		created++
		u := must[*identityv1.User](t)(w.Users.GetUser(w.As(a.Admin.Token), &identityv1.GetUserRequest{Id: row.GetId()}))
		if u.GetState() != identityv1.User_PENDING || u.GetCreatedBy() != by.GetId() || len(u.GetRoles())+len(u.GetPermissions()) == 0 {
			t.Errorf("imported %v", u)
		}
		list := must[*identityv1.ListEventsResponse](t)(w.Events.ListEvents(w.As(a.Admin.Token), &identityv1.ListEventsRequest{
			Filter: &identityv1.ListEventsRequest_Filter{TargetId: new(row.GetId())},
		}))
		if len(list.GetEvents()) != 1 || list.GetEvents()[0].GetType() != "user.created" || list.GetEvents()[0].GetActor().GetId() != by.GetId() {
			t.Fatalf("events %v", list.GetEvents())
		}
		id := list.GetEvents()[0].GetOperationId()
		if id == "" || (operation != "" && id != operation) {
			t.Errorf("operation %q after %q", id, operation)
		}
		operation = id
	}
	sum := must[*identityv1.ListUsersResponse](t)(w.Users.ListUsers(w.As(a.Admin.Token), &identityv1.ListUsersRequest{WithSummary: true})).GetSummary()
	if int(sum.GetPending()) != created {
		t.Errorf("summary %v after %d were added", sum, created)
	}
	var mails int
	if err := w.db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM outbox WHERE organization_id = '`+a.GetId()+`' AND kind = 'mail.activation'`).Scan(&mails); err != nil || mails != 0 {
		t.Errorf("%d mails nobody asked for, %v", mails, err)
	}
}

// Whoever may set confirmed imports people who are; send_activation mails the others.
func TestImport_ConfirmedAndMailed(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		req := &identityv1.ImportUsersRequest{OrganizationId: a.GetId(), SendActivation: true, Format: identityv1.UserFile_JSON_LINES}
		rows := imported(t, w, w.Root, req, `{"email":"ann@import.test","first_name":"Ann","last_name":"Ng","confirmed":true,"roles":["Monitoring User"]}
{"email":"bob@import.test","first_name":"Bob","last_name":"Ng","roles":["Monitoring User"],"permissions":["agents.read"]}
{"email":"carl@import.test","first_name":"Carl","last_name":"Ng","enabled":false,"roles":["Monitoring User"]}
{"email":"ann@import.test","first_name":"Ann","last_name":"Ng","confirmed":true,"roles":["Monitoring User"]}
`)
		if diff := cmp.Diff([]string{"1 CREATED", "2 CREATED", "3 CREATED", "4 EXISTS"}, statuses(rows)); diff != "" {
			t.Fatal(diff)
		}
		for i, want := range []identityv1.User_State{identityv1.User_ACTIVE, identityv1.User_PENDING, identityv1.User_DISABLED} {
			u := must[*identityv1.User](t)(w.Users.GetUser(w.As(a.Admin.Token), &identityv1.GetUserRequest{Id: rows[i].GetId()}))
			if u.GetState() != want {
				t.Errorf("row %d is %v", i+1, u.GetState())
			}
		}
		var mails int
		if err := w.db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM links WHERE organization_id = '`+a.GetId()+`'`).Scan(&mails); err != nil || mails != 2 { // Ann has to choose a password
			t.Errorf("%d links, %v", mails, err)
		}
		other := w.newTenant()
		taken := imported(t, w, w.Root, &identityv1.ImportUsersRequest{OrganizationId: other.GetId()},
			"email,first_name,last_name,confirmed,roles\nann@import.test,Ann,Ng,true,Monitoring User\nbob@import.test,Bob,Ng,true,Monitoring User\n")
		if diff := cmp.Diff([]string{"1 REFUSED EMAIL_TAKEN", "2 CREATED"}, statuses(taken)); diff != "" {
			t.Error(diff)
		}
	})
}

// Hashes of other systems are taken, none is run at import (PF-08), none is
// shown; they sign in and are upgraded with the first sign-in.
func TestImport_PF08_Hashes(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		bcrypt := "$2a$04$" + "N9qo8uLOickgx2ZMRZoMye"
		for _, row := range []struct{ name, hash, want string }{
			{"costly bcrypt", bcrypt[:4] + "31" + bcrypt[6:] + "IjZAgcfl7p92ldGxad68LJZdL17lhWy", "REFUSED INVALID_FIELDS password_hash: hash"},
			{"costly argon2id", "$argon2id$v=19$m=4194304,t=3,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "REFUSED INVALID_FIELDS password_hash: hash"},
			{"costly scrypt", "$scrypt$ln=30,r=8,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "REFUSED INVALID_FIELDS password_hash: hash"},
			{"costly pbkdf2", "$pbkdf2-sha256$999999999$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "REFUSED INVALID_FIELDS password_hash: hash"},
			{"MD5", "5f4dcc3b5aa765d61d8327deb882cf99", "REFUSED INVALID_FIELDS password_hash: hash"},
			{"plain", "Correct#Horse7battery", "REFUSED INVALID_FIELDS password_hash: hash"},
			{"bcrypt", bcrypt + "IjZAgcfl7p92ldGxad68LJZdL17lhWy", "CREATED"},
			{"argon2id", "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "CREATED"},
		} {
			t.Run(row.name, func(t *testing.T) {
				runs := w.Passwords.Runs()
				draft := w.Draft()
				rows := imported(t, w, a.Admin.Token, &identityv1.ImportUsersRequest{},
					"email,first_name,last_name,roles,password_hash\n"+draft.GetEmail()+",Ann,Ng,Monitoring User,\""+row.hash+"\"\n")
				if diff := cmp.Diff([]string{"1 " + row.want}, statuses(rows)); diff != "" {
					t.Error(diff)
				}
				if w.Passwords.Runs() != runs {
					t.Error("a hash was run")
				}
				if strings.Contains(rows[0].String(), row.hash) {
					t.Errorf("it is shown: %v", rows[0])
				}
			})
		}
	})
}

// hashesOfOthers are hashes of "Hello world!", made by other code than the one under test.
func hashesOfOthers(t *testing.T) map[string]string {
	t.Helper()
	blow := must[[]byte](t)(bcrypt.GenerateFromPassword([]byte("Hello world!"), 4))
	salt := []byte("0123456789abcdef")
	key := must[[]byte](t)(scrypt.Key([]byte("Hello world!"), salt, 1<<10, 8, 1, 32))
	return map[string]string{
		"bcrypt":    string(blow),
		"scrypt":    "$scrypt$ln=10,r=8,p=1$" + base64.RawStdEncoding.EncodeToString(salt) + "$" + base64.RawStdEncoding.EncodeToString(key),
		"sha-crypt": "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5",
	}
}

func TestImport_HashSignsIn(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		for kind, hash := range hashesOfOthers(t) {
			email := w.Draft().GetEmail()
			rows := imported(t, w, w.Root, &identityv1.ImportUsersRequest{OrganizationId: a.GetId()},
				"email,first_name,last_name,confirmed,roles,password_hash\n"+email+",Ann,Ng,true,Monitoring User,\""+hash+"\"\n")
			if rows[0].GetOutcome() != identityv1.ImportUsersResponse_Row_CREATED {
				t.Fatalf("%s: %v", kind, rows[0])
			}
			if w.SignIn(email, "Hello world!") == "" {
				t.Errorf("%s: no token", kind)
			}
			var kept string
			if err := w.db.QueryRowContext(t.Context(), `SELECT password_hash FROM users WHERE id = '`+rows[0].GetId()+`'`).Scan(&kept); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(kept, "$argon2id$") || kept == hash {
				t.Errorf("%s is not upgraded: %s", kind, kept)
			}
		}
	})
}

// A hash that a platform administrator imports is the user's own password; any
// other administrator may have made it, so it has to be replaced at the first
// sign-in, by one that meets the policy.
func TestImport_PW08_Initial(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		for _, row := range []struct {
			rule, token string
			initial     bool
		}{
			{"by the organization's administrator", a.Admin.Token, true},
			{"by a platform administrator", w.Root, false},
		} {
			for kind, hash := range hashesOfOthers(t) {
				email := w.Draft().GetEmail()
				imported(t, w, row.token, &identityv1.ImportUsersRequest{OrganizationId: a.GetId(), SendActivation: true},
					"email,first_name,last_name,roles,password_hash\n"+email+",Ann,Ng,Monitoring User,\""+hash+"\"\n")
				noError(t, w.activate(w.Link(email), ""))
				resp, err := w.Sessions.SignIn(t.Context(), &identityv1.SignInRequest{Email: email, Password: "Hello world!"})
				noError(t, err)
				if initial := resp.GetPasswordChange() != nil; initial != row.initial || initial == (resp.GetTokens() != nil) {
					t.Errorf("%s, %s: %v", row.rule, kind, resp)
				}
				if !row.initial {
					continue
				}
				if _, reason := changePassword(w.World, resp.GetPasswordChange().GetToken(), "Hello world!"); reason != "WEAK_PASSWORD" {
					t.Errorf("%s, %s: the same again is %q", row.rule, kind, reason)
				}
				if tokens, reason := changePassword(w.World, resp.GetPasswordChange().GetToken(), servicetest.RootPassword); reason != "" || usable(w.World, tokens.GetAccessToken()) != nil {
					t.Errorf("%s, %s: another is %q", row.rule, kind, reason)
				}
			}
		}
	})
}

// What cannot be read is refused with its place, and never as our fault.
func TestImport_IN03_Bounds(t *testing.T) {
	w := sqliteWorld(t)
	a := w.NewOrg()
	header := "email,first_name,last_name,roles\n"
	good := "ann@import.test,Ann,Ng,Monitoring User\n"
	for _, row := range []struct {
		name   string
		format identityv1.UserFile_Format
		file   string
		code   codes.Code
		rows   []string
	}{
		{"a line of 1 MiB", 1, header + good + strings.Repeat("x", 1<<20) + "\n", codes.InvalidArgument, []string{"1 CREATED"}},
		{"100,000 columns", 1, strings.Repeat("email,", 100_000) + "\n", codes.InvalidArgument, nil},
		{"an unknown column", 1, "email,colour\n", codes.InvalidArgument, nil},
		{"no header", 1, good, codes.InvalidArgument, nil},
		{"nothing", 1, "\n", codes.InvalidArgument, nil},
		{"NUL bytes", 1, header + "a\x00@import.test,\x00,Ng,Monitoring User\n", codes.OK, []string{"1 REFUSED INVALID_FIELDS email: string.nul, first_name: string.nul"}},
		{"no UTF-8", 1, header + "\xff@import.test,Ann,Ng,Monitoring User\n", codes.OK, []string{"1 REFUSED INVALID_FIELDS email: string.utf8"}},
		{
			"a line of 1 MiB in JSON", 2, `{"email":"` + strings.Repeat("x", 1<<20) + "\"}\n{}\n", codes.OK,
			[]string{"1 REFUSED INVALID_FIELDS row: too_long", "2 REFUSED INVALID_FIELDS email: required, first_name: required, last_name: required, roles: at_least_one"},
		},
		{"deep JSON", 2, `{"email":` + strings.Repeat("[", 60_000) + "\n", codes.OK, []string{"1 REFUSED INVALID_FIELDS row: json"}},
		{"100,000 roles", 2, `{"email":"r@import.test","first_name":"R","last_name":"R","roles":["x"` + strings.Repeat(`,"x"`, 15_000) + "]}\n", codes.OK, []string{"1 REFUSED INVALID_FIELDS roles: repeated.max_items"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			rows, _, err := importFile(w.As(a.Admin.Token), w.World, &identityv1.ImportUsersRequest{Format: row.format, ValidateOnly: true}, strings.NewReader(row.file))
			if diff := cmp.Diff(row.rows, statuses(rows)); diff != "" {
				t.Error(diff)
			}
			if row.code == codes.OK && err != nil {
				t.Error(err)
			}
			if row.code != codes.OK {
				servicetest.Refused(t, err, row.code, identityv1.Error_MALFORMED_REQUEST)
				if info := infos(err)[0].GetMetadata(); info["row"] == "" || info["cause"] == "" {
					t.Errorf("metadata %v", info)
				}
			}
		})
	}
}

// Of many at once, each address is created once.
func TestImport_Race(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		var admins []string
		for range 4 { // as many streams each as a caller may have
			admins = append(admins, w.NewPerson(a.GetId(), servicetest.SuperUser).Token)
		}
		file := "email,first_name,last_name,roles\n"
		for i := range 300 {
			file += fmt.Sprintf("race%d@import.test,Ann,Ng,Monitoring User\n", i)
		}
		type outcome struct {
			rows []*identityv1.ImportUsersResponse_Row
			err  error
		}
		outcomes := make(chan outcome)
		for i := range 16 {
			go func() {
				rows, _, err := importFile(w.As(admins[i%len(admins)]), w.World, &identityv1.ImportUsersRequest{}, strings.NewReader(file))
				outcomes <- outcome{rows, err}
			}()
		}
		created := map[string]int{}
		for range 16 {
			o := <-outcomes
			if o.err != nil {
				t.Error(o.err)
			}
			for _, row := range o.rows {
				if row.GetOutcome() == identityv1.ImportUsersResponse_Row_CREATED {
					created[row.GetEmail()]++
				} else if row.GetOutcome() != identityv1.ImportUsersResponse_Row_EXISTS {
					t.Errorf("%v", row)
				}
			}
		}
		if len(created) != 300 || slices.Max(slices.Collect(maps.Values(created))) != 1 {
			t.Errorf("%d created", len(created))
		}
	})
}
