package service_test

import (
	"crypto/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/organization"
	"github.com/bizmetry/identity/service/password"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store/storetest"
)

// rene is a person of the organization Acme, with a password.
func rene(w *servicetest.World, password string) *identityv1.User {
	u := w.Draft()
	u.FirstName, u.LastName, u.Password = ptr("René"), ptr("Dupont"), &password
	u.Email = ptr("rene." + u.GetEmail())
	return u
}

// Every door that sets a password holds it against the policy with the
// person's names and the organization's, tells the unmet rules, and hashes
// nothing that it refuses.
func TestPasswords_PW01_PW02_PW03_PW04_PW05_PF02_Everywhere(t *testing.T) {
	standard, nist := identityv1.Organization_STANDARD, identityv1.Organization_NIST
	rows := []struct {
		rule, password string
		policy         identityv1.Organization_PasswordPolicy
		unmet          string
	}{
		{"PW-01 seven", "Ax1#tqz", standard, "too_short"},
		{"PW-01 eight emoji count as eight", "A1#😀😀😀😀😀", standard, ""},
		{"PW-01 fourteen", "xkvbtqzwyjrmnd", nist, "too_short"},
		{"PW-01 fifteen", "xkvbtqzwyjrmndf", nist, ""},
		{"PW-02 64", strings.Repeat("Ax1#tqzw", 8), standard, ""},
		{"PW-02 256", strings.Repeat("Ax1#tqzw", 32), nist, ""},
		{"PW-02 257", strings.Repeat("Ax1#tqzw", 32) + "x", standard, "too_long"},
		{"PW-03 a phrase", "correct horse battery staple", nist, ""},
		{"PW-03 a phrase has three unmet rules", "correct horse battery staple", standard, "no_upper,no_digit,no_special"},
		{"PW-03 no listed special", "Ax1~~~~~", standard, "no_special"},
		{"PW-03 every other character too", "Åx1! ~€漢", standard, ""},
		{"PW-04 on the list", "Password1!", standard, "common"},
		{"PW-04 with digits", "Qwerty123!", standard, "common"},
		{"PW-04 twice", "passwordpassword", nist, "common"},
		{"PW-04 a phrase that contains one", "my password is a long story 7", nist, ""},
		{"PW-05 organization and name", "Acme-rene-2026!", standard, "context"},
		{"PW-05 last name", "Dupont#2026", standard, "common,context"},
		{"PW-05 product", "BizMetry#2026", standard, "context"},
		{"PW-05 a phrase that contains one", "rene paints old blue tractors", nist, ""},
	}
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		orgs := map[identityv1.Organization_PasswordPolicy]string{standard: acme(w, standard), nist: acme(w, nist)}
		for door, set := range passwordDoors {
			t.Run(door, func(t *testing.T) {
				for _, row := range rows {
					ran, err := set(w, orgs[row.policy], row.policy, row.password)
					if unmet := unmetOf(err); unmet != row.unmet {
						t.Errorf("%s: unmet %q, want %q (%v)", row.rule, unmet, row.unmet, err)
					}
					if row.unmet == "" {
						if err != nil {
							t.Errorf("%s: %v", row.rule, err)
						}
						continue
					}
					servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_WEAK_PASSWORD)
					if n := w.Passwords.Runs() - ran; n != 0 {
						t.Errorf("%s: %d hashes", row.rule, n)
					}
				}
			})
		}
	})
}

// acme makes an organization of that name.
func acme(w *servicetest.World, policy identityv1.Organization_PasswordPolicy) string {
	w.T.Helper()
	resp, err := w.Orgs.CreateOrganization(w.As(w.Root), &identityv1.CreateOrganizationRequest{
		Organization: &identityv1.Organization{DisplayName: ptr("Acme"), PasswordPolicy: policy}, Administrator: w.Draft(),
	})
	noError(w.T, err)
	return resp.GetOrganization().GetId()
}

