package service_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service"
	"github.com/bizmetry/identity/service/notify"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/store/storetest"
)

// mailSite is a world whose mails go to a real SMTP listener.
type mailSite struct {
	*servicetest.World
	smtp *servicetest.SMTPServer
}

// eachMailSite runs the body on each database. Other senders may be put around the mailer.
func eachMailSite(t *testing.T, body func(t *testing.T, m *mailSite), around ...func(notify.Sender) notify.Sender) {
	t.Helper()
	for kind, make := range map[string]func(testing.TB) string{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := servicetest.NewSMTP(t, func(s *smtp.Server) { s.TLSConfig = nil })
			mailer, err := notify.Mail("smtp://"+s.Address, "noreply@identity.test")
			if err != nil {
				t.Fatal(err)
			}
			for _, with := range around {
				mailer = with(mailer)
			}
			w := servicetest.New(t, make(t), func(c *service.Config) { c.Mail = mailer })
			body(t, &mailSite{w, s})
		})
	}
}

// pending makes a person who is mailed.
func (m *mailSite) pending(ctx context.Context, email string) error {
	draft := m.Draft()
	draft.Confirmed, draft.Password, draft.Email = nil, nil, &email
	_, err := m.Users.CreateUser(servicetest.As(ctx, m.Root), &identityv1.CreateUserRequest{User: draft})
	return err
}

// undelivered are the messages that are not sent.
func (m *mailSite) undelivered() []store.Message {
	m.T.Helper()
	list, err := m.Store.Undelivered(m.T.Context(), 10_000)
	if err != nil {
		m.T.Fatal(err)
	}
	return list
}

var tokenIn = regexp.MustCompile(`token=3D([A-Za-z0-9_=\r\n-]{43,60})`) // quoted-printable

// link is the token in a mail.
func link(t *testing.T, m servicetest.Mail) string {
	t.Helper()
	found := tokenIn.FindSubmatch(m.Raw)
	if found == nil {
		t.Fatalf("no link in %s", m.Raw)
	}
	text := strings.NewReplacer("=\r\n", "", "=\n", "").Replace(string(found[1]))
	return text[:43]
}

