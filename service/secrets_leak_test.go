package service_test

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store"
)

// aviary makes canaries, secrets that may come out nowhere, and collects what
// did come out.
type aviary struct {
	*servicetest.World
	t        *testing.T
	canaries []string
	codes    []string        // too short for canaries: by chance one may be in a number
	heard    strings.Builder // errors, as clients see them
}

// sing makes a canary that meets the password rules.
func (a *aviary) sing() string {
	c := fmt.Sprintf("Canary#%02dzebra9Kiln", len(a.canaries))
	a.canaries = append(a.canaries, c)
	return c
}

// keep adds a secret that the service made.
func (a *aviary) keep(secret string) string {
	a.canaries = append(a.canaries, secret)
	return secret
}

// hear notes an answer to a call.
func (a *aviary) hear(err error) error {
	if err != nil {
		fmt.Fprintln(&a.heard, err.Error(), prototext.Format(status.Convert(err).Proto()))
	}
	return err
}

// bytesCodec sends bytes that may be no message at all.
type bytesCodec struct{}

func (bytesCodec) Name() string                    { return "proto" }
func (bytesCodec) Marshal(v any) ([]byte, error)   { return v.([]byte), nil }
func (bytesCodec) Unmarshal(b []byte, v any) error { *v.(*[]byte) = b; return nil }

var _ encoding.Codec = bytesCodec{}

func (a *aviary) raw(ctx context.Context, method, body string) error {
	var answer []byte
	return a.hear(a.Conn.Invoke(ctx, method, []byte(body), &answer, grpc.ForceCodec(bytesCodec{})))
}

// people pushes canaries through the doors that take passwords.
func (a *aviary) people(org string) {
	root := a.As(a.Root)
	_, err := a.Sessions.SignIn(a.t.Context(), &identityv1.SignInRequest{Email: servicetest.RootEmail, Password: a.sing()})
	_ = a.hear(err)
	_, err = a.Sessions.SignIn(a.t.Context(), &identityv1.SignInRequest{Email: "nobody@people.test", Password: a.sing()})
	_ = a.hear(err)
	_, err = a.Sessions.SignIn(a.t.Context(), &identityv1.SignInRequest{Email: "", Password: a.sing()})
	_ = a.hear(err)
	_, err = a.Sessions.SignIn(a.t.Context(), &identityv1.SignInRequest{Email: "a@b.test", Password: a.sing() + strings.Repeat("x", 2000)})
	_ = a.hear(err)
	u, password := a.Draft(), a.sing()
	u.Password = &password
	made, err := a.Users.CreateUser(root, &identityv1.CreateUserRequest{OrganizationId: org, User: u, RequestId: "create-1"})
	noError(a.t, a.hear(err))
	_, err = a.Users.CreateUser(root, &identityv1.CreateUserRequest{OrganizationId: org, User: u, RequestId: "create-1"})
	noError(a.t, a.hear(err))
	tokens := a.Begin(made.GetEmail(), password, a.sing())
	for _, secret := range []string{tokens.GetAccessToken(), tokens.GetRefreshToken()} {
		a.keep(secret)
	}
	_, err = a.Users.CreateUser(root, &identityv1.CreateUserRequest{OrganizationId: org, User: &identityv1.User{
		Email: made.Email, FirstName: ptr("A"), LastName: ptr("B"), RoleIds: made.GetRoleIds(), Password: ptr(a.sing()), // taken
	}})
	_ = a.hear(err)
	for _, weak := range []string{strings.ToLower(a.keep("canaryweakpassword")), a.keep("CanaryLongPassword#7") + strings.Repeat("x", 1500)} {
		u := a.Draft()
		u.Password = &weak
		_, err = a.Users.CreateUser(root, &identityv1.CreateUserRequest{OrganizationId: org, User: u})
		_ = a.hear(err)
		_ = a.hear(patch(root, a.World, org, &identityv1.User{Id: made.GetId(), Password: &weak}, "password"))
	}
	noError(a.t, a.hear(patch(root, a.World, org, &identityv1.User{Id: made.GetId(), Password: ptr(a.sing())}, "password")))
	_, err = a.Users.UpdateUser(root, &identityv1.UpdateUserRequest{ // secret as a path of the mask
		OrganizationId: org, User: &identityv1.User{Id: made.GetId(), Password: ptr(a.sing())},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"password", "password_hash"}},
	})
	_ = a.hear(err)
	for _, confirmed := range []bool{true, false} {
		u := a.Draft()
		u.Password, u.Confirmed, u.RoleIds = ptr(a.sing()), &confirmed, nil
		if !confirmed {
			u.Password = ptr(strings.ToLower(a.keep("canary weak founder")))
		}
		_, err = a.Orgs.CreateOrganization(root, &identityv1.CreateOrganizationRequest{
			Organization: &identityv1.Organization{DisplayName: ptr("Canaria")}, Administrator: u,
		})
		_ = a.hear(err)
	}
	for _, text := range []string{a.sing(), tokens.GetRefreshToken() + "x", "bmr_" + a.sing()} {
		_, err = a.Sessions.Refresh(a.t.Context(), &identityv1.RefreshRequest{RefreshToken: text})
		_ = a.hear(err)
	}
}

