package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
)

// maxAnswer is how much of an answer is read.
const maxAnswer = 64 << 10

// newClient makes an HTTP client for one host: no proxy, no redirect, and no
// address within a network of its own unless the setting names that address.
func newClient(host string) *http.Client {
	dialer := &net.Dialer{Timeout: sendTime, Control: func(_, address string, _ syscall.RawConn) error {
		return checkAddress(host, address)
	}}
	return &http.Client{
		Timeout:       sendTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: sendTime, ResponseHeaderTimeout: sendTime,
			MaxResponseHeaderBytes: maxAnswer, MaxIdleConnsPerHost: 2, IdleConnTimeout: sendTime, ForceAttemptHTTP2: true,
		},
	}
}

// special are networks that are nobody's on the internet, beside those that netip knows.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/32"),
}

// checkAddress is asked for the very address that is connected to, after the
// name was resolved: a name that means something else the next time gains nothing.
func checkAddress(host, address string) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	ip := to.Addr().Unmap().WithZone("")
	named, err := netip.ParseAddr(host)
	if (err == nil && named.Unmap() == ip) || (host == "localhost" && ip.IsLoopback()) {
		return nil
	}
	public := ip.IsGlobalUnicast() && !ip.IsPrivate()
	for _, network := range special {
		public = public && !network.Contains(ip)
	}
	if !public {
		return errors.New("the name leads to an address that is not public")
	}
	return nil
}

// twilio sends by the Messages resource of Twilio's API.
type twilio struct {
	client     *http.Client
	endpoint   string
	sid, token string
	from       string
}

func newTwilio(u *url.URL) (*twilio, error) {
	t := &twilio{client: newClient(u.Hostname()), sid: u.User.Username()}
	t.token, _ = u.User.Password()
	query, err := url.ParseQuery(strings.ReplaceAll(u.RawQuery, "+", "%2B")) // the number's own sign, not a space
	if err != nil || t.sid == "" || t.token == "" || u.Hostname() == "" || query.Get("from") == "" {
		return nil, errors.New("must be twilio://SID:TOKEN@host?from=NUMBER")
	}
	t.from = query.Get("from")
	scheme := "https"
	if isLoopback(u.Hostname()) {
		scheme = "http"
	}
	t.endpoint = (&url.URL{Scheme: scheme, Host: u.Host, Path: "/2010-04-01/Accounts/" + t.sid + "/Messages.json"}).String()
	return t, nil
}

// Send implements Sender.
func (t *twilio) Send(ctx context.Context, m Message) error {
	form := url.Values{"To": {m.To}, "From": {t.from}, "Body": {m.Text}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.SetBasicAuth(t.sid, t.token)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	status, body, err := exchange(t.client, req)
	if err != nil || status/100 == 2 {
		return err
	}
	var answer struct {
		Code int `json:"code"` // 21211: no such number, …
	}
	_ = json.Unmarshal(body, &answer) // 0 where it is no such answer
	return refused(status, answer.Code)
}

// webhook posts {"id", "to", "text"} as JSON.
type webhook struct {
	client *http.Client
	target string
	user   *url.Userinfo
}

func newWebhook(u *url.URL) *webhook {
	bare := *u
	bare.User = nil
	return &webhook{client: newClient(u.Hostname()), target: bare.String(), user: u.User}
}

// Send implements Sender.
func (w *webhook) Send(ctx context.Context, m Message) error {
	body, err := json.Marshal(map[string]string{"id": m.ID, "to": m.To, "text": m.Text})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.target, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if w.user != nil {
		password, _ := w.user.Password()
		req.SetBasicAuth(w.user.Username(), password)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", m.ID)
	status, _, err := exchange(w.client, req)
	if err != nil || status/100 == 2 {
		return err
	}
	return refused(status, 0)
}

// exchange sends a request and reads what is taken of the answer.
func exchange(client *http.Client, req *http.Request) (status int, body []byte, err error) {
	resp, err := client.Do(req)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err // without the URL, which may hold a secret
		}
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, _ = io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // the status says all that counts
	return resp.StatusCode, body, nil
}

// refused tells what is wrong with this message from what is wrong with the
// way it goes.
func refused(status, code int) error {
	text := fmt.Sprintf("the gateway answers %d", status)
	if code != 0 {
		text += fmt.Sprintf(" (code %d)", code)
	}
	if status == http.StatusBadRequest || status == http.StatusUnprocessableEntity {
		return rejected("%s", text)
	}
	return errors.New(text)
}
