package service_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store"
)

// attemptsLeft is what a refused code says is left.
func attemptsLeft(err error) string {
	for _, info := range infos(err) {
		return info.GetMetadata()["attempts_left"]
	}
	return ""
}

// PW-20: five tries, whatever the codes; new verifications do not give the
// caller more of them.
func TestPhoneCode_PW20_Tries(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		v := w.verify(a.Admin.Token, "", "", newNumber())
		for n := range 5 {
			_, err := w.confirm(a.Admin.Token, v, otherCode(v.code, n))
			servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_CODE_INVALID)
			if left := attemptsLeft(err); left != fmt.Sprint(4-n) {
				t.Errorf("after %d wrong codes: %s left", n+1, left)
			}
		}
		for rule, code := range map[string]string{"the sixth wrong code": otherCode(v.code, 5), "then the right one": v.code} {
			if _, err := w.confirm(a.Admin.Token, v, code); servicetest.Reason(err) != "VERIFICATION_OVER" {
				t.Errorf("%s: %v", rule, err)
			}
		}
		w.Clock.Add(30 * time.Second)
		_, err := w.Users.ResendPhoneCode(w.As(a.Admin.Token), &identityv1.ResendPhoneCodeRequest{Id: v.GetId()})
		servicetest.Refused(t, err, codes.FailedPrecondition, identityv1.Error_VERIFICATION_OVER)
		v = w.verify(a.Admin.Token, "", "", newNumber())
		for n := range 4 {
			_, err := w.confirm(a.Admin.Token, v, otherCode(v.code, n))
			servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_CODE_INVALID)
		}
		if _, err := w.confirm(a.Admin.Token, v, v.code); err != nil {
			t.Errorf("the fifth code, right: %v", err)
		}
		said := map[string]int{} // 11 of the hour's 60 are gone, those that were over not counted
		for range 11 {
			v := w.verify(a.Admin.Token, "", "", newNumber())
			for n := range 5 {
				_, err := w.confirm(a.Admin.Token, v, otherCode(v.code, n))
				said[servicetest.Reason(err)]++
			}
		}
		if said["CODE_INVALID"] != 50 || said["RATE_LIMITED"] != 5 {
			t.Errorf("new verifications were told %v", said)
		}
		v = w.verify(a.Admin.Token, "", "", newNumber())
		_, err = w.confirm(a.Admin.Token, v, v.code)
		servicetest.Refused(t, err, codes.ResourceExhausted, identityv1.Error_RATE_LIMITED)
	})
}