// machines pushes canaries through the doors that take tokens and secrets.
func (a *aviary) machines(org string) {
	root := a.As(a.Root)
	m := a.NewMachine(a.Root, org, servicetest.Agent)
	a.keep(m.Secret)
	a.keep(a.Token(m, ""))
	issue := func(id, secret string) {
		_, err := a.Accounts.IssueToken(a.t.Context(), &identityv1.IssueTokenRequest{ClientId: id, ClientSecret: secret})
		_ = a.hear(err)
	}
	issue(m.GetId(), a.sing())
	issue(m.GetId(), m.Secret[:len(m.Secret)-1]+"!")
	issue(a.sing(), m.Secret) // id and secret the wrong way round
	issue(m.Secret, m.GetId())
	issue("00000000-0000-7000-8000-000000000099", m.Secret)
	issue("", a.sing())
	for _, text := range []string{a.sing(), a.Root + "x", a.sing() + "." + a.sing() + "." + a.sing()} {
		_, err := a.Accounts.IntrospectToken(root, &identityv1.IntrospectTokenRequest{Token: text})
		_ = a.hear(err)
	}
	for _, header := range []string{"Bearer " + a.sing(), "Basic " + a.sing(), a.sing(), "bearer " + a.Root + a.sing()} {
		_, err := a.Users.GetMe(metadata.AppendToOutgoingContext(a.t.Context(), "authorization", header), &identityv1.GetMeRequest{})
		_ = a.hear(err)
	}
	twice := metadata.AppendToOutgoingContext(root, "authorization", "Bearer "+a.sing())
	_, err := a.Users.GetMe(twice, &identityv1.GetMeRequest{})
	_ = a.hear(err)
	elsewhere := metadata.AppendToOutgoingContext(root, "cookie", "session="+a.sing(), "x-api-key", a.sing(), "proxy-authorization", "Basic "+a.sing())
	_, err = a.Users.GetMe(elsewhere, &identityv1.GetMeRequest{})
	noError(a.t, a.hear(err))
	_, err = a.Users.ListUsers(root, &identityv1.ListUsersRequest{PageToken: a.sing()})
	_ = a.hear(err)
	_, err = a.Events.ListEvents(root, &identityv1.ListEventsRequest{PageToken: strings.Repeat(a.sing(), 200)})
	_ = a.hear(err)
}

