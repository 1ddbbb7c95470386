package service_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// tainted are texts that mean something to SQL, LIKE, JSON or a careless parser.
var tainted = []string{
	`'`, `''`, `"`, `"; DROP TABLE users; --`, `'; DROP TABLE users; --`, `' OR '1'='1`, `' OR 1=1 --`, `') OR ('1'='1`, `1; SELECT 1`,
	`' UNION SELECT password_hash FROM users --`, `%`, `_`, `%%%`, `___`, `\`, `\\`, `\%`, `\'`, `%\`, `$1`, `?`, `:id`, `:organization_id`, `::text`,
	`{"$gt":""}`, `data->>'x'`, `(email_key, id) > ('', '')`, `/* */`, `--`, `;`, "a\nb", "a\tb", `é`, `ＡＢＣ`, `'`, `ʼ`, `﹪`, `🙂`, "\u202e", "\ufeff", `ß`, `ı`, `İ`,
	`${jndi:ldap://x}`, `../../etc/passwd`, `NULL`, `null`, `0x27`, `%27`, `&#39;`, strings.Repeat("'", 180), strings.Repeat("%", 180), strings.Repeat(`\`, 180),
}

// TestTaintedTexts_IN01 puts some of them into every text field of every method:
// each is refused as what it is, or taken as a text that means nothing.
func TestTaintedTexts_IN01(t *testing.T) {
	some := []string{`'; DROP TABLE users; --`, `' OR '1'='1`, `%`, `\`, `?`, `:id`, `$1`, `ß"🙂`, strings.Repeat("'", 180)}
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		for _, d := range rpcs() {
			r := requestOf(t, rpcName(d))
			as, valid := w.As(r.as(w, a)), r.make(w, a)
			for _, p := range texts(d.Input()) {
				for _, text := range some {
					_, err := call(as, w.Conn, d, with(valid, p, 0, text))
					switch code := status.Code(err); code {
					case codes.OK, codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.Aborted, codes.Unauthenticated:
					case codes.FailedPrecondition, codes.ResourceExhausted: // ten credentials; too many wrong passwords
					default:
						t.Errorf("%s with %s = %q: %v", rpcName(d), p, text, err)
					}
				}
			}
		}
		list, err := w.Users.ListUsers(w.As(a.Admin.Token), &identityv1.ListUsersRequest{})
		if err != nil || len(list.GetUsers()) == 0 {
			t.Errorf("afterwards: %v, %v", list, err)
		}
	})
}

// TestSignInTexts_IN01: no address signs in but the right one.
func TestSignInTexts_IN01(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		u := w.NewPerson("", servicetest.MonitoringUser)
		servicetest.Together(len(tainted), func(i int) {
			text := tainted[i]
			for _, email := range []string{text, text + u.GetEmail(), u.GetEmail() + text, strings.Replace(u.GetEmail(), "@", text+"@", 1)} {
				if strings.TrimSpace(email) == u.GetEmail() || len(email) > 250 {
					continue
				}
				_, err := w.Sessions.SignIn(t.Context(), &identityv1.SignInRequest{Email: email, Password: u.Password})
				if code := status.Code(err); code != codes.Unauthenticated && code != codes.ResourceExhausted {
					t.Errorf("%q: %v", email, err)
				}
			}
		})
	})
}

// TestOrder_IN01: an order that is not in the list is refused by name.
func TestOrder_IN01(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		for _, order := range append(slices.Clone(tainted),
			"email;--", "email --", "email asc", "email DESC", "Email", " email", "email ", "email,id", "email desc, id", "email  desc", "email_key",
			"password_hash", "id", "1", "1 desc", "(SELECT 1)", "CASE WHEN 1=1 THEN email END", "email COLLATE NOCASE", "email desc desc", "random()",
		) {
			_, err := w.Users.ListUsers(w.As(w.Root), &identityv1.ListUsersRequest{OrderBy: order})
			refusedField(t, err, "order_by")
			_, err = w.Accounts.ListServiceAccounts(w.As(w.Root), &identityv1.ListServiceAccountsRequest{OrderBy: order})
			refusedField(t, err, "order_by")
		}
	})
}