// PW-21: the fourth message to a number in ten minutes is refused, whoever
// asks for it, and so is what a caller or an organization asks for too often.
func TestPhoneSend_PW21_Budgets(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, b := w.newTenant(), w.newTenant()
		caller := w.NewPerson(a.GetId(), servicetest.SuperUser)
		start := func(token, number string) error {
			_, err := w.Users.StartPhoneVerification(w.As(token), &identityv1.StartPhoneVerificationRequest{Phone: number})
			return err
		}
		limited := func(rule string, err error, wait time.Duration) {
			t.Helper()
			if status.Code(err) != codes.ResourceExhausted || servicetest.Reason(err) != "RATE_LIMITED" || retryAfter(err) != wait {
				t.Errorf("%s: %v, wait %v, want %v", rule, err, retryAfter(err), wait)
			}
		}
		number, before := newNumber(), w.sms()
		began := w.verify(a.Admin.Token, "", "", number)
		w.Clock.Add(30 * time.Second)
		must[*identityv1.PhoneVerification](t)(w.Users.ResendPhoneCode(w.As(a.Admin.Token), &identityv1.ResendPhoneCodeRequest{Id: began.GetId()}))
		w.Clock.Add(30 * time.Second)
		noError(t, start(b.Admin.Token, number))
		limited("the fourth to a number", start(a.Admin.Token, number), 9*time.Minute)
		limited("by another organization", start(b.Admin.Token, number[:3]+" "+number[3:]), 9*time.Minute)
		_, err := w.Users.ResendPhoneCode(w.As(a.Admin.Token), &identityv1.ResendPhoneCodeRequest{Id: began.GetId()})
		limited("by sending again", err, 9*time.Minute)
		if sent := w.sms() - before; sent != 3 {
			t.Errorf("%d were sent", sent)
		}
		for range 2 { // three and three more make nine of the day's ten
			w.Clock.Add(10 * time.Minute)
			a.Admin.Token = w.SignIn(a.Admin.GetEmail(), a.Admin.Password)
			for range 3 {
				noError(t, start(a.Admin.Token, number))
			}
		}
		w.Clock.Add(10 * time.Minute)
		a.Admin.Token = w.SignIn(a.Admin.GetEmail(), a.Admin.Password)
		noError(t, start(a.Admin.Token, number))
		limited("the eleventh to a number in a day", start(a.Admin.Token, number), 23*time.Hour+29*time.Minute)
		caller.Token = w.SignIn(caller.GetEmail(), caller.Password)
		for range 30 {
			noError(t, start(caller.Token, newNumber()))
		}
		fresh := newNumber()
		before = w.sms()
		limited("the 31st of a caller in an hour", start(caller.Token, fresh), time.Hour)
		if w.sms() != before {
			t.Error("it was sent")
		}
		for range 3 { // what is refused takes nothing of the number's own budget
			noError(t, start(a.Admin.Token, fresh))
		}
		mac := w.Ring.MAC("budget", "sms of organization", a.GetId())
		w.sql(fmt.Sprintf(`UPDATE budgets SET used = 300 WHERE key = '%s'`, hex.EncodeToString(mac[:])))
		if err := start(a.Admin.Token, newNumber()); servicetest.Reason(err) != "RATE_LIMITED" {
			t.Errorf("the 301st of an organization in an hour: %v", err)
		}
		noError(t, start(w.SignIn(b.Admin.GetEmail(), b.Admin.Password), newNumber()))
	})
}

// PW-22: a code is good for the verification it was sent for, and no other.
func TestPhoneCode_PW22_Bound(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, number := w.newTenant(), newNumber()
		first := w.verify(a.Admin.Token, "", "", number)
		w.Clock.Add(time.Second)
		others := map[string]verification{
			"of the same number":  w.verify(a.Admin.Token, "", "", number),
			"for a user":          w.verify(a.Admin.Token, "", a.user.GetId(), newNumber()),
			"of another number":   w.verify(a.Admin.Token, "", "", newNumber()),
			"by another one":      w.verify(w.Root, a.GetId(), "", newNumber()),
			"of another customer": w.verify(w.Root, "", "", newNumber()),
		}
		for rule, other := range others {
			token := a.Admin.Token
			if strings.Contains(rule, "another one") || strings.Contains(rule, "customer") {
				token = w.Root
			}
			if other.code == first.code { // one in a million
				continue
			}
			_, err := w.confirm(token, other, first.code)
			servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_CODE_INVALID)
			if attemptsLeft(err) != "4" {
				t.Errorf("the code for a verification %s is not counted: %v", rule, err)
			}
			if _, err := w.confirm(token, other, other.code); err != nil {
				t.Errorf("its own code then: %v", err)
			}
		}
		if _, err := w.confirm(a.Admin.Token, first, first.code); err != nil {
			t.Errorf("the first: %v", err)
		}
		_, err := w.confirm(a.Admin.Token, first, first.code)
		servicetest.Refused(t, err, codes.FailedPrecondition, identityv1.Error_VERIFICATION_OVER)
	})
}

