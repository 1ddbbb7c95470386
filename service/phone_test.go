package service_test

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/service/servicetest"
)

var numbersMade atomic.Int64

// newNumber is a mobile number that nobody has yet.
func newNumber() string { return fmt.Sprintf("+4179%07d", numbersMade.Add(1)) }

// otherCode is a code of six digits that is not this one.
func otherCode(code string, n int) string {
	digits := []byte(code)
	digits[n%6] = '0' + (digits[n%6]-'0'+byte(1+n/6))%10
	return string(digits)
}

var smsText = regexp.MustCompile(`^Your BizMetry code is (\d{6})\. It is valid for two minutes\.\s*$`)

// code waits for the next message to a number and returns the code in it.
func (w *world) code(number string) string {
	w.T.Helper()
	text := w.Letter(number, "code").Text
	found := smsText.FindStringSubmatch(text)
	if found == nil {
		w.T.Fatalf("the message is %q", text)
	}
	return found[1]
}

// sms counts the messages with codes so far.
func (w *world) sms() (n int) {
	w.T.Helper()
	noError(w.T, w.db.QueryRowContext(w.T.Context(), `SELECT COUNT(*) FROM outbox WHERE kind = 'sms.code'`).Scan(&n))
	return n
}

// verification is one that was started, with what only its owner knows.
type verification struct {
	*identityv1.PhoneVerification
	org, number, code string
}

// verify starts a verification as the holder of a token.
func (w *world) verify(token, org, user, number string) verification {
	w.T.Helper()
	v, err := w.Users.StartPhoneVerification(w.As(token), &identityv1.StartPhoneVerificationRequest{OrganizationId: org, UserId: user, Phone: number})
	noError(w.T, err)
	return verification{v, org, number, w.code(number)}
}

func (w *world) confirm(token string, v verification, code string) (*identityv1.ConfirmPhoneVerificationResponse, error) {
	return w.Users.ConfirmPhoneVerification(w.As(token), &identityv1.ConfirmPhoneVerificationRequest{OrganizationId: v.org, Id: v.GetId(), Code: code})
}

// prove gets a proof of a number.
func (w *world) prove(token, org, user, number string) string {
	w.T.Helper()
	v := w.verify(token, org, user, number)
	proof, err := w.confirm(token, v, v.code)
	noError(w.T, err)
	return proof.GetPhoneProof()
}

// withPhone is a new user with a number and its proof, either of which may be empty.
func (w *world) withPhone(number, proof string) *identityv1.CreateUserRequest {
	u := w.Draft()
	u.Confirmed = nil
	if number != "" {
		u.Phone = &number
	}
	if proof != "" {
		u.PhoneProof = &proof
	}
	return &identityv1.CreateUserRequest{User: u}
}

// phoneOf is the number in the row of a user.
func (w *world) phoneOf(org, user string) (number string, err error) {
	w.T.Helper()
	var sealed []byte
	noError(w.T, w.db.QueryRowContext(w.T.Context(), fmt.Sprintf(`SELECT phone_sealed FROM users WHERE id = '%s'`, user)).Scan(&sealed))
	if sealed == nil {
		return "", nil
	}
	text, err := w.Ring.Open("users.phone", sealed, org, user)
	return string(text), err
}

// A number counts only once its code was confirmed: each step that is left
// out is FAILED_PRECONDITION, and leaves nothing behind.
func TestPhone_AC09_CountsAfterConfirmation(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, number := w.newTenant(), newNumber()
		as := w.As(a.Admin.Token)
		people := func() int32 {
			return must[*identityv1.ListUsersResponse](t)(w.Users.ListUsers(as, &identityv1.ListUsersRequest{})).GetTotalSize()
		}
		before := people()
		refused := func(rule string, req *identityv1.CreateUserRequest) {
			t.Helper()
			_, err := w.Users.CreateUser(as, req)
			if status.Code(err) != codes.FailedPrecondition || servicetest.Reason(err) != identityv1.Error_PHONE_NOT_VERIFIED.String() {
				t.Errorf("%s: %v", rule, err)
			}
		}
		refused("no verification", w.withPhone(number, ""))
		refused("garbage for a proof", w.withPhone(number, "garbage"))
		v := w.verify(a.Admin.Token, "", "", number)
		if v.GetPhone() != "+41•••••••"+number[10:] || !v.GetExpireTime().AsTime().Equal(w.Clock.Now().Add(2*time.Minute)) ||
			!v.GetResendTime().AsTime().Equal(w.Clock.Now().Add(30*time.Second)) {
			t.Errorf("verification %v", v)
		}
		refused("a code that is not confirmed", w.withPhone(number, ""))
		refused("the id in place of the proof", w.withPhone(number, v.GetId()))
		refused("the code in place of the proof", w.withPhone(number, v.code))
		proof := must[*identityv1.ConfirmPhoneVerificationResponse](t)(w.confirm(a.Admin.Token, v, v.code))
		if !proof.GetExpireTime().AsTime().Equal(w.Clock.Now().Add(10 * time.Minute)) {
			t.Errorf("proof %v", proof)
		}
		refused("the number without its proof", w.withPhone(number, ""))
		if people() != before {
			t.Error("a refused user is there")
		}
		made := must[*identityv1.User](t)(w.Users.CreateUser(as, w.withPhone(number, proof.GetPhoneProof())))
		got := must[*identityv1.User](t)(w.Users.GetUser(as, &identityv1.GetUserRequest{Id: made.GetId()}))
		for _, u := range []*identityv1.User{made, got} {
			if u.GetPhone() != v.GetPhone() || !u.GetPhoneVerified() || u.PhoneProof != nil {
				t.Errorf("user %v", u)
			}
		}
		if kept, err := w.phoneOf(a.GetId(), made.GetId()); kept != number || err != nil {
			t.Errorf("%q is kept, %v", kept, err)
		}
	})
}