// F-13: while a mail server holds every mail, people are created all the same.
func TestOutbox_F13_TarpitHoldsNobodyUp(t *testing.T) {
	eachMailSite(t, func(t *testing.T, m *mailSite) {
		held := make(chan struct{})
		m.smtp.Fail(func(string) error { <-held; return nil }, nil, nil)
		const people = 30
		for i := range people {
			if err := m.pending(t.Context(), fmt.Sprintf("tarpit%d@people.test", i)); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(m.smtp.Mails()); n != 0 {
			t.Errorf("%d mails came through", n)
		}
		m.smtp.Fail(nil, nil, nil)
		close(held)
		servicetest.Eventually(t, "all are mailed", func() bool { return len(m.smtp.Mails()) == people })
		servicetest.Eventually(t, "and noted", func() bool { return len(m.undelivered()) == 0 })
	})
}

// F-13: a server that says "later" is asked again, ever more rarely; what is
// refused for good is not, until an operator says so.
func TestOutbox_F13_LaterAndNever(t *testing.T) {
	eachMailSite(t, func(t *testing.T, m *mailSite) {
		later := errors.New("later")
		m.smtp.Fail(nil, func(to string) error {
			if strings.HasPrefix(to, "never") {
				return &smtp.SMTPError{Code: 550, Message: "no <" + to + "> here"}
			}
			return &smtp.SMTPError{Code: 451, Message: later.Error()}
		}, nil)
		for _, name := range []string{"later", "never"} {
			if err := m.pending(t.Context(), name+"@people.test"); err != nil {
				t.Fatal(err)
			}
		}
		servicetest.Eventually(t, "one is dead and one waits", func() bool {
			l := m.undelivered()
			return len(l) == 2 && l[0].Dead != 0 && l[1].Attempts == 1 && l[1].Leased == 0
		})
		for attempts := int64(2); attempts <= 4; attempts++ {
			m.Clock.Add(m.undelivered()[1].Due.Time().Sub(m.Clock.Now()))
			servicetest.Eventually(t, "it is tried again", func() bool {
				l := m.undelivered()[1]
				return l.Attempts == attempts && l.Leased == 0
			})
		}
		for _, l := range m.undelivered() {
			if !strings.Contains(l.LastError, "RCPT TO") || strings.Contains(l.LastError, "@") || strings.Contains(l.Recipient, "later") || strings.Contains(l.Recipient, "never") {
				t.Errorf("%+v", l)
			}
		}
		m.smtp.Fail(nil, nil, nil)
		m.Clock.Add(m.undelivered()[1].Due.Time().Sub(m.Clock.Now()))
		servicetest.Eventually(t, "it is sent", func() bool { l := m.undelivered(); return len(l) == 1 && l[0].Dead != 0 })
		if err := m.Store.Short(t.Context(), func(tx *store.ShortTx) error {
			_, err := tx.Revive(t.Context(), "", store.At(m.Clock.Now()))
			return err
		}); err != nil {
			t.Fatal(err)
		}
		servicetest.Eventually(t, "the other one too", func() bool { return len(m.undelivered()) == 0 })
		if n := len(m.smtp.Mails()); n != 2 {
			t.Errorf("%d mails", n)
		}
	})
}

// A message that means nothing any more is not sent, and what it held is gone.
func TestOutbox_ExpiredIsNotSent(t *testing.T) {
	eachMailSite(t, func(t *testing.T, m *mailSite) {
		m.smtp.Fail(nil, func(string) error { return &smtp.SMTPError{Code: 451, Message: "later"} }, nil)
		if err := m.pending(t.Context(), "late@people.test"); err != nil {
			t.Fatal(err)
		}
		servicetest.Eventually(t, "the first try", func() bool { l := m.undelivered(); return l[0].Attempts == 1 && l[0].Leased == 0 })
		m.smtp.Fail(nil, nil, nil)
		m.Clock.Add(72 * time.Hour)
		servicetest.Eventually(t, "it is given up", func() bool { return m.undelivered()[0].Dead != 0 })
		if l := m.undelivered()[0]; l.LastError != "expired" || l.Sealed != nil || len(m.smtp.Mails()) != 0 {
			t.Errorf("%+v, %d mails", l, len(m.smtp.Mails()))
		}
	})
}

// gate is a sender that loses the answers to some of what it sent.
type gate struct {
	notify.Sender
	lose func() bool
}

func (g gate) Send(ctx context.Context, m notify.Message) error {
	if err := g.Sender.Send(ctx, m); err != nil || !g.lose() {
		return err
	}
	return errors.New("the answer was lost")
}

// One message an event, with ten workers, of which some die between claim and send.
func TestOutbox_TenWorkers(t *testing.T) {
	eachMailSite(t, func(t *testing.T, m *mailSite) {
		mailer, err := notify.Mail("smtp://"+m.smtp.Address, "noreply@identity.test")
		if err != nil {
			t.Fatal(err)
		}
		for range 9 {
			svc := must[*service.Service](t)(service.New(t.Context(), service.Config{
				Store: m.Store, Ring: m.Ring, Issuer: servicetest.Issuer, Passwords: m.Passwords, Now: m.Clock.Now, Mail: mailer,
			}))
			go func() { _ = svc.Run(t.Context()) }()
		}
		const people = 60
		var wait sync.WaitGroup
		var mu sync.Mutex
		crashed := 0
		for i := range people {
			wait.Go(func() {
				if err := m.pending(t.Context(), fmt.Sprintf("ten%d@people.test", i)); err != nil {
					t.Error(err)
				}
				if i%6 != 0 {
					return
				}
				now := m.Clock.Now()
				due, err := m.Store.Due(t.Context(), "mail", store.At(now), 2)
				if err != nil || len(due) == 0 {
					return
				}
				_ = m.Store.Short(t.Context(), func(tx *store.ShortTx) error { // a worker that claims, and dies
					got, err := tx.Claim(t.Context(), due, store.At(now), store.At(now.Add(2*time.Minute)))
					mu.Lock()
					crashed += len(got)
					mu.Unlock()
					return err
				})
			})
		}
		wait.Wait()
		servicetest.Eventually(t, "all that nobody holds are sent", func() bool { return len(m.undelivered()) <= crashed })
		m.Clock.Add(2 * time.Minute)
		servicetest.Eventually(t, "the others after the lease", func() bool { return len(m.undelivered()) == 0 })
		to := map[string]int{}
		for _, mail := range m.smtp.Mails() {
			to[mail.To]++
		}
		if len(to) != people || len(m.smtp.Mails()) != people {
			t.Errorf("%d mails to %d people of %d", len(m.smtp.Mails()), len(to), people)
		}
	})
}

// TestMails_G8: of many creates, of which some are cut off, with a server that
// refuses, drops and loses answers, every person who is there is mailed, none
// who is not, and whoever is mailed twice gets the same token.
func TestMails_G8(t *testing.T) {
	eachMailSite(t, func(t *testing.T, m *mailSite) {
		m.smtp.Fail(
			func(string) error { return sometimes(6, &smtp.SMTPError{Code: 421, Message: "busy"}) },
			func(string) error { return sometimes(6, &smtp.SMTPError{Code: 450, Message: "later"}) },
			func(drop func()) error {
				if rand.IntN(6) == 0 {
					drop()
					return errors.New("gone")
				}
				return nil
			})
		const people = 150
		var wait sync.WaitGroup
		slots := make(chan struct{}, 10)
		for i := range people {
			slots <- struct{}{}
			wait.Go(func() {
				defer func() { <-slots }()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if i%3 == 0 { // who asks goes away at some moment
					time.AfterFunc(time.Duration(rand.IntN(20_000))*time.Microsecond, cancel)
				}
				if err := m.pending(ctx, fmt.Sprintf("g8-%d@people.test", i)); err != nil && i%3 != 0 {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		for round, left := 1, m.undelivered(); len(left) > 0; round, left = round+1, m.undelivered() {
			if round > 2000 {
				t.Fatalf("%d are still not sent", len(left))
			}
			if round%200 == 0 {
				m.Clock.Add(2 * time.Minute) // a lease whose end was not written
			}
			last, tried := store.Micros(0), true
			for _, l := range left {
				last = max(last, l.Due)
				tried = tried && l.Attempts > 0 && l.Leased == 0
			}
			if tried { // all wait: until they are due
				m.Clock.Add(max(last.Time().Sub(m.Clock.Now()), 0))
			}
			time.Sleep(50 * time.Millisecond)
		}
		there := map[string]bool{}
		for page := ""; ; {
			list := must[*identityv1.ListUsersResponse](t)(m.Users.ListUsers(m.As(m.SignIn(servicetest.RootEmail, servicetest.RootPassword)), &identityv1.ListUsersRequest{
				Filter: &identityv1.ListUsersRequest_Filter{Email: new("g8-")}, PageToken: page, PageSize: 100,
			}))
			for _, u := range list.GetUsers() {
				there[u.GetEmail()] = true
			}
			if page = list.GetNextPageToken(); page == "" {
				break
			}
		}
		tokens := map[string]string{}
		for _, mail := range m.smtp.Mails() {
			if !there[mail.To] {
				t.Errorf("%s was mailed and is not there", mail.To)
			}
			token := link(t, mail)
			if before := tokens[mail.To]; before != "" && before != token {
				t.Errorf("%s got two tokens", mail.To)
			}
			tokens[mail.To] = token
		}
		if len(tokens) != len(there) || len(there) < people*2/3 {
			t.Errorf("%d of %d people were mailed", len(tokens), len(there))
		}
		different := map[string]bool{}
		for email, token := range tokens {
			different[token] = true
			if len(different) > 20 { // each costs a hash
				continue
			}
			if _, err := m.Users.ActivateUser(t.Context(), &identityv1.ActivateUserRequest{Token: token, Password: servicetest.RootPassword}); err != nil {
				t.Errorf("the link of %s: %v", email, err)
			}
		}
	}, func(s notify.Sender) notify.Sender {
		return gate{s, func() bool { return rand.IntN(5) == 0 }}
	})
}

func sometimes(one int, err error) error {
	if rand.IntN(one) == 0 {
		return err
	}
	return nil
}

// A duplicate, after an answer that was lost, is the same message under the same id.
func TestOutbox_F13_DuplicatesAreTheSame(t *testing.T) {
	eachMailSite(t, func(t *testing.T, m *mailSite) {
		if err := m.pending(t.Context(), "twice@people.test"); err != nil {
			t.Fatal(err)
		}
		for try := range 2 {
			servicetest.Eventually(t, "a try", func() bool { return len(m.smtp.Mails()) == try+1 })
			servicetest.Eventually(t, "it is noted", func() bool { l := m.undelivered(); return len(l) == 0 || l[0].Leased == 0 })
			m.Clock.Add(time.Minute)
		}
		mails := m.smtp.Mails()
		if len(mails) != 2 || link(t, mails[0]) != link(t, mails[1]) || mails[0].Message(t).Header.Get("Message-Id") != mails[1].Message(t).Header.Get("Message-Id") {
			t.Errorf("%d mails: %s", len(mails), mails[len(mails)-1].Raw)
		}
		servicetest.Eventually(t, "all is sent", func() bool { return len(m.undelivered()) == 0 })
	}, func(s notify.Sender) notify.Sender {
		var once atomic.Bool
		return gate{s, func() bool { return !once.Swap(true) }}
	})
}

// A send that is under way when the service stops is finished and noted.
func TestOutbox_Stop(t *testing.T) {
	eachMailSite(t, func(t *testing.T, m *mailSite) {
		m.smtp.Fail(nil, func(string) error { return &smtp.SMTPError{Code: 451, Message: "later"} }, nil)
		if err := m.pending(t.Context(), "stop@people.test"); err != nil {
			t.Fatal(err)
		}
		servicetest.Eventually(t, "the first try", func() bool { l := m.undelivered(); return l[0].Attempts == 1 && l[0].Leased == 0 })
		begun := make(chan struct{})
		slow := senderFunc(func(context.Context, notify.Message) error {
			close(begun)
			time.Sleep(100 * time.Millisecond)
			return nil
		})
		other := must[*service.Service](t)(service.New(t.Context(), service.Config{
			Store: m.Store, Ring: m.Ring, Issuer: servicetest.Issuer, Passwords: m.Passwords,
			Now: func() time.Time { return m.Clock.Now().Add(time.Hour) }, Mail: slow, // ahead, so that it is the one who claims
		}))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- other.Run(ctx) }()
		<-begun
		stop()
		if err := <-done; err != nil || len(m.undelivered()) != 0 {
			t.Errorf("%v, %d left", err, len(m.undelivered()))
		}
	})
}

type senderFunc func(context.Context, notify.Message) error

func (f senderFunc) Send(ctx context.Context, m notify.Message) error { return f(ctx, m) }