// RG-10: however a code is written, it is one code and one try.
func TestPhoneCode_RG10_Spellings(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		wide := strings.NewReplacer("0", "０", "1", "１", "2", "２", "3", "３", "4", "４", "5", "５", "6", "６", "7", "７", "8", "８", "9", "９")
		spellings := map[string]func(code string) string{
			"as it is":          func(c string) string { return c },
			"spaces around":     func(c string) string { return "  " + c + " " },
			"in two halves":     func(c string) string { return c[:3] + " " + c[3:] },
			"with a hyphen":     func(c string) string { return c[:3] + "-" + c[3:] },
			"full-width digits": wide.Replace,
			"invisible marks":   func(c string) string { return "\u200b" + c },
		}
		v := w.verify(a.Admin.Token, "", "", newNumber())
		left := 5
		for _, rule := range slices.Sorted(maps.Keys(spellings))[:5] {
			_, err := w.confirm(a.Admin.Token, v, spellings[rule](otherCode(v.code, 1)))
			left--
			if servicetest.Reason(err) != "CODE_INVALID" || attemptsLeft(err) != fmt.Sprint(left) {
				t.Errorf("wrong, %s: %v", rule, err)
			}
		}
		for rule, spell := range spellings {
			v := w.verify(a.Admin.Token, "", "", newNumber())
			if _, err := w.confirm(a.Admin.Token, v, spell(v.code)); err != nil {
				t.Errorf("right, %s: %v", rule, err)
			}
			_, err := w.confirm(a.Admin.Token, v, v.code)
			servicetest.Refused(t, err, codes.FailedPrecondition, identityv1.Error_VERIFICATION_OVER) // replayed
		}
		v = w.verify(a.Admin.Token, "", "", newNumber())
		for _, malformed := range []string{"", "12345", "1234567", "abcdef", "١٢٣٤٥٦", "12.456", v.code + "0", v.code[:5], "0x" + v.code[:4]} {
			_, err := w.confirm(a.Admin.Token, v, malformed)
			if servicetest.Reason(err) != "INVALID_FIELDS" || !slices.Equal(badFields(err), []string{"code"}) {
				t.Errorf("%q: %v", malformed, err)
			}
		}
		if _, err := w.confirm(a.Admin.Token, v, v.code); err != nil { // what cannot be right is no try
			t.Errorf("after those: %v", err)
		}
	})
}

// F-14: a code is over after two minutes, however late its message came; a
// new one takes its place, thirty seconds later at the soonest and so often.
func TestPhoneCode_F14_LateAndAgain(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		resend := func(v verification) error {
			_, err := w.Users.ResendPhoneCode(w.As(a.Admin.Token), &identityv1.ResendPhoneCodeRequest{Id: v.GetId()})
			return err
		}
		late := w.verify(a.Admin.Token, "", "", newNumber())
		w.Clock.Add(2*time.Minute - time.Microsecond)
		justInTime := w.verify(a.Admin.Token, "", "", newNumber())
		w.Clock.Add(time.Microsecond)
		_, err := w.confirm(a.Admin.Token, late, late.code)
		servicetest.Refused(t, err, codes.FailedPrecondition, identityv1.Error_VERIFICATION_OVER)
		w.Clock.Add(2*time.Minute - 2*time.Microsecond)
		must[*identityv1.ConfirmPhoneVerificationResponse](t)(w.confirm(a.Admin.Token, justInTime, justInTime.code))
		noError(t, resend(late)) // a new code for the old verification
		fresh := w.code(late.number)
		if _, err := w.confirm(a.Admin.Token, late, late.code); servicetest.Reason(err) != "CODE_INVALID" && fresh != late.code {
			t.Errorf("the former code: %v", err)
		}
		must[*identityv1.ConfirmPhoneVerificationResponse](t)(w.confirm(a.Admin.Token, late, fresh))
		servicetest.Refused(t, resend(late), codes.FailedPrecondition, identityv1.Error_VERIFICATION_OVER) // it is confirmed

		before := w.sms()
		v := w.verify(a.Admin.Token, "", "", newNumber())
		w.Clock.Add(30*time.Second - time.Microsecond)
		if err := resend(v); servicetest.Reason(err) != "RATE_LIMITED" || retryAfter(err) != time.Second {
			t.Errorf("a moment too early: %v", err)
		}
		w.Clock.Add(time.Microsecond)
		again := must[*identityv1.PhoneVerification](t)(w.Users.ResendPhoneCode(w.As(a.Admin.Token), &identityv1.ResendPhoneCodeRequest{Id: v.GetId()}))
		if again.GetId() != v.GetId() || again.GetPhone() != v.GetPhone() || !again.GetExpireTime().AsTime().Equal(w.Clock.Now().Add(2*time.Minute)) {
			t.Errorf("resent: %v", again)
		}
		a.Admin.Token = w.SignIn(a.Admin.GetEmail(), a.Admin.Password)
		w.Clock.Add(30 * time.Second)
		noError(t, resend(v))
		w.Clock.Add(9 * time.Minute)
		for range 2 {
			noError(t, resend(v)) // the fourth and the fifth code
			w.Clock.Add(30 * time.Second)
		}
		servicetest.Refused(t, resend(v), codes.FailedPrecondition, identityv1.Error_VERIFICATION_OVER)
		if sent := w.sms() - before; sent != 5 {
			t.Errorf("%d codes were sent", sent)
		}
		a.Admin.Token = w.SignIn(a.Admin.GetEmail(), a.Admin.Password)
		old := w.verify(a.Admin.Token, "", "", newNumber())
		w.Clock.Add(15*time.Minute - time.Microsecond)
		a.Admin.Token = w.SignIn(a.Admin.GetEmail(), a.Admin.Password)
		noError(t, resend(old))
		w.Clock.Add(30 * time.Second)
		servicetest.Refused(t, resend(old), codes.FailedPrecondition, identityv1.Error_VERIFICATION_OVER)
	})
}

