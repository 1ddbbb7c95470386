package store

import (
	"encoding/base64"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// What payloads name is read again, whatever it is, and no payload is longer
// than PostgreSQL lets it be.
func TestPayloads_AreReadAgain(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, namedAtMost - 1, namedAtMost, namedAtMost + 1, 5000} {
		want := map[string]int64{}
		for range n {
			want[uuid.NewString()] = []int64{0, 1, 127, 128, math.MaxInt64, random.Int64()}[random.IntN(6)]
		}
		got, texts := map[string]int64{}, payloads(want)
		for _, text := range texts {
			if len(text) > payloadAtMost {
				t.Errorf("a payload of %d bytes", len(text))
			}
			last, err := parsePayload(text)
			if err != nil {
				t.Errorf("%q: %v", text, err)
			}
			for org, seq := range last {
				got[org] = seq
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if most := (n + namedAtMost - 1) / namedAtMost; len(texts) != most {
			t.Errorf("%d organizations take %d payloads, not %d", n, len(texts), most)
		}
	}
}

// Where not all can be named, none is.
func TestPayloads_AnyMayHaveChanged(t *testing.T) {
	for name, last := range map[string]map[string]int64{
		"none": nil, "no id": {"x": 1, uuid.NewString(): 1}, "no number": {uuid.NewString(): -1},
	} {
		if texts := payloads(last); len(texts) != 1 || texts[0] != "" {
			t.Errorf("%s: %q", name, texts)
		}
	}
}

// Payloads of others cannot be read: those of replicas from before ids were
// named, of later ones, and what is cut off.
func TestParsePayload_Unreadable(t *testing.T) {
	id := make([]byte, 16)
	encode := func(data ...byte) string { return payloadForm + base64.RawStdEncoding.EncodeToString(data) }
	for name, text := range map[string]string{
		"empty": "", "text": "hello", "another form": "2:" + encode(append(id, 1)...)[2:], "nothing named": payloadForm,
		"no base64": payloadForm + "!!!!", "padded": payloadForm + base64.StdEncoding.EncodeToString(append(id, 1)),
		"no number": encode(id...), "half an id": encode(append(append(id, 1), id[:8]...)...),
		"a number that does not end": encode(append(id, 0x80)...), "a number that is too large": encode(append(id, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1)...),
		"too long": payloadForm + strings.Repeat("A", payloadAtMost),
	} {
		if last, err := parsePayload(text); err == nil || last != nil {
			t.Errorf("%s: %v, %v", name, last, err)
		}
	}
}

func FuzzParsePayload(f *testing.F) {
	for _, text := range append(payloads(map[string]int64{uuid.NewString(): 1, uuid.NewString(): math.MaxInt64}), "", "1:", "1:AAAA", "x") {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		last, err := parsePayload(text)
		if (err == nil) != (len(last) > 0) {
			t.Fatalf("%v, %v", last, err)
		}
		if err != nil {
			return
		}
		again := map[string]int64{}
		for _, payload := range payloads(last) {
			part, err := parsePayload(payload)
			if err != nil {
				t.Fatal(err)
			}
			for org, seq := range part {
				again[org] = seq
			}
		}
		if diff := cmp.Diff(last, again); diff != "" {
			t.Fatal(diff)
		}
	})
}