// passwordDoors set a password of René Dupont of Acme. They answer how many
// hashes had run when the password came.
var passwordDoors = map[string]func(w *servicetest.World, org string, policy identityv1.Organization_PasswordPolicy, password string) (uint64, error){
	"CreateUser": func(w *servicetest.World, org string, _ identityv1.Organization_PasswordPolicy, password string) (uint64, error) {
		ran := w.Passwords.Runs()
		_, err := w.Users.CreateUser(w.As(w.Root), &identityv1.CreateUserRequest{OrganizationId: org, User: rene(w, password)})
		return ran, err
	},
	"UpdateUser": func(w *servicetest.World, org string, _ identityv1.Organization_PasswordPolicy, password string) (uint64, error) {
		u, named := w.CreateUser(org), rene(w, password) // who gets the names in the same call
		ran := w.Passwords.Runs()
		return ran, patch(w.As(w.Root), w, org, &identityv1.User{
			Id: u.GetId(), Email: named.Email, FirstName: named.FirstName, LastName: named.LastName, Password: &password,
		}, "password", "email", "first_name", "last_name")
	},
	"CreateOrganization": func(w *servicetest.World, _ string, policy identityv1.Organization_PasswordPolicy, password string) (uint64, error) {
		ran := w.Passwords.Runs()
		_, err := w.Orgs.CreateOrganization(w.As(w.Root), &identityv1.CreateOrganizationRequest{
			Organization: &identityv1.Organization{DisplayName: ptr("Acme"), PasswordPolicy: policy}, Administrator: rene(w, password),
		})
		return ran, err
	},
	"ChangePassword": func(w *servicetest.World, org string, _ identityv1.Organization_PasswordPolicy, password string) (uint64, error) {
		u, err := w.Users.CreateUser(w.As(w.Root), &identityv1.CreateUserRequest{OrganizationId: org, User: rene(w, servicetest.InitialPassword)})
		noError(w.T, err)
		token := dueChange(w.T, w, u.GetEmail())
		ran := w.Passwords.Runs()
		_, err = w.Sessions.ChangePassword(w.T.Context(), &identityv1.ChangePasswordRequest{Token: token, NewPassword: password})
		return ran, err
	},
	"ActivateUser": func(w *servicetest.World, org string, _ identityv1.Organization_PasswordPolicy, password string) (uint64, error) {
		u := rene(w, "")
		u.Password, u.Confirmed = nil, nil
		u, err := w.Users.CreateUser(w.As(w.Root), &identityv1.CreateUserRequest{OrganizationId: org, User: u})
		noError(w.T, err)
		token := w.Link(u.GetEmail())
		ran := w.Passwords.Runs()
		_, err = w.Users.ActivateUser(w.T.Context(), &identityv1.ActivateUserRequest{Token: token, Password: password})
		return ran, err
	},
	"CheckPassword": func(w *servicetest.World, org string, _ identityv1.Organization_PasswordPolicy, text string) (uint64, error) {
		ran := w.Passwords.Runs()
		u := rene(w, text)
		got, err := w.Users.CheckPassword(w.As(w.Root), &identityv1.CheckPasswordRequest{
			OrganizationId: org, Password: text, Email: u.GetEmail(), FirstName: u.GetFirstName(), LastName: u.GetLastName(),
		})
		if err != nil || w.Passwords.Runs() != ran || got.GetAcceptable() != (len(got.GetUnmet()) == 0) {
			w.T.Errorf("%q: %v, %v", text, got, err)
		}
		if weak := password.Weak(got.GetUnmet()); weak != nil {
			return ran, answer.Of(weak).Err()
		}
		return ran, nil
	},
}