// phones pushes canaries through the doors that take numbers, codes and proofs.
// A number is a canary in every form: with its plus, without, and as people write it.
func (a *aviary) phones(w *world, org string) {
	root, number := a.As(a.Root), newNumber()
	spaced := number[:3] + " " + number[3:5] + " " + number[5:]
	a.keep(number[1:])
	a.keep(spaced)
	for range 3 {
		v := w.verify(a.Root, org, "", newNumber())
		a.codes = append(a.codes, v.code)
		_, err := w.confirm(a.Root, v, v.code)
		noError(a.t, a.hear(err))
	}
	v := w.verify(a.Root, org, "", number)
	_, err := a.Users.StartPhoneVerification(root, &identityv1.StartPhoneVerificationRequest{OrganizationId: org, Phone: spaced, RequestId: "spaced"})
	noError(a.t, a.hear(err))
	for _, code := range []string{otherCode(v.code, 1), number[6:], v.code + "0", a.sing()} {
		_, err := w.confirm(a.Root, v, code)
		_ = a.hear(err)
	}
	proof, err := w.confirm(a.Root, v, v.code)
	noError(a.t, a.hear(err))
	a.keep(proof.GetPhoneProof())
	a.keep(proof.GetPhoneProof()[37:])
	for _, phone := range []string{number, number[1:], "tel:" + number, number + number, number + " " + a.sing()} {
		_, err = a.Users.CreateUser(root, w.withPhone(phone, ""))
		_ = a.hear(err)
		_, err = a.Users.StartPhoneVerification(root, &identityv1.StartPhoneVerificationRequest{OrganizationId: org, Phone: phone, UserId: randomID()})
		_ = a.hear(err)
		_, err = a.Users.ListUsers(root, &identityv1.ListUsersRequest{PageToken: phone})
		_ = a.hear(err)
	}
	req := w.withPhone(number, a.sing())
	_, err = a.Users.CreateUser(root, req)
	_ = a.hear(err)
	req = w.withPhone(spaced, proof.GetPhoneProof())
	req.OrganizationId, req.RequestId = org, "with a phone"
	for range 2 { // the second time out of memory
		u, err := a.Users.CreateUser(root, req)
		noError(a.t, a.hear(err))
		_ = a.hear(patch(root, a.World, org, &identityv1.User{Id: u.GetId(), Phone: &number}, "phone"))
		_ = a.hear(patch(root, a.World, org, &identityv1.User{Id: u.GetId(), PhoneProof: ptr(proof.GetPhoneProof())}, "phone_proof"))
	}
}

// bodies pushes canaries in what is no message, or not one of this method.
func (a *aviary) bodies() {
	const signIn = identityv1.SessionService_SignIn_FullMethodName
	root := a.As(a.Root)
	_ = a.raw(root, signIn, a.sing())
	_ = a.raw(root, signIn, "\x12\x7f"+a.sing())            // shorter than it says
	_ = a.raw(root, signIn, "\x12\x15"+a.sing()+"\xff\xfe") // no UTF-8
	_ = a.raw(root, signIn, "\xff\xff\xff\xff"+a.sing())
	_ = a.raw(root, identityv1.UserService_CreateUser_FullMethodName, "\x12\x7f"+a.sing())
	_ = a.raw(root, "/bizmetry.identity.v1.UserService/"+a.sing(), "")
	_ = a.raw(root, "/"+a.sing()+"/GetMe", a.sing())
	_ = a.raw(root, signIn, "\x12\x14"+a.sing()+"\x00") // NUL
}

// passwords pushes canaries through the doors that make, check and replace passwords.
func (a *aviary) passwords(org string) {
	root := a.As(a.Root)
	made, err := a.Users.GeneratePassword(root, &identityv1.GeneratePasswordRequest{OrganizationId: org})
	noError(a.t, a.hear(err))
	u := a.Draft()
	u.Password = ptr(a.keep(made.GetPassword()))
	_, err = a.Users.CreateUser(root, &identityv1.CreateUserRequest{OrganizationId: org, User: u})
	noError(a.t, a.hear(err))
	_, err = a.Users.CheckPassword(root, &identityv1.CheckPasswordRequest{Password: a.sing()})
	noError(a.t, a.hear(err))
	_, err = a.Users.CheckPassword(root, &identityv1.CheckPasswordRequest{Password: a.keep("CanaryLongCheck#7") + strings.Repeat("x", 5000)})
	_ = a.hear(err)
	due, err := a.Sessions.SignIn(a.t.Context(), &identityv1.SignInRequest{Email: u.GetEmail(), Password: made.GetPassword()})
	noError(a.t, a.hear(err))
	token := a.keep(due.GetPasswordChange().GetToken())
	for _, password := range []string{"weak" + strings.ToLower(a.sing()), made.GetPassword(), a.sing(), a.sing()} { // unmet, unchanged, done, spent
		_, err = a.Sessions.ChangePassword(a.t.Context(), &identityv1.ChangePasswordRequest{Token: token, NewPassword: password})
		_ = a.hear(err)
	}
	_, err = a.Sessions.ChangePassword(a.t.Context(), &identityv1.ChangePasswordRequest{Token: "bmp_" + a.sing(), NewPassword: a.sing()})
	_ = a.hear(err)
}

