package main

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/bizmetry/identity/service/contact"
)

// readSwitch is the one reading of settings that are on or off.
func readSwitch(text string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "on", "true", "yes", "1":
		return true, nil
	case "off", "false", "no", "0":
		return false, nil
	}
	return false, fmt.Errorf("must be on or off (also true, yes, 1, false, no, 0), not %q", text)
}

// onOff is a switch whose flag needs a value: --database-prepare=off.
type onOff bool

// Decode implements kong.MapperValue.
func (s *onOff) Decode(ctx *kong.DecodeContext) error {
	var text string
	if err := ctx.Scan.PopValueInto("on or off", &text); err != nil {
		return err
	}
	on, err := readSwitch(text)
	*s = onOff(on)
	return err
}

// IsBool implements kong.BoolMapperValue.
func (*onOff) IsBool() bool { return false }

// switches reads the flags that stand alone: --reflection, --no-reflection, --json.
type switches struct{}

// Decode implements kong.Mapper.
func (switches) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	on := true
	if ctx.Scan.Peek().Type == kong.FlagValueToken {
		var err error
		switch value := ctx.Scan.Pop().Value.(type) {
		case bool: // of a flag that begins with --no-
			on = value
		case string:
			if on, err = readSwitch(value); err != nil {
				return err
			}
		}
	}
	target.SetBool(on)
	return nil
}

// IsBool implements kong.BoolMapper.
func (switches) IsBool() bool { return true }

// trustedProxies reads the networks whose forwarding headers are believed. Behind
// a proxy they must be said: without them every client has the proxy's address, and
// what one of them gets wrong slows down all.
func trustedProxies(texts []string, insecure string) (proxies []netip.Prefix, err error) {
	if len(texts) == 1 && strings.TrimSpace(texts[0]) == "none" {
		return nil, nil
	}
	for _, text := range texts {
		network, ok := proxyNetwork(strings.TrimSpace(text))
		if !ok {
			return nil, fmt.Errorf("IDENTITY_TRUSTED_PROXIES: %q is neither a network such as 10.0.0.0/8, nor an address, nor the word none alone", text)
		}
		if !slices.Contains(proxies, network) {
			proxies = append(proxies, network)
		}
	}
	if insecure == "behind-proxy" && len(proxies) == 0 {
		return nil, errors.New("IDENTITY_INSECURE=behind-proxy needs IDENTITY_TRUSTED_PROXIES: the networks or addresses of the proxy, or none if it does not send X-Forwarded-For")
	}
	return proxies, nil
}

// proxyNetwork reads a network, or an address as the network that it alone is in.
func proxyNetwork(text string) (netip.Prefix, bool) {
	address, err := netip.ParseAddr(text)
	if err != nil || address.Zone() != "" {
		return contact.ParseNetwork(text)
	}
	address = address.Unmap()
	return netip.PrefixFrom(address, address.BitLen()), true
}
