package service_test

import (
	"encoding/hex"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store"
)

// freeAttempts may be wrong one after the other before a wait begins.
const freeAttempts = 5

// attempt signs in and gives the reason of the refusal, "" for none.
func attempt(t *testing.T, w *servicetest.World, email, password string) string {
	_, err := w.Sessions.SignIn(t.Context(), &identityv1.SignInRequest{Email: email, Password: password})
	return servicetest.Reason(err)
}

// failures is what the database has counted against a user who may sign in.
func failures(t *testing.T, w *servicetest.World, u *identityv1.User) store.Throttle {
	t.Helper()
	mac := w.Ring.MAC("throttle", "user", u.GetOrganizationId(), u.GetId())
	seen, err := w.Store.Throttle(t.Context(), hex.EncodeToString(mac[:]))
	noError(t, err)
	return seen
}

// retryAfter is the wait that a refusal names.
func retryAfter(err error) time.Duration {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

// A thousand at once reach the hash no more often than one after the other,
// and are counted exactly as often.
func TestAttempts_PW13_RG07_Parallel(t *testing.T) {
	eachURL(t, func(t *testing.T, url string) {
		w := servicetest.New(t, url)
		doors := []*servicetest.World{w, replica(t, w, url)}
		u := w.CreateUser("")
		storm := func(n int) map[string]int {
			said := map[string]int{}
			var mu sync.Mutex
			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() {
					reason := attempt(t, doors[i%2], u.GetEmail(), fmt.Sprint("wrong ", i))
					mu.Lock()
					defer mu.Unlock()
					said[reason]++
				})
			}
			wg.Wait()
			return said
		}
		ran := w.Passwords.Runs()
		said := storm(1000)
		hashes := w.Passwords.Runs() - ran
		if hashes > freeAttempts || said["CREDENTIALS_INVALID"] != int(hashes) || said["RATE_LIMITED"] != 1000-int(hashes) {
			t.Errorf("%d hashes ran: %v", hashes, said)
		}
		if n := failures(t, w, u).Failures; n != int64(hashes) {
			t.Errorf("%d counted, %d ran", n, hashes)
		}
		for wait := time.Second; wait <= 8*time.Second; wait *= 2 { // the clock permits one each time
			w.Clock.Add(wait)
			ran := w.Passwords.Runs()
			said := storm(50)
			if hashes := w.Passwords.Runs() - ran; hashes != 1 || said["CREDENTIALS_INVALID"] != 1 || said["RATE_LIMITED"] != 49 {
				t.Errorf("after %v: %d hashes, %v", wait, hashes, said)
			}
		}
	})
}

// The wait doubles up to a quarter of an hour, holds for the right password
// too, outlives a restart, and ends with it.
func TestAttempts_PW13_RG09_Wait(t *testing.T) {
	eachURL(t, func(t *testing.T, url string) {
		w := servicetest.New(t, url)
		u := w.NewPerson("")
		for i := range freeAttempts {
			if reason := attempt(t, w, u.GetEmail(), "wrong"); reason != wrong {
				t.Fatalf("attempt %d: %s", i, reason)
			}
		}
		doors := []*servicetest.World{w, replica(t, w, url)}
		wait := time.Second
		for i := range 14 {
			ran := w.Passwords.Runs()
			for _, there := range doors {
				_, err := there.Sessions.SignIn(t.Context(), &identityv1.SignInRequest{Email: u.GetEmail(), Password: servicetest.RootPassword})
				servicetest.Refused(t, err, codes.ResourceExhausted, identityv1.Error_RATE_LIMITED)
				if got := retryAfter(err); got != wait {
					t.Errorf("wait %d: %v, want %v", i, got, wait)
				}
			}
			if w.Passwords.Runs() != ran {
				t.Error("a throttled attempt was hashed")
			}
			w.Clock.Add(wait)
			if reason := attempt(t, doors[i%2], u.GetEmail(), "wrong"); reason != wrong {
				t.Errorf("after wait %d: %s", i, reason)
			}
			wait = min(2*wait, 15*time.Minute)
		}
		got, err := w.Users.GetUser(w.As(w.SignIn(servicetest.RootEmail, servicetest.RootPassword)), &identityv1.GetUserRequest{Id: u.GetId()})
		if err != nil || !got.GetLockedUntil().AsTime().Equal(w.Clock.Now().Add(wait)) {
			t.Errorf("locked until %v, %v", got.GetLockedUntil().AsTime(), err)
		}
		w.Clock.Add(wait)
		if reason := attempt(t, w, u.GetEmail(), servicetest.RootPassword); reason != "" {
			t.Errorf("the right password after the wait: %s", reason)
		}
		if seen := failures(t, w, u.User); seen.Failures != 0 || seen.Retry != 0 {
			t.Errorf("%+v is not forgotten", seen)
		}
		for i := range freeAttempts {
			if reason := attempt(t, w, u.GetEmail(), "wrong"); reason != wrong {
				t.Errorf("attempt %d of the new count: %s", i, reason)
			}
		}
	})
}

// All spellings of an address count together; other addresses do not.
func TestAttempts_PW13_RG08_Spellings(t *testing.T) {
	rows := []struct {
		rule, email string
		same        bool
	}{
		{"as it is", "zoë.müller@bücher.test", true},
		{"capitals", "ZOË.MÜLLER@BÜCHER.TEST", true},
		{"spaces around", "  zoë.müller@bücher.test\t", true},
		{"decomposed", "zoe\u0308.mu\u0308ller@bu\u0308cher.test", true},
		{"domain in ASCII", "zoë.müller@xn--bcher-kva.test", true},
		{"full-width domain", "zoë.müller@bücher。test", true},
		{"another domain", "zoë.müller@bucher.test", false},
		{"another name", "zoe.muller@bücher.test", false},
		{"with a tag", "zoë.müller+x@bücher.test", false},
	}
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		for n := range freeAttempts {
			if reason := attempt(t, w, rows[n].email, "wrong"); reason != wrong {
				t.Fatalf("%s: %s", rows[n].rule, reason)
			}
		}
		for _, row := range rows {
			want := wrong
			if row.same {
				want = "RATE_LIMITED"
			}
			if reason := attempt(t, w, row.email, "wrong"); reason != want {
				t.Errorf("%s: %s, want %s", row.rule, reason, want)
			}
		}
	})
}

// Accounts that are not there are throttled like those that are.
func TestAttempts_PW14_RG11_Unknown(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		known := w.CreateUser("").GetEmail()
		for i := range 12 {
			var answers [3]string
			for j, email := range []string{known, "nobody@people.test", "no address at all"} {
				_, err := w.Sessions.SignIn(t.Context(), &identityv1.SignInRequest{Email: email, Password: "wrong"})
				answers[j] = answerText(t, err)
			}
			if answers[1] != answers[0] || answers[2] != answers[0] {
				t.Errorf("attempt %d: %q", i, answers)
			}
			w.Clock.Add(time.Duration(i) * time.Second)
		}
	})
}
