package service_test

import (
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store"
)

// Of any number of sessions that begin at once, on two replicas, twenty live.
func TestSessions_Fair09_Twenty(t *testing.T) {
	eachURL(t, func(t *testing.T, url string) {
		w := servicetest.New(t, url)
		doors := []*servicetest.World{w, replica(t, w, url)}
		u := w.NewPerson("")
		signIn := func(n int) (tokens []*identityv1.Tokens) {
			var mu sync.Mutex
			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() {
					resp, err := doors[i%2].Sessions.SignIn(t.Context(), &identityv1.SignInRequest{Email: u.GetEmail(), Password: u.Password})
					if reason := servicetest.Reason(err); reason != "" && reason != limited { // or ended before it was answered
						t.Error(reason)
					}
					mu.Lock()
					defer mu.Unlock()
					if resp.GetTokens() != nil {
						tokens = append(tokens, resp.GetTokens())
					}
				})
			}
			wg.Wait()
			return tokens
		}
		live := func(all []*identityv1.Tokens) (n int) {
			w.Stopwatch.Add(time.Second)
			doors[1].Stopwatch.Add(time.Second)
			for _, tokens := range all {
				first, second := usable(doors[0], tokens.GetAccessToken()), usable(doors[1], tokens.GetAccessToken())
				if (first == nil) != (second == nil) {
					t.Errorf("one replica says %v, the other %v", first, second)
				}
				if first == nil {
					n++
				}
			}
			return n
		}
		var all []*identityv1.Tokens
		for range 10 { // more at once would be tries that wait
			all = append(all, signIn(4)...)
		}
		if n := live(all); n > 20 || n < 15 || len(all) < 22 {
			t.Errorf("%d of %d live", n, len(all))
		}
		w.Clock.Add(time.Minute)
		newest := signIn(1)
		if live(newest) != 1 || live(append(all, newest...)) > 20 {
			t.Error("the newest is not among the twenty")
		}
		events, err := w.Store.Events(t.Context(), u.GetOrganizationId(), store.EventFilter{Type: store.EventSessionEnded}, 0, 0, 100)
		if err != nil || len(events.Rows) < len(all)-20 {
			t.Errorf("%d events, %v", len(events.Rows), err)
		}
	})
}

// Successes are bounded too: who signs in without end is refused before the hash.
func TestSignIn_Fair09_Successes(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		u := w.NewPerson("") // who signed in twice
		said := map[string]int{}
		for range 210 {
			said[attempt(t, w, u.GetEmail(), u.Password)]++
		}
		if said[""] < 190 || said[limited] < 5 {
			t.Errorf("%v", said)
		}
		ran := w.Passwords.Runs()
		_, err := w.Sessions.SignIn(t.Context(), &identityv1.SignInRequest{Email: u.GetEmail(), Password: u.Password})
		servicetest.Refused(t, err, codes.ResourceExhausted, identityv1.Error_RATE_LIMITED)
		if w.Passwords.Runs() != ran {
			t.Error("it was hashed")
		}
		w.Clock.Add(time.Minute)
		if reason := attempt(t, w, u.GetEmail(), u.Password); reason != "" {
			t.Errorf("a minute later: %s", reason)
		}
	})
}

// What is refused because a budget is spent takes no statement.
func TestBudgets_Fair05_Remembered(t *testing.T) {
	eachURL(t, func(t *testing.T, url string) {
		w := servicetest.New(t, url)
		there := quiet(t, w, url)
		check := func() error {
			_, err := there.Users.CheckPassword(there.As(w.Root), &identityv1.CheckPasswordRequest{Password: "abc"})
			return err
		}
		for n := range 300 {
			if err := check(); err != nil {
				t.Fatal(n, err)
			}
		}
		free := func() int64 { // what calls cost that are not refused for it: memory asks once a second
			before := there.Store.Statements()
			var wg sync.WaitGroup
			for range 200 {
				wg.Go(func() {
					servicetest.Refused(t, check(), codes.ResourceExhausted, identityv1.Error_RATE_LIMITED)
				})
			}
			wg.Wait()
			return there.Store.Statements() - before
		}
		if n := free(); n > 20 {
			t.Errorf("%d statements for 200 refusals", n)
		}
		if n := there.Service.Meter.Of("password check").Refused(); n != 200 {
			t.Errorf("the meter shows %d", n)
		}
		w.Clock.Add(5 * time.Minute)
		if err := check(); err != nil {
			t.Errorf("in the next window: %v", err)
		}
	})
}
