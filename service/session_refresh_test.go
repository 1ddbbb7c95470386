package service_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store"
)

// refresher refreshes by the text of a token.
func refresher(t *testing.T, w *servicetest.World) func(string) (*identityv1.Tokens, error) {
	return func(text string) (*identityv1.Tokens, error) {
		resp, err := w.Sessions.Refresh(t.Context(), &identityv1.RefreshRequest{RefreshToken: text})
		return resp.GetTokens(), err
	}
}

func usable(w *servicetest.World, token string) error {
	_, err := w.Users.GetMe(w.As(token), &identityv1.GetMeRequest{})
	return err
}

// ended counts the events that tell of a session's end.
func ended(t *testing.T, w *servicetest.World, p servicetest.Person, session string) (n int) {
	t.Helper()
	events, err := trail(t.Context(), w.Store, p.GetOrganizationId())
	noError(t, err)
	for _, e := range events {
		if e.Type == "session.ended" && e.Target == session {
			n++
			if e.Data["user"] != p.GetId() {
				t.Errorf("the event names %q", e.Data["user"])
			}
		}
	}
	return n
}

// A refresh gives a successor; what came before it is forgiven for ten
// seconds, and ends everything after that.
func TestRefresh_BC06(t *testing.T) {
	eachURL(t, func(t *testing.T, url string) {
		w := servicetest.New(t, url)
		refresh := refresher(t, w)
		org := w.NewOrg()

		t.Run("each is good for a successor", func(t *testing.T) {
			first := w.Tokens(org.Admin.GetEmail(), org.Admin.Password)
			now := first
			for range 5 {
				w.Clock.Add(20 * time.Minute)
				next, err := refresh(now.GetRefreshToken())
				noError(t, err)
				noError(t, usable(w, next.GetAccessToken()))
				if next.GetRefreshToken() == now.GetRefreshToken() || next.GetSessionId() != first.GetSessionId() {
					t.Errorf("%v follows %v", next, now)
				}
				now = next
			}
			if n := ended(t, w, org.Admin, first.GetSessionId()); n != 0 {
				t.Errorf("%d ends", n)
			}
		})
		t.Run("a lost answer can be asked for again", func(t *testing.T) {
			first := w.Tokens(org.Admin.GetEmail(), org.Admin.Password)
			second, err := refresh(first.GetRefreshToken())
			noError(t, err)
			for _, wait := range []time.Duration{0, 5 * time.Second, 5 * time.Second} { // the tenth second still counts
				w.Clock.Add(wait)
				again, err := refresh(first.GetRefreshToken())
				if err != nil || again.GetRefreshToken() != second.GetRefreshToken() {
					t.Errorf("%v, %v, want %v", again, err, second)
				}
				noError(t, usable(w, again.GetAccessToken()))
			}
			if _, err := refresh(second.GetRefreshToken()); err != nil {
				t.Error(err)
			}
		})
		for rule, spend := range map[string]func(first, second string){
			"reuse after the grace ends the session": func(first, _ string) { w.Clock.Add(10*time.Second + time.Microsecond); _, _ = refresh(first) },
			"reuse of the one before the last ends it at once": func(first, second string) {
				_, err := refresh(second)
				noError(t, err)
				_, _ = refresh(first)
			},
		} {
			t.Run(rule, func(t *testing.T) {
				first := w.Tokens(org.Admin.GetEmail(), org.Admin.Password)
				second, err := refresh(first.GetRefreshToken())
				noError(t, err)
				spend(first.GetRefreshToken(), second.GetRefreshToken())
				for _, there := range []*servicetest.World{w, replica(t, w, url)} {
					for _, text := range []string{first.GetRefreshToken(), second.GetRefreshToken()} {
						_, err := refresher(t, there)(text)
						servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID)
					}
					servicetest.Refused(t, usable(there, second.GetAccessToken()), codes.Unauthenticated, identityv1.Error_TOKEN_INVALID)
				}
				if n := ended(t, w, org.Admin, first.GetSessionId()); n != 1 {
					t.Errorf("%d events tell of the end", n)
				}
			})
		}
	})
}

// Of twenty at once all get the one successor; a hundred replays after the
// grace write one end.
func TestRefresh_BC06_RG36_Parallel(t *testing.T) {
	eachURL(t, func(t *testing.T, url string) {
		w := servicetest.New(t, url)
		org := w.NewOrg()
		doors := []*servicetest.World{w, replica(t, w, url)}
		all := func(n int, text string) (texts map[string]int, reasons map[string]int) {
			texts, reasons = map[string]int{}, map[string]int{}
			var mu sync.Mutex
			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() {
					tokens, err := refresher(t, doors[i%2])(text)
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						texts[tokens.GetRefreshToken()]++
					}
					reasons[servicetest.Reason(err)]++
				})
			}
			wg.Wait()
			return texts, reasons
		}
		tokens := w.Tokens(org.Admin.GetEmail(), org.Admin.Password)
		next := tokens.GetRefreshToken()
		for round := range 10 {
			texts, reasons := all(20, next)
			if len(texts) != 1 || reasons[""] != 20 {
				t.Fatalf("round %d: %d successors, %v", round, len(texts), reasons)
			}
			for next = range texts {
			}
			session, err := w.Store.Session(t.Context(), org.GetId(), tokens.GetSessionId())
			if err != nil || session.Generation != int64(round+2) {
				t.Fatalf("round %d: generation %d, %v", round, session.Generation, err)
			}
		}
		w.Clock.Add(time.Minute)
		texts, reasons := all(20, tokens.GetRefreshToken())
		if len(texts) != 0 || reasons["TOKEN_INVALID"] != 20 {
			t.Errorf("stolen: %v, %v", texts, reasons)
		}
		if n := ended(t, w, org.Admin, tokens.GetSessionId()); n != 1 {
			t.Errorf("%d events tell of the end", n)
		}
	})
}

