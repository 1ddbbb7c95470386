// Package notify writes messages and hands them to whoever carries them on:
// mail by SMTP, SMS by Twilio's protocol or a webhook, either into a folder.
//
// It promises that nothing of a message can become a header, a command, HTML
// or another address, that a send ends in bounded time, and that errors hold
// neither secrets nor recipients. It knows nothing of the service: who is told
// what, and when it is tried again, is decided elsewhere.
package notify

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Message goes to one recipient.
type Message struct {
	// ID names the message: the same for every try.
	ID string
	// To is an e-mail address or an E.164 number.
	To string
	// Subject and HTML are of mails only.
	Subject, Text, HTML string
}

// Sender hands messages on. ErrRejected means that another try is pointless;
// every other error may pass.
type Sender interface {
	Send(ctx context.Context, m Message) error
}

// ErrRejected means that the recipient or the message was refused for good.
var ErrRejected = errors.New("rejected")

// sendTime bounds each part of a send: to connect and sign in, and to hand the message on.
const sendTime = 20 * time.Second

// Mail makes the sender of a setting: smtp://user:password@host:587, where TLS
// is a must unless the host is this machine, smtps://user:password@host:465,
// or file:FOLDER. Errors do not hold the setting.
func Mail(setting, from string) (Sender, error) {
	if folder, ok := strings.CutPrefix(setting, "file:"); ok {
		return newFolder(folder)
	}
	u, err := url.Parse(setting)
	if err != nil || u.Hostname() == "" || u.Opaque != "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("must be smtp://user:password@host:port, smtps://… or file:FOLDER")
	}
	return newMailer(u, from)
}

// SMS makes the sender of a setting: twilio://SID:TOKEN@host?from=+15550100,
// webhook:https://…, or file:FOLDER. Errors do not hold the setting.
func SMS(setting string) (Sender, error) {
	if folder, ok := strings.CutPrefix(setting, "file:"); ok {
		return newFolder(folder)
	}
	if target, ok := strings.CutPrefix(setting, "webhook:"); ok {
		u, err := url.Parse(target)
		if err != nil || u.Hostname() == "" || u.Fragment != "" || (u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname()))) {
			return nil, errors.New("must be webhook:https://…, plain http only on this machine")
		}
		return newWebhook(u), nil
	}
	u, err := url.Parse(setting)
	if err != nil || u.Scheme != "twilio" {
		return nil, errors.New("must be twilio://SID:TOKEN@host?from=NUMBER, webhook:https://… or file:FOLDER")
	}
	return newTwilio(u)
}

// isLoopback tells whether a setting names this machine.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && ip.IsLoopback())
}

func rejected(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrRejected, fmt.Sprintf(format, args...))
}