// A message or a field that is too large does not come as far as a hash.
func TestPasswords_PW02_PF02_Megabyte(t *testing.T) {
	w := servicetest.SQLite(t)
	ran := w.Passwords.Runs()
	for _, size := range []int{1025, 4097, 1 << 19, 1 << 20} {
		long := strings.Repeat("Ax1#", size/4+1)
		u := w.Draft()
		u.Password = &long
		_, created := w.Users.CreateUser(w.As(w.Root), &identityv1.CreateUserRequest{User: u})
		_, signedIn := w.Sessions.SignIn(t.Context(), &identityv1.SignInRequest{Email: servicetest.RootEmail, Password: long})
		for rule, err := range map[string]error{"CreateUser": created, "SignIn": signedIn} {
			if reason := servicetest.Reason(err); reason != "INVALID_FIELDS" && reason != "TOO_LARGE" {
				t.Errorf("%s with %d bytes: %v", rule, len(long), err)
			}
		}
	}
	if w.Passwords.Runs() != ran {
		t.Errorf("%d hashes", w.Passwords.Runs()-ran)
	}
}

// A password counts in full as it was sent; only the two Unicode forms of a
// letter are one.
func TestPasswords_PW06_Verified(t *testing.T) {
	same := strings.Repeat("Ax1#tqzw", 9) // 72 bytes
	rows := []struct {
		rule, set, try string
		ok             bool
	}{
		{"as it is", "Ax1#tqzwy", "Ax1#tqzwy", true},
		{"another character at 73", same + "1", same + "2", false},
		{"cut at 72", same + "1", same, false},
		{"all of a long one", same + "1", same + "1", true},
		{"a space before is missing", " Ax1#tqzwy", "Ax1#tqzwy", false},
		{"a space after is missing", "Ax1#tqzwy ", "Ax1#tqzwy", false},
		{"a space too many", "Ax1#tqzwy", "Ax1#tqzwy ", false},
		{"spaces around", " Ax1#tqzwy ", " Ax1#tqzwy ", true},
		{"another case", "Ax1#tqzwy", "AX1#TQZWY", false},
		{"decomposed", "Ax1#tqz\u00e9", "Ax1#tqze\u0301", true},
		{"composed", "Ax1#tqze\u0301", "Ax1#tqz\u00e9", true},
		{"without the accent", "Ax1#tqz\u00e9", "Ax1#tqze", false},
		{"full-width letters", "Ax1#tqzwy", "\uff21x1#tqzwy", false},
	}
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		for _, row := range rows {
			u := w.CreateUser("")
			_, reason := changePassword(w, dueChange(t, w, u.GetEmail()), row.set)
			if reason != "" {
				t.Fatalf("%s: %s", row.rule, reason)
			}
			if reason := attempt(t, w, u.GetEmail(), row.try); (reason == "") != row.ok {
				t.Errorf("%s: %q", row.rule, reason)
			}
		}
		for _, text := range []string{"Ax1#tqzwy\x00", "Ax1#\x00tqzwy"} { // neither cut nor kept
			u := w.Draft()
			u.Password = &text
			_, err := w.Users.CreateUser(w.As(w.Root), &identityv1.CreateUserRequest{User: u})
			servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_INVALID_FIELDS)
		}
	})
}

// Passwords are kept as slow salted hashes, strong secrets as fast digests.
func TestSecrets_PW23_Kept(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		for _, password := range []string{servicetest.InitialPassword, "Correct#Horse8battery"} {
			u := w.CreateUser("")
			if password != servicetest.InitialPassword {
				w.Begin(u.GetEmail(), servicetest.InitialPassword, password)
			}
			if hash := hashOf(t, w, u); !strings.HasPrefix(hash, "$argon2id$v=19$m=64,t=1,p=1$") {
				t.Errorf("a password is kept as %q", hash)
			}
		}
		org := w.NewOrg().GetId()
		m := w.NewMachine(w.Root, org)
		standing, err := w.Store.MachineStanding(t.Context(), org, m.GetId(), m.Credential)
		if err != nil || len(standing.ProofDigest) != 32 {
			t.Errorf("a secret of 256 bits is kept as %x, %v", standing.ProofDigest, err)
		}
	})
}