// What is not genuine ends nothing, whatever session it names.
func TestRefresh_RG34(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		refresh := refresher(t, w)
		org := w.NewOrg()
		tokens := w.Tokens(org.Admin.GetEmail(), org.Admin.Password)
		text := tokens.GetRefreshToken()
		parts := strings.Split(text, "_")
		session := tokens.GetSessionId()
		texts := map[string]string{
			"another signature":  strings.Join([]string{parts[0], parts[1], parts[2], strings.Repeat("0", len(parts[3]))}, "_"),
			"a later generation": strings.Join([]string{parts[0], parts[1], "2", parts[3]}, "_"),
			"generation 0":       strings.Join([]string{parts[0], parts[1], "0", parts[3]}, "_"),
			"a plus sign":        strings.Join([]string{parts[0], parts[1], "+1", parts[3]}, "_"),
			"a zero before":      strings.Join([]string{parts[0], parts[1], "01", parts[3]}, "_"),
			"capitals":           strings.ToUpper(text),
			"twice":              text + text[:min(len(text), 200-len(text))],
			"a space behind":     text + " ",
			"a space before":     " " + text,
			"the session's id":   session,
			"nobody's session":   secret.RefreshToken(w.Ring, "00000000-0000-7000-8000-000000000099", 1),
			"one not made yet":   secret.RefreshToken(w.Ring, session, 2)[:len(text)-1],
		}
		for i := 1; i < len(text); i++ {
			texts["the first "+text[:i]] = text[:i]
			texts["the last "+text[i:]] = text[i:]
		}
		for i := range text {
			for _, with := range []byte{'0', 'A', text[i] ^ 1} {
				if changed := text[:i] + string(with) + text[i+1:]; with != text[i] && with > ' ' && with < 0x7f {
					texts["changed to "+changed] = changed
				}
			}
		}
		for rule, forged := range texts {
			w.Clock.Add(500 * time.Millisecond) // a source may fail twice a second
			if _, err := refresh(forged); servicetest.Reason(err) != "TOKEN_INVALID" {
				t.Errorf("%s: %v", rule, err)
			}
		}
		if n := ended(t, w, org.Admin, session); n != 0 {
			t.Errorf("garbage ended the session %d times", n)
		}
		noError(t, usable(w, tokens.GetAccessToken()))
		if _, err := refresh(text); err != nil {
			t.Errorf("%d forgeries later the token is refused: %v", len(texts), err)
		}
	})
}

// Sessions end after half an hour without a refresh and after twelve hours.
func TestRefresh_SS05_Limits(t *testing.T) {
	eachURL(t, func(t *testing.T, url string) {
		w := servicetest.New(t, url)
		org := w.NewOrg()
		start := func() *identityv1.Tokens { return w.Tokens(org.Admin.GetEmail(), org.Admin.Password) }
		t.Run("idle", func(t *testing.T) {
			short, long := start(), start()
			w.Clock.Add(30*time.Minute - time.Microsecond)
			_, err := refresher(t, w)(short.GetRefreshToken())
			noError(t, err)
			w.Clock.Add(time.Microsecond)
			for _, there := range []*servicetest.World{w, replica(t, w, url)} {
				_, err = refresher(t, there)(long.GetRefreshToken())
				servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID)
			}
		})
		t.Run("absolute, also after restarts", func(t *testing.T) {
			tokens, end := start(), w.Clock.Now().Add(12*time.Hour)
			for range 24 {
				w.Clock.Add(29 * time.Minute)
				next, err := refresher(t, w)(tokens.GetRefreshToken())
				noError(t, err)
				tokens = next
			}
			w = replica(t, w, url)
			w.Clock.Add(end.Sub(w.Clock.Now()) - 20*time.Minute)
			next, err := refresher(t, w)(tokens.GetRefreshToken())
			noError(t, err)
			w.Clock.Add(20*time.Minute - 2*time.Second) // later none is issued: it would live less than a second
			last, err := refresher(t, w)(next.GetRefreshToken())
			noError(t, err)
			noError(t, usable(w, last.GetAccessToken()))
			if last.GetExpireTime().AsTime().After(end) {
				t.Errorf("a token until %v outlives the session, which ends at %v", last.GetExpireTime().AsTime(), end)
			}
			w.Clock.Add(2 * time.Second)
			_, err = refresher(t, w)(last.GetRefreshToken())
			servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID)
			servicetest.Refused(t, usable(w, last.GetAccessToken()), codes.Unauthenticated, identityv1.Error_TOKEN_INVALID)
		})
	})
}

// A refresh token under a former master key goes on; under a foreign one it does not.
func TestRefresh_CR02_MasterKeys(t *testing.T) {
	w := servicetest.SQLite(t)
	org := w.NewOrg()
	tokens := w.Tokens(org.Admin.GetEmail(), org.Admin.Password)
	line, err := secret.NewKeyLine(strings.NewReader(strings.Repeat("k", 32)))
	noError(t, err)
	foreign, err := secret.ParseKeyRing([]byte(line))
	noError(t, err)
	_, err = refresher(t, w)(secret.RefreshToken(foreign, tokens.GetSessionId(), 1))
	servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID)
	if s, err := w.Store.Session(t.Context(), org.GetId(), tokens.GetSessionId()); err != nil || s.Ended != store.Micros(0) {
		t.Errorf("ended at %v, %v", s.Ended, err)
	}
}