// PW-23: the rows hold neither code nor number, nor what they could be
// guessed from without the master key.
func TestPhoneCode_PW23_NothingToGuessFrom(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, number := w.newTenant(), newNumber()
		v := w.verify(a.Admin.Token, "", a.user.GetId(), number)
		proof := must[*identityv1.ConfirmPhoneVerificationResponse](t)(w.confirm(a.Admin.Token, v, v.code)).GetPhoneProof()
		noError(t, patch(w.As(a.Admin.Token), w.World, "", &identityv1.User{Id: a.user.GetId(), PhoneProof: &proof}, "phone_proof"))
		open := w.verify(a.Admin.Token, "", "", newNumber())
		rows := dump(t, w.url, w.db)
		for name, secret := range map[string]string{"number": number[1:], "proof": proof, "MAC of the proof": proof[37:], "number of another": open.number[1:]} {
			if strings.Contains(rows, secret) {
				t.Errorf("the %s is in the rows", name)
			}
		}
		row := must[store.PhoneVerification](t)(w.Store.PhoneVerification(t.Context(), a.GetId(), open.GetId()))
		if strings.Contains(string(row.Code)+string(row.Sealed), open.code) {
			t.Error("the code is in its row")
		}
		parts := func(code string) []string { return []string{a.GetId(), open.GetId(), "1", code} }
		if !w.Ring.VerifyMAC("phone_code", row.Code, parts(open.code)...) {
			t.Fatal("this is not how a code is kept: nothing is shown")
		}
		line, err := secret.NewKeyLine(randomReader{})
		noError(t, err)
		stranger, err := secret.ParseKeyRing([]byte(line))
		noError(t, err)
		for n := range 1_000_000 { // all there are, without the key
			code := fmt.Sprintf("%06d", n)
			plain := sha256.Sum256([]byte(code))
			joined := sha256.Sum256([]byte(strings.Join(parts(code), "")))
			if string(plain[:]) == string(row.Code) || string(joined[:]) == string(row.Code) ||
				(n%100 == 0 || code == open.code) && stranger.VerifyMAC("phone_code", row.Code, parts(code)...) {
				t.Fatalf("%s can be guessed", code)
			}
		}
	})
}

type randomReader struct{}

func (randomReader) Read(p []byte) (int, error) { return randomRead(p) }

// atOnce makes calls at once and counts what they were told.
func atOnce(n int, call func(i int) error) map[string]int {
	said := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			reason := servicetest.Reason(call(i))
			mu.Lock()
			defer mu.Unlock()
			said[reason]++
		})
	}
	close(start)
	wg.Wait()
	return said
}

