package secret_test

import (
	"regexp"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/bizmetry/identity/service/secret"
)

func TestDeviceToken(t *testing.T) {
	shape := regexp.MustCompile(`^bmd(_[0-9A-Za-z]{22}){3}_[0-9A-Za-z]{43}$`)
	rapid.Check(t, func(t *rapid.T) {
		old, both := mustRing(t, line(1)), mustRing(t, line(2), line(1))
		draw := func(name string) string {
			return uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, name)).String()
		}
		d := secret.Device{Org: draw("organization"), User: draw("user"), ID: draw("device")}
		text := secret.DeviceToken(old, d)
		if !shape.MatchString(text) {
			t.Fatalf("token %q", text)
		}
		if got, ok := secret.ParseDeviceToken(both, text); !ok || got != d {
			t.Fatalf("ParseDeviceToken = %v, %t", got, ok)
		}
		if _, ok := secret.ParseDeviceToken(mustRing(t, line(2)), text); ok {
			t.Fatal("a ring without the key takes the token")
		}
		at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		changed := []byte(text)
		changed[at] ^= 1
		if got, ok := secret.ParseDeviceToken(both, string(changed)); ok {
			t.Fatalf("%q is taken as %v", changed, got)
		}
	})
}

func FuzzParseDeviceToken(f *testing.F) {
	k := ring(f, line(1))
	f.Add(secret.DeviceToken(k, secret.Device{Org: id, User: id, ID: id}))
	f.Add("bmd_")
	f.Fuzz(func(t *testing.T, text string) {
		if d, ok := secret.ParseDeviceToken(k, text); ok && secret.DeviceToken(k, d) != text {
			t.Errorf("%q is another way to write %v", text, d)
		}
	})
}