// What an update does to a number.
func TestPhone_Update(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, first, second := w.newTenant(), newNumber(), newNumber()
		u := must[*identityv1.User](t)(w.Users.CreateUser(w.As(a.Admin.Token), w.withPhone("", w.prove(a.Admin.Token, "", "", first))))
		proof := w.prove(a.Admin.Token, "", u.GetId(), second)
		another := w.prove(a.Admin.Token, "", u.GetId(), newNumber())
		present := u.GetPhone()
		for _, r := range []struct {
			rule          string
			phone, proof  *string
			paths         []string
			want, changed string // reason, and the number after it
		}{
			{"the masked number, sent back, is no change", &present, nil, []string{"phone"}, "", ""},
			{"nor is it with an empty proof", &present, ptr(""), []string{"phone", "phone_proof"}, "", ""},
			{"the whole present number wants a proof", &first, nil, []string{"phone"}, "PHONE_NOT_VERIFIED", ""},
			{"another number wants a proof", &second, nil, []string{"phone"}, "PHONE_NOT_VERIFIED", ""},
			{"a proof that the mask does not name is none", &second, &proof, []string{"phone"}, "PHONE_NOT_VERIFIED", ""},
			{"no number at all", ptr("call me"), nil, []string{"phone"}, "INVALID_FIELDS", ""},
			{"somebody else's mask", ptr("+41•••••••99"), nil, []string{"phone"}, "INVALID_FIELDS", ""},
			{"a proof of another number", &second, &another, []string{"phone", "phone_proof"}, "PHONE_NOT_VERIFIED", ""},
			{"nothing named, nothing done", &second, &proof, []string{"first_name"}, "INVALID_FIELDS", ""}, // the name is empty
			{"a proof with the masked present number", &present, &proof, []string{"phone", "phone_proof"}, "", second},
			{"a proof alone", nil, &another, []string{"phone_proof"}, "", "another"},
			{"empty removes it", ptr(""), nil, []string{"phone"}, "", "none"},
			{"and again is no change", ptr(""), nil, []string{"phone"}, "", ""},
		} {
			before := must[*identityv1.User](t)(w.Users.GetUser(w.As(a.Admin.Token), &identityv1.GetUserRequest{Id: u.GetId()}))
			after, err := w.Users.UpdateUser(w.As(a.Admin.Token), &identityv1.UpdateUserRequest{
				User: &identityv1.User{Id: u.GetId(), Phone: r.phone, PhoneProof: r.proof}, UpdateMask: &fieldmaskpb.FieldMask{Paths: r.paths},
			})
			if servicetest.Reason(err) != r.want {
				t.Errorf("%s: %v, want %q", r.rule, err, r.want)
				continue
			}
			if err != nil || r.changed == "" {
				now := must[*identityv1.User](t)(w.Users.GetUser(w.As(a.Admin.Token), &identityv1.GetUserRequest{Id: u.GetId()}))
				if marshal(now) != marshal(before) {
					t.Errorf("%s: %v, was %v", r.rule, now, before)
				}
				continue
			}
			if kept, err := w.phoneOf(a.GetId(), u.GetId()); err != nil || after.GetPhoneVerified() != (kept != "") || after.GetEtag() == before.GetEtag() {
				t.Errorf("%s: %v, %q, %v", r.rule, after, kept, err)
			}
			if e := a.lastEvent(t, w); e.GetType() != "user.updated" || e.GetTargetId() != u.GetId() || e.GetData()["fields"] != "phone" || len(e.GetData()) != 1 {
				t.Errorf("%s: event %v", r.rule, e)
			}
		}
		if kept, err := w.phoneOf(a.GetId(), u.GetId()); kept != "" || err != nil {
			t.Errorf("%q is kept, %v", kept, err)
		}
	})
}