// TestLike_IN01: what means something in a pattern is only itself in a filter.
func TestLike_IN01(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		in := w.As(a.Admin.Token)
		named := map[string]string{} // id by name
		for _, name := range []string{
			`100% sure`, `100x sure`, `a_b_c d`, `axbxc d`, `back\slash`, `backslash`, `it's quoted`, `plain agent`, `per%cent_and\all`, `Straße`, `GROẞ`, `% alone`, `_ alone`, `\ alone`,
		} {
			m := must[*identityv1.ServiceAccount](t)(w.Accounts.CreateServiceAccount(in, &identityv1.CreateServiceAccountRequest{
				ServiceAccount: &identityv1.ServiceAccount{DisplayName: &name},
			}))
			named[m.GetId()] = name
		}
		for _, row := range []struct {
			filter string
			want   []string
		}{
			{`100%`, []string{`100% sure`}},
			{`0% s`, []string{`100% sure`}},
			{`a_b`, []string{`a_b_c d`}},
			{`_b_`, []string{`a_b_c d`}},
			{`back\`, []string{`back\slash`}},
			{`k\s`, []string{`back\slash`}},
			{`it's`, []string{`it's quoted`}},
			{`%cent_and\`, []string{`per%cent_and\all`}},
			{`%%%`, nil},
			{`___`, nil},
			{`\\\`, nil},
			{`%`, []string{`% alone`}}, // shorter than three: the beginning of a word
			{`_`, []string{`_ alone`}},
			{`\`, []string{`\ alone`}},
			{`%a`, nil},
			{`STRASSE`, []string{`Straße`}},
			{`groß`, []string{`GROẞ`}},
			{`su`, []string{`100% sure`, `100x sure`}},
			{`ure`, []string{`100% sure`, `100x sure`}},
			{`ur`, nil},
		} {
			t.Run(row.filter, func(t *testing.T) {
				list := must[*identityv1.ListServiceAccountsResponse](t)(w.Accounts.ListServiceAccounts(in, &identityv1.ListServiceAccountsRequest{
					Filter: &identityv1.ListServiceAccountsRequest_Filter{Name: new(row.filter)},
				}))
				var got []string
				for _, m := range list.GetServiceAccounts() {
					got = append(got, named[m.GetId()])
				}
				slices.Sort(got)
				slices.Sort(row.want)
				if !slices.Equal(got, row.want) || int(list.GetTotalSize()) != len(got) {
					t.Errorf("got %q, total %d, want %q", got, list.GetTotalSize(), row.want)
				}
			})
		}
		for i, local := range []string{"a_b", "axb", "c%d", "cxd", "plain"} {
			must[*identityv1.User](t)(w.Users.CreateUser(in, &identityv1.CreateUserRequest{User: w.pending(fmt.Sprintf("%s%d@like.test", local, i))}))
		}
		for filter, want := range map[string]int32{
			"a_b": 1, "_b0": 1, "c%d": 1, "%d2": 1, "a_": 1, "c%": 1, "_": 0, "%": 0, "%@like.test": 0, "_____@like.test": 0, "like.test": 5, "LIKE.test": 5, "li": 0, "ax": 1,
		} {
			t.Run("e-mail "+filter, func(t *testing.T) {
				list := must[*identityv1.ListUsersResponse](t)(w.Users.ListUsers(in, &identityv1.ListUsersRequest{Filter: &identityv1.ListUsersRequest_Filter{Email: new(filter)}}))
				if list.GetTotalSize() != want || len(list.GetUsers()) != int(want) {
					t.Errorf("%d users, total %d, want %d", len(list.GetUsers()), list.GetTotalSize(), want)
				}
			})
		}
	})
}

// TestNoAddress_IN01: what is no address is refused with words, nobody's address has
// an answer with all its parts.
func TestNoAddress_IN01(t *testing.T) {
	w := servicetest.SQLite(t)
	for _, filter := range []string{"no address", "%", "'", "a b@people.test", "not-an-address"} {
		_, err := w.Users.ListUsers(w.As(w.Root), &identityv1.ListUsersRequest{Filter: &identityv1.ListUsersRequest_Filter{EmailExact: &filter}})
		refusedField(t, err, "filter.email_exact")
		if !strings.Contains(answerText(t, err), "%2B") {
			t.Errorf("%q: it does not say how to write a plus: %v", filter, err)
		}
	}
	_, err := w.Users.ListUsers(w.As(w.Root), &identityv1.ListUsersRequest{Filter: &identityv1.ListUsersRequest_Filter{Email: new("a b@")}})
	refusedField(t, err, "filter.email")
	nobody := &identityv1.ListUsersRequest_Filter{EmailExact: new("nobody@people.test")}
	list, err := w.Users.ListUsers(w.As(w.Root), &identityv1.ListUsersRequest{Filter: nobody, WithSummary: true})
	if err != nil || list.GetTotalSize() != 0 || list.GetSummary() == nil {
		t.Errorf("got %v, %v", list, err)
	}
	_, err = w.Users.ListUsers(w.As(w.Root), &identityv1.ListUsersRequest{Filter: nobody, PageToken: "garbage"})
	servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_PAGE_TOKEN_INVALID)
}

// TestStoredTexts_IN01: whatever may be stored comes back as it was.
func TestStoredTexts_IN01(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		for i, text := range tainted {
			want := &identityv1.ServiceAccount{
				DisplayName: ptr(fmt.Sprintf("%d %s.", i, strings.Map(printable, text))), Description: ptr(text), ParentType: ptr("agent"),
				ParentId: ptr(fmt.Sprintf("%d%s", i, strings.Map(printable, text))), ParentName: ptr(fmt.Sprintf("%d %s.", i, strings.Map(printable, text))),
			}
			made := must[*identityv1.ServiceAccount](t)(w.Accounts.CreateServiceAccount(w.As(w.Root), &identityv1.CreateServiceAccountRequest{ServiceAccount: want}))
			got := must[*identityv1.ServiceAccount](t)(w.Accounts.GetServiceAccount(w.As(w.Root), &identityv1.GetServiceAccountRequest{Id: made.GetId()}))
			if !proto.Equal(made, got) || got.GetDisplayName() != want.GetDisplayName() || got.GetDescription() != text ||
				got.GetParentId() != want.GetParentId() || got.GetParentName() != want.GetParentName() {
				t.Errorf("%q came back as %v", text, got)
			}
		}
	})
}

// printable drops what names may not hold.
func printable(r rune) rune {
	if r < ' ' || unicode.Is(unicode.Cf, r) {
		return -1
	}
	return r
}
