package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/bizmetry/identity/service/notify"
	"github.com/bizmetry/identity/store"
)

// senders are what messages go out by.
type senders struct{ mail, sms notify.Sender }

// senders reads the settings. Only the embedded database has a default: a
// folder, where whoever tries the service out finds the messages.
func (c *serveCmd) senders() (s senders, err error) {
	from, err := mailFrom(c.MailFrom, c.PublicURL)
	if err != nil {
		return s, err
	}
	s.mail, err = sender(smtpURLEnv, func(setting string) (notify.Sender, error) { return notify.Mail(setting, from) })
	if err != nil {
		return s, err
	}
	s.sms, err = sender(smsURLEnv, notify.SMS)
	return s, err
}

func sender(name string, read func(setting string) (notify.Sender, error)) (notify.Sender, error) {
	setting := senderSetting(name)
	if setting == "" {
		return nil, errors.New(name + " is required with PostgreSQL")
	}
	s, err := read(setting)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

const defaultSender = "file:outbox"

func senderSetting(name string) string {
	setting := strings.TrimSpace(os.Getenv(name))
	if setting == "" && store.Embedded(databaseURL()) {
		return defaultSender
	}
	return setting
}

// mailFolder is the folder that mails are written into; empty where they are sent.
func mailFolder() string {
	folder, ok := strings.CutPrefix(senderSetting(smtpURLEnv), "file:")
	if !ok {
		return ""
	}
	return folder
}