// A proof is bound to caller, organization, number and user, ends after ten
// minutes, and is taken once; one that a failed save named is as good as before.
func TestPhone_ProofIsBound(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, b := w.newTenant(), w.newTenant()
		colleague := w.NewPerson(a.GetId(), servicetest.SuperUser)
		number := newNumber()
		proof := func(token, org, user string) string { return w.prove(token, org, user, newNumber()) }
		used := proof(a.Admin.Token, "", "")
		must[*identityv1.User](t)(w.Users.CreateUser(w.As(a.Admin.Token), w.withPhone("", used)))
		old := proof(a.Admin.Token, "", "")
		w.Clock.Add(10 * time.Minute)
		fresh := w.prove(a.Admin.Token, "", "", number)
		forUser := proof(a.Admin.Token, "", a.user.GetId())
		create := func(token, org, number, proof string) error {
			req := w.withPhone(number, proof)
			req.OrganizationId = org
			_, err := w.Users.CreateUser(w.As(token), req)
			return err
		}
		update := func(token, user, proof string) error {
			return patch(w.As(token), w.World, "", &identityv1.User{Id: user, PhoneProof: &proof, CurrentPassword: &a.Admin.Password}, "phone_proof")
		}
		for rule, err := range map[string]error{
			"used":                                create(a.Admin.Token, "", "", used),
			"ten minutes old":                     create(a.Admin.Token, "", "", old),
			"of another number":                   create(a.Admin.Token, "", newNumber(), fresh),
			"of another caller":                   create(colleague.Token, "", number, fresh),
			"of another organization's caller":    create(b.Admin.Token, "", number, fresh),
			"of the platform, in an organization": create(w.Root, a.GetId(), "", proof(w.Root, "", "")),
			"of an organization, in another one":  create(w.Root, b.GetId(), "", proof(w.Root, a.GetId(), "")),
			"for a user, on a new one":            create(a.Admin.Token, "", "", forUser),
			"for a new user, on one":              update(a.Admin.Token, a.user.GetId(), fresh),
			"for a user, on another one":          update(a.Admin.Token, a.Admin.GetId(), forUser),
			"with a changed bit":                  create(a.Admin.Token, "", number, fresh[:len(fresh)-2]+otherCode("000000", 0)[:1]+fresh[len(fresh)-1:]),
			"of another id":                       create(a.Admin.Token, "", number, randomID()+fresh[36:]),
			"without its MAC":                     create(a.Admin.Token, "", number, fresh[:37]),
		} {
			if status.Code(err) != codes.FailedPrecondition || servicetest.Reason(err) != identityv1.Error_PHONE_NOT_VERIFIED.String() {
				t.Errorf("a proof %s: %v", rule, err)
			}
		}
		req := w.withPhone(number, fresh)
		req.User.Email = a.user.Email
		_, err := w.Users.CreateUser(w.As(a.Admin.Token), req)
		servicetest.Refused(t, err, codes.AlreadyExists, identityv1.Error_EMAIL_TAKEN)
		if err := create(a.Admin.Token, "", number, fresh); err != nil {
			t.Errorf("after all that, the proof is spent: %v", err)
		}
		if err := update(a.Admin.Token, a.user.GetId(), forUser); err != nil {
			t.Errorf("and that for a user: %v", err)
		}
		first := w.Draft()
		first.RoleIds, first.PhoneProof = nil, ptr(proof(w.Root, "", ""))
		_, err = w.Orgs.CreateOrganization(w.As(w.Root), &identityv1.CreateOrganizationRequest{
			Organization: &identityv1.Organization{DisplayName: ptr("New")}, Administrator: first,
		})
		servicetest.Refused(t, err, codes.FailedPrecondition, identityv1.Error_PHONE_NOT_VERIFIED) // no proof can be of it yet
	})
}