// RG-36, RG-37: of sixteen who use one code, one proof or one request id at
// once, through two replicas, one succeeds.
func TestPhone_RG36_Race(t *testing.T) {
	eachURL(t, func(t *testing.T, url string) {
		w := newWorld(t, url)
		doors := []*servicetest.World{w.World}
		if !store.Embedded(url) {
			doors = append(doors, replica(t, w.World, url))
		}
		door := func(i int) *servicetest.World { return doors[i%len(doors)] }
		a := w.newTenant()
		as := func() context.Context { return w.As(a.Admin.Token) }
		for round := range 3 {
			number, before := newNumber(), w.sms()
			said := atOnce(16, func(i int) error {
				_, err := door(i).Users.StartPhoneVerification(as(), &identityv1.StartPhoneVerificationRequest{Phone: number, RequestId: number})
				return err
			})
			if said[""] != 16 || w.sms()-before != 1 {
				t.Errorf("round %d, one request id: %v, %d messages", round, said, w.sms()-before)
			}
			w.code(number)
			v := must[*identityv1.PhoneVerification](t)(w.Users.StartPhoneVerification(as(), &identityv1.StartPhoneVerificationRequest{Phone: number, RequestId: number}))
			w.Clock.Add(30 * time.Second)
			said = atOnce(16, func(i int) error {
				_, err := door(i).Users.ResendPhoneCode(as(), &identityv1.ResendPhoneCodeRequest{Id: v.GetId()})
				return err
			})
			if said[""] != 1 || said["RATE_LIMITED"] != 15 || w.sms()-before != 2 {
				t.Errorf("round %d, sent again: %v, %d messages", round, said, w.sms()-before)
			}
			code := w.code(number)
			var mu sync.Mutex
			var proofs []string
			said = atOnce(16, func(i int) error {
				resp, err := door(i).Users.ConfirmPhoneVerification(as(), &identityv1.ConfirmPhoneVerificationRequest{Id: v.GetId(), Code: code})
				if err == nil {
					mu.Lock()
					defer mu.Unlock()
					proofs = append(proofs, resp.GetPhoneProof())
				}
				return err
			})
			if said[""] != 1 || said["VERIFICATION_OVER"] != 15 {
				t.Fatalf("round %d, one right code: %v", round, said)
			}
			said = atOnce(16, func(i int) error {
				_, err := door(i).Users.CreateUser(as(), w.withPhone(number, proofs[0]))
				return err
			})
			if said[""] != 1 || said["PHONE_NOT_VERIFIED"] != 15 {
				t.Errorf("round %d, one proof: %v", round, said)
			}
			wrong := w.verify(a.Admin.Token, "", "", newNumber())
			said = atOnce(16, func(i int) error {
				_, err := door(i).Users.ConfirmPhoneVerification(as(), &identityv1.ConfirmPhoneVerificationRequest{Id: wrong.GetId(), Code: otherCode(wrong.code, i)})
				return err
			})
			if said["CODE_INVALID"] != 5 || said["VERIFICATION_OVER"] != 11 {
				t.Errorf("round %d, sixteen wrong codes: %v", round, said)
			}
		}
	})
}

// Retries with one request id answer the first outcome and send nothing more.
func TestPhone_Retries(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, number := w.newTenant(), newNumber()
		start := func(number string) (*identityv1.PhoneVerification, error) {
			return w.Users.StartPhoneVerification(w.As(a.Admin.Token), &identityv1.StartPhoneVerificationRequest{Phone: number, RequestId: "one"})
		}
		first := must[*identityv1.PhoneVerification](t)(start(number))
		if again := must[*identityv1.PhoneVerification](t)(start(number)); marshal(again) != marshal(first) || w.sms() != 1 {
			t.Errorf("%v, then %v", first, again)
		}
		_, err := start(newNumber())
		servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_REQUEST_ID_REUSED)
		w.Clock.Add(30 * time.Second)
		for range 3 {
			must[*identityv1.PhoneVerification](t)(w.Users.ResendPhoneCode(w.As(a.Admin.Token), &identityv1.ResendPhoneCodeRequest{Id: first.GetId(), RequestId: "two"}))
		}
		if sent := w.sms(); sent != 2 {
			t.Errorf("%d messages", sent)
		}
	})
}
