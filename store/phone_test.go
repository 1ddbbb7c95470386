package store_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/store/storetest"
)

const day = 24 * 3600 * 1_000_000

func TestSweep_PhoneVerificationsAfterADay(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		org := founded(t, s, 0)[0]
		add := func(created store.Micros) store.PhoneVerification {
			v := store.PhoneVerification{
				Org: org, ID: newID(), CallerOrg: org, Caller: newID(), Sealed: []byte("sealed"), Code: []byte("code"),
				Sends: 1, Sent: created, Expires: created + 100, Created: created,
			}
			noError(t, s.Short(t.Context(), func(tx *store.ShortTx) error { return tx.AddPhoneVerification(t.Context(), v) }))
			return v
		}
		old, fresh := add(1000), add(1001)
		noError(t, s.Sweep(t.Context(), 1001+day))
		if _, err := s.PhoneVerification(t.Context(), org, old.ID); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the old one: %v", err)
		}
		if got, err := s.PhoneVerification(t.Context(), org, fresh.ID); err != nil || string(got.Code) != "code" || got.Created != 1001 {
			t.Errorf("the fresh one: %+v, %v", got, err)
		}
	})
}

func TestPutRequest_ReplacesOnlyWhatIsTooOld(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		org, caller := founded(t, s, 0)[0], newID()
		put := func(method string, created store.Micros) error {
			return s.Short(t.Context(), func(tx *store.ShortTx) error {
				return tx.PutRequest(t.Context(), store.Request{
					Org: org, Principal: caller, ID: "one", Method: method, Content: []byte{1}, Response: []byte{}, Created: created,
				}, created-100)
			})
		}
		var group sync.WaitGroup
		var won atomic.Int64
		for range 16 {
			group.Go(func() {
				if err := put("first", 1000); err == nil {
					won.Add(1)
				} else if !errors.Is(err, store.ErrExists) {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if won.Load() != 1 {
			t.Errorf("%d of 16 at once got through, want 1", won.Load())
		}
		for _, r := range []struct {
			method  string
			created store.Micros
			want    error
		}{{"just before", 1100, store.ErrExists}, {"afterwards", 1101, nil}} {
			if err := put(r.method, r.created); !errors.Is(err, r.want) {
				t.Errorf("%s: %v, want %v", r.method, err, r.want)
			}
		}
		if q, err := s.Request(t.Context(), org, caller, "one", 0); err != nil || q.Method != "afterwards" {
			t.Errorf("%+v, %v", q, err)
		}
	})
}