// Who may prove numbers, for whom.
func TestPhone_Refusals(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, b := w.newTenant(), w.newTenant()
		writer := holder(t, w.World, a.GetId(), "platform.users.write")
		machine := w.Token(w.NewMachine(a.Admin.Token, "", servicetest.SuperUser), "")
		gone := w.CreateUser(a.GetId())
		must[*identityv1.User](t)(w.Users.DeleteUser(w.As(a.Admin.Token), &identityv1.DeleteUserRequest{Id: gone.GetId()}))
		operator := holder(t, w.World, "", "system.organizations.act")
		start := func(token, org, user, phone string) error {
			_, err := w.Users.StartPhoneVerification(w.As(token), &identityv1.StartPhoneVerificationRequest{OrganizationId: org, UserId: user, Phone: phone})
			return err
		}
		for _, r := range []struct {
			rule, token, org, user, phone string
			reason                        string
		}{
			{"an administrator, for a new user", a.Admin.Token, "", "", newNumber(), ""},
			{"an administrator, for a user", a.Admin.Token, "", a.user.GetId(), newNumber(), ""},
			{"a person, for themselves", a.user.Token, "", a.user.GetId(), newNumber(), ""},
			{"the platform, in an organization", w.Root, a.GetId(), a.user.GetId(), newNumber(), ""},
			{"a person without the permission, for a new user", a.user.Token, "", "", newNumber(), "PERMISSION_DENIED"},
			{"a person without the permission, for another", a.user.Token, "", a.Admin.GetId(), newNumber(), "PERMISSION_DENIED"},
			{"a person without the permission, for nobody", a.user.Token, "", randomID(), newNumber(), "PERMISSION_DENIED"},
			{"a machine that holds everything", machine, "", "", newNumber(), "PERMISSION_DENIED"},
			{"a machine for itself", machine, a.GetId(), a.machine.GetId(), newNumber(), "PERMISSION_DENIED"},
			{"who may only act", operator.Token, a.GetId(), "", newNumber(), "PERMISSION_DENIED"},
			{"for a user who holds more", writer.Token, "", a.Admin.GetId(), newNumber(), "GRANT_EXCEEDS_OWN"},
			{"in another organization", a.Admin.Token, b.GetId(), "", newNumber(), "NOT_FOUND"},
			{"for a user of another organization", a.Admin.Token, "", b.user.GetId(), newNumber(), "NOT_FOUND"},
			{"for a user who is not there", a.Admin.Token, "", randomID(), newNumber(), "NOT_FOUND"},
			{"for a user who was deleted", a.Admin.Token, "", gone.GetId(), newNumber(), "NOT_FOUND"},
			{"for a machine", a.Admin.Token, "", a.machine.GetId(), newNumber(), "NOT_FOUND"},
			{"oneself, in another organization", w.Root, a.GetId(), must[*identityv1.GetMeResponse](t)(w.Users.GetMe(w.As(w.Root), &identityv1.GetMeRequest{})).GetUser().GetId(), newNumber(), "NOT_FOUND"},
			{"no number", a.Admin.Token, "", "", "", "INVALID_FIELDS"},
			{"no mobile number", a.Admin.Token, "", "", "+41 44 668 18 00", "INVALID_FIELDS"},
			{"without country code", a.Admin.Token, "", "", "079 123 45 67", "INVALID_FIELDS"},
			{"oversized", a.Admin.Token, "", "", "+41791234567" + strings.Repeat(" ", 100), "INVALID_FIELDS"},
			{"no id", a.Admin.Token, "", "me", newNumber(), "INVALID_FIELDS"},
			{"a token that is over", a.Admin.Token + "x", "", "", newNumber(), "TOKEN_INVALID"},
		} {
			queued := w.sms()
			err := start(r.token, r.org, r.user, r.phone)
			if servicetest.Reason(err) != r.reason {
				t.Errorf("%s: %v, want %q", r.rule, err, r.reason)
			}
			if sent := w.sms() - queued; (err == nil) != (sent == 1) {
				t.Errorf("%s: %d sent", r.rule, sent)
			}
			if r.reason == "INVALID_FIELDS" && r.user == "" && !slices.Equal(badFields(err), []string{"phone"}) {
				t.Errorf("%s: fields %v", r.rule, badFields(err))
			}
		}
		// A verification is its caller's alone.
		v := w.verify(a.Admin.Token, "", a.user.GetId(), newNumber())
		w.Clock.Add(31 * time.Second)
		colleague := w.NewPerson(a.GetId(), servicetest.SuperUser)
		for _, r := range []struct{ rule, token, org, id, reason string }{
			{"another administrator", colleague.Token, "", v.GetId(), "NOT_FOUND"},
			{"the user whose number it is to become", a.user.Token, "", v.GetId(), "NOT_FOUND"},
			{"one of another organization", b.Admin.Token, "", v.GetId(), "NOT_FOUND"},
			{"one of another organization, who names it", b.Admin.Token, a.GetId(), v.GetId(), "NOT_FOUND"},
			{"the platform", w.Root, a.GetId(), v.GetId(), "NOT_FOUND"},
			{"a machine", machine, "", v.GetId(), "PERMISSION_DENIED"},
			{"one that is not there", a.Admin.Token, "", randomID(), "NOT_FOUND"},
			{"no id", a.Admin.Token, "", "verification", "INVALID_FIELDS"},
			{"a token that is over", a.Admin.Token + "x", "", v.GetId(), "TOKEN_INVALID"},
		} {
			_, resent := w.Users.ResendPhoneCode(w.As(r.token), &identityv1.ResendPhoneCodeRequest{OrganizationId: r.org, Id: r.id})
			_, confirmed := w.Users.ConfirmPhoneVerification(w.As(r.token), &identityv1.ConfirmPhoneVerificationRequest{OrganizationId: r.org, Id: r.id, Code: v.code})
			if servicetest.Reason(resent) != r.reason || servicetest.Reason(confirmed) != r.reason {
				t.Errorf("%s: resend %v, confirm %v, want %s", r.rule, resent, confirmed, r.reason)
			}
		}
		// A caller who lost the permission goes no further.
		theirs := w.verify(writer.Token, "", "", newNumber())
		must[*identityv1.Grants](t)(w.Roles.RevokeRoles(w.As(a.Admin.Token), &identityv1.RevokeRolesRequest{Id: writer.GetId(), PermissionKeys: []string{"platform.users.write"}}))
		_, err := w.confirm(writer.Token, theirs, theirs.code)
		if err == nil {
			t.Error("who lost the permission got a proof")
		}
	})
}