func TestCheckPassword(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		admin := w.NewOrg().Admin
		check := func(password string) *identityv1.CheckPasswordResponse {
			t.Helper()
			got, err := w.Users.CheckPassword(w.As(admin.Token), &identityv1.CheckPasswordRequest{Password: password, FirstName: "Grace"})
			noError(t, err)
			return got
		}
		for _, row := range []struct {
			rule, password string
			least, most    int32
			advice         string
		}{
			{"common", "Password1!", 0, 0, "among the first"},
			{"figures for letters", "P@ssw0rd", 0, 0, "among the first"},
			{"a name", "Grace#1", 0, 1, "Leave out your name"},
			{"keys in a row", "qwertyuiop", 0, 1, "upper-case"},
			{"repeated", strings.Repeat("a", 1024), 0, 1, "at most 256"},
			{"words", "correct horse battery staple", 4, 4, "Add a digit"},
			{"random", "q7#Vt!zR9_mKw2$x", 4, 4, ""},
		} {
			got := check(row.password)
			if got.GetScore() < row.least || got.GetScore() > row.most {
				t.Errorf("%s: score %d", row.rule, got.GetScore())
			}
			if !strings.Contains(strings.Join(got.GetAdvice(), "\n"), row.advice) || slices.Contains(got.GetAdvice(), "") {
				t.Errorf("%s: advice %q", row.rule, got.GetAdvice())
			}
		}
		if got := check("q7#Vt!zR9_mKw2$x"); !got.GetAcceptable() || got.GetAdvice() != nil {
			t.Errorf("nothing to say of a good one: %v", got)
		}
		limited := ""
		for range 300 {
			_, err := w.Users.CheckPassword(w.As(admin.Token), &identityv1.CheckPasswordRequest{Password: "x"})
			limited = servicetest.Reason(err)
		}
		if limited != "RATE_LIMITED" {
			t.Errorf("a caller who never stops: %q", limited)
		}
		if _, err := w.Users.CheckPassword(w.As(w.Root), &identityv1.CheckPasswordRequest{Password: "x"}); err != nil {
			t.Errorf("another caller: %v", err)
		}
	})
}

func TestGeneratePassword(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		seen := map[string]bool{}
		for _, policy := range []identityv1.Organization_PasswordPolicy{identityv1.Organization_STANDARD, identityv1.Organization_NIST} {
			org := acme(w, policy)
			for range 20 {
				got, err := w.Users.GeneratePassword(w.As(w.Root), &identityv1.GeneratePasswordRequest{OrganizationId: org})
				noError(t, err)
				_, err = w.Users.CreateUser(w.As(w.Root), &identityv1.CreateUserRequest{OrganizationId: org, User: rene(w, got.GetPassword())})
				if err != nil || seen[got.GetPassword()] {
					t.Errorf("%q: %v", got.GetPassword(), err)
				}
				seen[got.GetPassword()] = true
			}
		}
	})
}

// The founder's password is held against the policy, with the founder's names.
func TestBootstrap_PW05_Password(t *testing.T) {
	for password, ok := range map[string]bool{
		"Password1!": false, "Acme-rene-2026!": false, "Aa1#": false, "Correct#Horse7battery": true, "": true,
	} {
		w := servicetest.SQLite(t) // its ring and hasher are borrowed
		given, done, err := organization.Bootstrap(t.Context(), organization.Founding{
			Store: storetest.Open(t, storetest.SQLite(t)), Ring: w.Ring, Passwords: w.Passwords, Now: time.Now, Rand: rand.Reader,
		}, organization.Founder{Email: "rene@acme.test", Password: password, FirstName: "René", LastName: "Dupont", Organization: "Acme"})
		if done != ok || (err == nil) != ok {
			t.Errorf("%q: %t, %v", password, done, err)
		}
		if err != nil && password != "" && strings.Contains(err.Error(), password) {
			t.Errorf("the error repeats the password: %v", err)
		}
		if password == "" && len(given) != 20 {
			t.Errorf("generated %q", given)
		}
	}
}
