package service_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service"
	"github.com/bizmetry/identity/service/notify"
	"github.com/bizmetry/identity/service/servicetest"
)

// phoneCompany speaks Twilio's protocol, and takes its time or fails as told.
type phoneCompany struct {
	hang, fail atomic.Bool
	asked      atomic.Int64
	release    chan struct{} // closed: what hangs goes on
	mu         sync.Mutex
	texts      map[string][]string // by number
}

func (c *phoneCompany) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	c.asked.Add(1)
	if c.fail.Load() {
		rw.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	to, text := req.FormValue("To"), req.FormValue("Body")
	if c.hang.Load() {
		<-c.release
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.texts[to] = append(c.texts[to], text)
	rw.WriteHeader(http.StatusCreated)
}

// waitFor waits until the phone company was asked so often.
func (c *phoneCompany) waitFor(t *testing.T, n int64) {
	t.Helper()
	servicetest.Eventually(t, fmt.Sprintf("asked %d times", n), func() bool { return c.asked.Load() >= n })
}

// text waits for the n-th message to a number and returns the code in it.
func (c *phoneCompany) text(t *testing.T, number string, n int) string {
	t.Helper()
	var text string
	servicetest.Eventually(t, fmt.Sprintf("message %d to %s", n, number), func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.texts[number]) < n {
			return false
		}
		text = c.texts[number][n-1]
		return true
	})
	return smsText.FindStringSubmatch(text)[1]
}

// F-14: SMS that is slow or fails holds up nothing but itself; a code that
// comes too late is over, and one that was not sent in time is not sent at all.
func TestPhoneSMS_F14_SlowOrFailing(t *testing.T) {
	eachURL(t, func(t *testing.T, url string) {
		company := &phoneCompany{release: make(chan struct{}), texts: map[string][]string{}}
		server := httptest.NewServer(company)
		t.Cleanup(server.Close)
		sender, err := notify.SMS("twilio://AC1:secret@" + strings.TrimPrefix(server.URL, "http://") + "?from=%2B15550100")
		noError(t, err)
		w := newWorld(t, url, func(c *service.Config) { c.SMS = sender })
		a := w.newTenant()
		start := func(number string) *identityv1.PhoneVerification {
			return must[*identityv1.PhoneVerification](t)(w.Users.StartPhoneVerification(w.As(a.Admin.Token), &identityv1.StartPhoneVerificationRequest{Phone: number}))
		}
		number := newNumber()
		v := start(number)
		proof := must[*identityv1.ConfirmPhoneVerificationResponse](t)(w.confirm(a.Admin.Token, verification{v, "", number, ""}, company.text(t, number, 1)))
		must[*identityv1.User](t)(w.Users.CreateUser(w.As(a.Admin.Token), w.withPhone(number, proof.GetPhoneProof())))

		company.hang.Store(true)
		late := newNumber()
		slow := start(late)
		company.waitFor(t, 2)
		for range 12 { // more than are sent at once: the rest waits
			start(newNumber())
		}
		w.SignIn(a.Admin.GetEmail(), a.Admin.Password)
		invited := must[*identityv1.User](t)(w.Users.CreateUser(w.As(a.Admin.Token), w.withPhone("", "")))
		w.Link(invited.GetEmail()) // mail goes its own way
		w.Clock.Add(2 * time.Minute)
		company.hang.Store(false)
		close(company.release)
		_, err = w.confirm(a.Admin.Token, verification{slow, "", late, ""}, company.text(t, late, 1))
		servicetest.Refused(t, err, codes.FailedPrecondition, identityv1.Error_VERIFICATION_OVER)
		again := must[*identityv1.PhoneVerification](t)(w.Users.ResendPhoneCode(w.As(a.Admin.Token), &identityv1.ResendPhoneCodeRequest{Id: slow.GetId()}))
		must[*identityv1.ConfirmPhoneVerificationResponse](t)(w.confirm(a.Admin.Token, verification{again, "", late, ""}, company.text(t, late, 2)))
		if asked := company.asked.Load(); asked > 1+8+1 {
			t.Errorf("%d were sent, some of them too late", asked)
		}

		company.fail.Store(true)
		before := company.asked.Load()
		refused := newNumber()
		failing := start(refused)
		company.waitFor(t, before+1)
		company.fail.Store(false)
		for range 5 { // it is tried again, some seconds after the failure was written down
			w.Clock.Add(10 * time.Second)
			time.Sleep(100 * time.Millisecond)
		}
		must[*identityv1.ConfirmPhoneVerificationResponse](t)(w.confirm(a.Admin.Token, verification{failing, "", refused, ""}, company.text(t, refused, 1)))
	})
}