// CR-04: a number whose sealed text was touched does no harm but to itself.
func TestPhone_CR04_FlippedBit(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, number := w.newTenant(), newNumber()
		as := w.As(a.Admin.Token)
		u := must[*identityv1.User](t)(w.Users.CreateUser(as, w.withPhone(number, w.prove(a.Admin.Token, "", "", number))))
		flip := func(table, id string) { w.flip(table, "phone_sealed", id) }
		flip("users", u.GetId())
		if number, err := w.phoneOf(a.GetId(), u.GetId()); number != "" || !errors.Is(err, secret.ErrSealed) {
			t.Errorf("%q, %v", number, err)
		}
		if got := must[*identityv1.User](t)(w.Users.GetUser(as, &identityv1.GetUserRequest{Id: u.GetId()})); got.GetPhone() != u.GetPhone() {
			t.Errorf("user %v", got)
		}
		must[*identityv1.ListUsersResponse](t)(w.Users.ListUsers(as, &identityv1.ListUsersRequest{WithSummary: true}))
		noError(t, patch(as, w.World, "", &identityv1.User{Id: u.GetId(), FirstName: ptr("Other"), Phone: u.Phone}, "first_name", "phone"))
		proof := w.prove(a.Admin.Token, "", u.GetId(), number)
		noError(t, patch(as, w.World, "", &identityv1.User{Id: u.GetId(), PhoneProof: &proof}, "phone_proof"))
		if kept, err := w.phoneOf(a.GetId(), u.GetId()); kept != number || err != nil {
			t.Errorf("%q is kept, %v", kept, err)
		}
		// Moved to another user, it does not open there.
		w.sql(fmt.Sprintf(`UPDATE users SET phone_sealed = (SELECT phone_sealed FROM users WHERE id = '%s') WHERE id = '%s'`, u.GetId(), a.user.GetId()))
		if number, err := w.phoneOf(a.GetId(), a.user.GetId()); number != "" || !errors.Is(err, secret.ErrSealed) {
			t.Errorf("moved: %q, %v", number, err)
		}
		// In a verification.
		v := w.verify(a.Admin.Token, "", "", newNumber())
		confirmed := must[*identityv1.ConfirmPhoneVerificationResponse](t)(w.confirm(a.Admin.Token, v, v.code))
		flip("phone_verifications", v.GetId())
		_, err := w.Users.CreateUser(as, w.withPhone("", confirmed.GetPhoneProof()))
		servicetest.Refused(t, err, codes.FailedPrecondition, identityv1.Error_PHONE_NOT_VERIFIED)
		v = w.verify(a.Admin.Token, "", "", newNumber())
		flip("phone_verifications", v.GetId())
		w.Clock.Add(30 * time.Second)
		_, err = w.Users.ResendPhoneCode(as, &identityv1.ResendPhoneCodeRequest{Id: v.GetId()})
		servicetest.Refused(t, err, codes.FailedPrecondition, identityv1.Error_VERIFICATION_OVER)
	})
}
