package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	gomail "github.com/wneessen/go-mail"
)

// mailer sends by SMTP, a connection a message.
type mailer struct {
	host           string
	port           int
	user, password string
	implicit       bool // TLS from the first byte
	from           string
	domain         string // of the sender, names messages
	tls            *tls.Config
	dial           func(ctx context.Context, network, address string) (net.Conn, error)
}

func newMailer(u *url.URL, from string) (*mailer, error) {
	address, err := mail.ParseAddress(from)
	if err != nil || address.Name != "" || address.Address != from {
		return nil, errors.New("the sender must be a plain e-mail address")
	}
	m := &mailer{
		host: u.Hostname(), user: u.User.Username(), from: from, domain: from[strings.LastIndexByte(from, '@')+1:],
		tls: &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}, dial: new(net.Dialer).DialContext,
	}
	m.password, _ = u.User.Password()
	switch u.Scheme {
	case "smtp":
		m.port = 587
	case "smtps":
		m.port, m.implicit = 465, true
	default:
		return nil, errors.New("must be smtp://…, smtps://… or file:FOLDER")
	}
	if u.Port() != "" {
		if m.port, err = strconv.Atoi(u.Port()); err != nil {
			return nil, errors.New("the port is no number")
		}
	}
	return m, nil
}

// Send implements Sender.
func (m *mailer) Send(ctx context.Context, msg Message) error {
	out, err := m.write(msg)
	if err != nil {
		return err
	}
	conn, err := m.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() // the library leaves it open where it fails before the message
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	client, err := m.client(conn, msg.To)
	if err != nil {
		return err
	}
	session, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return explain(err)
	}
	err = client.SendWithSMTPClient(session, out)
	if out.IsDelivered() { // what fails afterwards changes nothing
		_ = client.CloseWithSMTPClient(session)
		return nil
	}
	return explain(err)
}

// write makes the mail. The only header that varies is the address: names
// stand in the text alone.
func (m *mailer) write(msg Message) (*gomail.Msg, error) {
	out := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	to, err := mail.ParseAddress("<" + msg.To + ">")
	if err != nil || to.Address != msg.To {
		return nil, rejected("the address cannot be written")
	}
	out.ToMailAddress(to)
	out.FromMailAddress(&mail.Address{Address: m.from})
	out.Subject(msg.Subject)
	out.SetMessageIDWithValue(msg.ID + "@" + m.domain)
	out.SetDate()
	out.SetGenHeader("Auto-Submitted", "auto-generated")
	out.SetBodyString(gomail.TypeTextPlain, msg.Text)
	if msg.HTML != "" {
		out.AddAlternativeString(gomail.TypeTextHTML, msg.HTML)
	}
	return out, nil
}

// client is the library's, on a connection that is there. Mail is internationalized
// only where an address is: no other header that goes out has more than ASCII, and
// such mail stops at the first server that does not know it (RFC 6531).
func (m *mailer) client(conn net.Conn, to string) (*gomail.Client, error) {
	policy := gomail.TLSMandatory
	if isLoopback(m.host) {
		policy = gomail.TLSOpportunistic
	}
	options := []gomail.Option{
		gomail.WithPort(m.port), gomail.WithTimeout(sendTime), gomail.WithTLSPolicy(policy), gomail.WithTLSConfig(m.tls),
		gomail.WithDialContextFunc(func(context.Context, string, string) (net.Conn, error) { return conn, nil }), gomail.WithoutNoop(),
	}
	if isASCII(m.from + to) {
		options = append(options, gomail.WithoutSMTPUTF8())
	}
	if m.implicit {
		options = append(options, gomail.WithSSL())
	}
	if m.user != "" {
		options = append(options, gomail.WithUsername(m.user), gomail.WithPassword(m.password), gomail.WithOpportunisticSMTPAuth(
			gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin, gomail.SMTPAuthCramMD5))
	}
	return gomail.NewClient(m.host, options...)
}

func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII })
}

func (m *mailer) connect(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	conn, err := m.dial(ctx, "tcp", net.JoinHostPort(m.host, strconv.Itoa(m.port)))
	if err != nil || !m.implicit {
		return conn, err
	}
	secure := tls.Client(conn, m.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}

// explain keeps of an error what an operator needs. What a server says may
// hold the address, so of its answers only the codes stay.
func explain(err error) error {
	var failed *gomail.SendError
	var reply *textproto.Error
	switch {
	case errors.As(err, &failed) && failed.ErrorCode() != 0:
		text := strings.TrimSpace(fmt.Sprintf("%s: %d %s", failed.Reason, failed.ErrorCode(), failed.EnhancedStatusCode()))
		final := failed.Reason == gomail.ErrSMTPRcptTo || failed.Reason == gomail.ErrSMTPDataClose
		if final && failed.ErrorCode() >= 500 {
			return rejected("%s", text)
		}
		return errors.New(text)
	case errors.As(err, &failed):
		return fmt.Errorf("%s: connection lost", failed.Reason)
	case errors.As(err, &reply):
		return fmt.Errorf("the server answers %d", reply.Code)
	}
	return err
}
