package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/bizmetry/identity/service/contact"
)

// publicURL brings the public URL to the one form in which it is issuer, audience
// and the beginning of links: scheme and host in lower case, the host in ASCII, no
// default port, no slash at the end. What has no such form is refused.
func publicURL(text string) (string, error) {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.Opaque != "" || u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return "", errors.New("IDENTITY_PUBLIC_URL must be a URL such as https://id.example.com")
	}
	host, ok := contact.ASCIIHost(u.Hostname())
	if !ok {
		return "", fmt.Errorf("IDENTITY_PUBLIC_URL: %q is not the name of a host", u.Hostname())
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	port, ok := publicPort(u)
	if !ok {
		return "", fmt.Errorf("IDENTITY_PUBLIC_URL: %q is no port", u.Port())
	}
	at := strings.TrimSuffix(u.EscapedPath(), "/")
	var no string
	switch {
	case u.User != nil: // which may be a password, so it is not repeated
		no = "a user or password"
	case u.RawQuery != "" || u.ForceQuery:
		no = "a query"
	case strings.Contains(text, "#"):
		no = "a fragment"
	case at != "" && path.Clean(at) != at, strings.ContainsAny(at, `%\ `):
		no = `"." or "..", doubled slashes or escaped characters in its path`
	default:
		return u.Scheme + "://" + host + port + at, nil
	}
	return "", fmt.Errorf("IDENTITY_PUBLIC_URL must not have %s", no)
}

// publicPort is the port with its colon, empty for the default of the scheme.
func publicPort(u *url.URL) (string, bool) {
	if u.Port() == "" {
		return "", true
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil || port < 1 || port > 65535 {
		return "", false
	}
	if (u.Scheme == "http" && port == 80) || (u.Scheme == "https" && port == 443) {
		return "", true
	}
	return ":" + strconv.Itoa(port), true
}

// mailFrom is the sender of mails: as set, with the domain in ASCII, which every
// server takes; otherwise noreply at the host of the public URL.
func mailFrom(setting, public string) (string, error) {
	if setting == "" {
		u, err := url.Parse(public)
		if err != nil {
			return "", err
		}
		if net.ParseIP(u.Hostname()) != nil {
			return "noreply@localhost", nil // an address is no domain of mail
		}
		return "noreply@" + u.Hostname(), nil
	}
	setting = strings.TrimSpace(setting)
	at := strings.LastIndexByte(setting, '@')
	domain, ok := contact.ASCIIHost(setting[at+1:])
	if at < 1 || !ok {
		return "", fmt.Errorf("IDENTITY_MAIL_FROM: %q is no e-mail address", setting)
	}
	return setting[:at+1] + domain, nil
}
