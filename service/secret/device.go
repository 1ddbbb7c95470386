package secret

import "strings"

// Device is what a device token says: which device, of which user.
type Device struct{ Org, User, ID string }

// A device token is bmd_<organization>_<user>_<device>_<MAC>, the ids in
// base62. It says that this user fully signed in on this device once.
const (
	devicePrefix  = "bmd_"
	devicePurpose = "device"
	deviceSize    = len(devicePrefix) + 3*(uuidWidth+1) + keyWidth
)

// DeviceToken writes the token of a device. An id that is no UUID is a mistake of
// the program and panics.
func DeviceToken(ring *KeyRing, d Device) string {
	text := devicePrefix
	for _, id := range []string{d.Org, d.User, d.ID} {
		short, ok := idToBase62(id)
		if !ok {
			panic("secret: DeviceToken needs UUIDs")
		}
		text += short + "_"
	}
	mac := ring.MAC(devicePurpose, d.Org, d.User, d.ID)
	return text + toBase62(mac[:], keyWidth)
}

// ParseDeviceToken tells what a token says that this ring made. ok says that it is
// genuine, not that the device still counts.
func ParseDeviceToken(ring *KeyRing, text string) (d Device, ok bool) {
	rest, ok := strings.CutPrefix(text, devicePrefix)
	parts := strings.Split(rest, "_")
	if !ok || len(text) != deviceSize || len(parts) != 4 {
		return Device{}, false
	}
	for i, id := range []*string{&d.Org, &d.User, &d.ID} {
		if len(parts[i]) != uuidWidth {
			return Device{}, false
		}
		if *id, ok = idFromBase62(parts[i]); !ok {
			return Device{}, false
		}
	}
	mac, ok := fromBase62(parts[3], 32)
	if !ok || !ring.VerifyMAC(devicePurpose, mac, d.Org, d.User, d.ID) {
		return Device{}, false
	}
	return d, true
}