// panics makes the service panic in the middle of calls that carry canaries.
func (a *aviary) panics(random *tripwire, org string) {
	root := a.As(a.Root)
	for within, call := range map[string]func() error{
		"(*Sessions).newSession": func() error {
			_, err := a.Sessions.SignIn(a.t.Context(), &identityv1.SignInRequest{Email: servicetest.RootEmail, Password: servicetest.RootPassword})
			return err
		},
		"(*Users).NewUser": func() error {
			u := a.Draft()
			u.Password = ptr(a.sing())
			_, err := a.Users.CreateUser(root, &identityv1.CreateUserRequest{OrganizationId: org, User: u})
			return err
		},
		"(*Accounts).CreateServiceAccount": func() error {
			_, err := a.Accounts.CreateServiceAccount(root, &identityv1.CreateServiceAccountRequest{
				OrganizationId: org, ServiceAccount: &identityv1.ServiceAccount{DisplayName: ptr("Panic"), RoleIds: []string{servicetest.Agent}},
			})
			return err
		},
	} {
		random.set(within, func() { panic(a.sing()) })
		if err := a.hear(call()); servicetest.Reason(err) != "INTERNAL" || !random.done() {
			a.t.Errorf("a panic answers %v", err)
		}
	}
}

// Thirty secrets and more through every door, at the debug level: none of
// them is in a log, an error, an event, the activity, the metrics, or a row.
func TestSecrets_LG02_Canaries(t *testing.T) {
	eachURL(t, func(t *testing.T, url string) {
		book, registry, random := &logBook{}, prometheus.NewRegistry(), &tripwire{from: randomRead}
		w := servicetest.New(t, url, func(c *service.Config) { c.Log, c.Metrics, c.Rand = book.logger(), registry, random })
		a := &aviary{World: w, t: t, canaries: []string{servicetest.RootPassword, w.Root}}
		org := w.NewOrg().GetId()
		a.people(org)
		a.passwords(org)
		a.machines(org)
		a.phones(&world{World: w, url: url, db: secondConnection(t, url)}, org)
		a.bodies()
		a.panics(random, org)
		w.Service.Flush(t.Context()) // writes what waits
		outputs := map[string]string{
			"log": book.String(), "answers": a.heard.String(), "metrics": gathered(t, registry),
			"rows": dump(t, url, secondConnection(t, url)),
		}
		for name, want := range map[string]string{
			"log": "panic of type string", "answers": "TOKEN_INVALID", "metrics": "identity_calls_total", "rows": "client_credentials",
		} {
			if !strings.Contains(outputs[name], want) {
				t.Errorf("the %s have no %q: nothing was searched", name, want)
			}
		}
		if len(a.canaries) < 30 {
			t.Errorf("%d canaries", len(a.canaries))
		}
		for name, text := range outputs {
			if !slices.ContainsFunc(a.codes, func(code string) bool { return !regexp.MustCompile(`\b` + code + `\b`).MatchString(text) }) {
				t.Errorf("all codes are in the %s", name)
			}
		}
		for _, canary := range a.canaries {
			for name, text := range outputs {
				if at := strings.Index(strings.ToLower(text), strings.ToLower(canary)); at >= 0 {
					t.Errorf("%s came out in the %s: …%s…", canary, name, text[max(0, at-200):min(len(text), at+100)])
				}
			}
		}
	})
}

func gathered(t *testing.T, registry *prometheus.Registry) string {
	t.Helper()
	families, err := registry.Gather()
	noError(t, err)
	var text strings.Builder
	for _, f := range families {
		text.WriteString(f.String())
	}
	return text.String()
}

// dump is the text of all rows of all tables.
func dump(t testing.TB, url string, db *sql.DB) string {
	t.Helper()
	tables := `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'`
	if store.Embedded(url) {
		tables = `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'`
	}
	var text strings.Builder
	for _, table := range column(t, db, tables) {
		if !regexp.MustCompile(`^[a-z_]+$`).MatchString(table) {
			t.Fatalf("table %q", table)
		}
		for _, row := range column(t, db, `SELECT * FROM `+table) {
			fmt.Fprintln(&text, table, row)
		}
	}
	return text.String()
}

// column is the text of every row that a query gives.
func column(t testing.TB, db *sql.DB, query string) (texts []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	noError(t, err)
	defer rows.Close()
	names, err := rows.Columns()
	noError(t, err)
	for rows.Next() {
		values, into := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		noError(t, rows.Scan(into...))
		text := ""
		for _, v := range values {
			if b, ok := v.([]byte); ok {
				v = string(b)
			}
			text = strings.TrimSpace(fmt.Sprint(text, " ", v))
		}
		texts = append(texts, text)
	}
	noError(t, rows.Err())
	return texts
}
