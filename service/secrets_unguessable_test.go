package service_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"math/big"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/service/servicetest"
)

// samples of each kind of identifier.
const samples = 100_000

// balance counts, for a lot of equally long texts of bits, how often each bit
// is set and how often it equals the one before.
type balance struct{ ones, same []int }

func (b *balance) add(bits []byte) {
	if b.ones == nil {
		b.ones, b.same = make([]int, 8*len(bits)), make([]int, 8*len(bits))
	}
	last := byte(0)
	for i := range b.ones {
		bit := bits[i/8] >> (7 - i%8) & 1
		b.ones[i] += int(bit)
		if i > 0 && bit == last {
			b.same[i]++
		}
		last = bit
	}
}

// check fails where a bit is further from a coin than chance explains: six
// standard deviations of a hundred thousand tosses are 949.
func (b *balance) check(t *testing.T, from int) {
	t.Helper()
	const far = 949
	for i := from; i < len(b.ones); i++ {
		if d := b.ones[i] - samples/2; d < -far || d > far {
			t.Errorf("bit %d is set in %d of %d", i, b.ones[i], samples)
		}
		if d := b.same[i] - samples/2; i > from && (d < -far || d > far) {
			t.Errorf("bit %d equals the one before in %d of %d", i, b.same[i], samples)
		}
	}
}

func bitsOf62(t *testing.T, text string) []byte {
	t.Helper()
	n, ok := new(big.Int).SetString(text, 62)
	if !ok {
		t.Fatalf("%q is not base62", text)
	}
	return n.FillBytes(make([]byte, 32))
}

// What must not be guessed is 256 bits that look like chance, none of them twice.
func TestUnguessable_SS03(t *testing.T) {
	w := servicetest.SQLite(t)
	id := func() string { // ids of sessions come from where those of requests do
		id, err := w.Service.Door.Serve(t.Context(), "/test", door.Origin{}, func(context.Context) error { return nil })
		noError(t, err)
		return id
	}
	makers := map[string]func(id string) string{
		"machine secrets": func(id string) string {
			text, _, err := secret.NewMachineSecret(rand.Reader, id)
			noError(t, err)
			return strings.Split(text, "_")[2]
		},
		"refresh tokens":          func(id string) string { return strings.Split(secret.RefreshToken(w.Ring, id, 1), "_")[3] },
		"refresh tokens in a row": nil, // of one session; below
	}
	one, generation := id(), int64(0)
	makers["refresh tokens in a row"] = func(string) string {
		generation++
		return strings.Split(secret.RefreshToken(w.Ring, one, generation), "_")[3]
	}
	ids := make([]string, samples)
	seen := make(map[string]bool, samples)
	var random balance
	for i := range ids {
		ids[i] = id()
		bits, err := hex.DecodeString(strings.ReplaceAll(ids[i], "-", ""))
		noError(t, err)
		random.add(bits[9:]) // behind time, version and variant
		if seen[ids[i]] {
			t.Fatalf("%s comes twice", ids[i])
		}
		seen[ids[i]] = true
	}
	random.check(t, 0)
	for kind, make := range makers {
		t.Run(kind, func(t *testing.T) {
			seen := map[string]bool{}
			var random balance
			for _, id := range ids {
				text := make(id)
				if len(text) != 43 || seen[text] {
					t.Fatalf("%q comes twice, or is short", text)
				}
				seen[text] = true
				random.add(bitsOf62(t, text))
			}
			random.check(t, 0)
		})
	}
}

// What lists and events show names a thing; it does not open it.
func TestUnguessable_SS03_IdsAreNoSecrets(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		org := w.NewOrg()
		admin := w.As(org.Admin.Token)
		tokens := w.Tokens(org.Admin.GetEmail(), org.Admin.Password)
		m := w.NewMachine(org.Admin.Token, "", servicetest.Agent)
		_, err := w.Sessions.SignOut(w.As(w.SignIn(org.Admin.GetEmail(), org.Admin.Password)), &identityv1.SignOutRequest{Id: "-"})
		noError(t, err)
		shown := ""
		for _, list := range []func() (interface{ String() string }, error){
			func() (interface{ String() string }, error) {
				return w.Accounts.ListCredentials(admin, &identityv1.ListCredentialsRequest{ServiceAccountId: m.GetId()})
			},
			func() (interface{ String() string }, error) {
				return w.Accounts.ListServiceAccounts(admin, &identityv1.ListServiceAccountsRequest{})
			},
			func() (interface{ String() string }, error) {
				return w.Users.ListUsers(admin, &identityv1.ListUsersRequest{})
			},
			func() (interface{ String() string }, error) {
				return w.Events.ListEvents(admin, &identityv1.ListEventsRequest{})
			},
		} {
			got, err := list()
			noError(t, err)
			shown += got.String()
		}
		if !strings.Contains(shown, m.Credential) {
			t.Error("the lists show no ids")
		}
		for rule, text := range map[string]string{
			"the machine's secret": strings.Split(m.Secret, "_")[2], "the whole of it": m.Secret,
			"a refresh token": strings.Split(tokens.GetRefreshToken(), "_")[3], "an access token": strings.Split(tokens.GetAccessToken(), ".")[2],
			"a password": org.Admin.Password, "a hash": "argon2",
		} {
			if strings.Contains(shown, text) {
				t.Errorf("the lists show %s", rule)
			}
		}
		_, err = w.Sessions.Refresh(t.Context(), &identityv1.RefreshRequest{RefreshToken: tokens.GetSessionId()})
		servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID)
		_, err = w.Accounts.IssueToken(t.Context(), &identityv1.IssueTokenRequest{ClientId: m.GetId(), ClientSecret: m.Credential})
		servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_CREDENTIALS_INVALID)
		refusedAlike(t, w, tokens.GetSessionId())
	})
}
