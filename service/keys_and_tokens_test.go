package service_test

import (
	"crypto/rand"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/keys"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store"
)

func keysOf(w *servicetest.World) keys.Keys {
	return keys.Keys{Store: w.Store, Ring: w.Ring, Now: w.Clock.Now, Rand: rand.Reader}
}

func TestKeys_Rotation(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		former := w.Root
		key, err := keysOf(w).Rotate(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		servicetest.Eventually(t, "the new key is published before it signs", func() bool { return len(w.Service.Authority.JWKS().Keys) == 2 })
		if key.Use.Time().Sub(w.Clock.Now()) != 2*keys.KeySetLife {
			t.Errorf("it signs from %v", key.Use.Time())
		}
		w.Clock.Add(2*keys.KeySetLife + time.Second)
		if _, err := w.Users.GetMe(w.As(former), &identityv1.GetMeRequest{}); err != nil {
			t.Errorf("a token of the former key: %v", err)
		}
		if _, err := w.Users.GetMe(w.As(w.SignIn(servicetest.RootEmail, servicetest.RootPassword)), &identityv1.GetMeRequest{}); err != nil {
			t.Errorf("a token of the new key: %v", err)
		}
	})
}

func TestKeys_RevokedKeyEndsItsTokens(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		keys, err := w.Store.SigningKeys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := keysOf(w).Revoke(t.Context(), keys[0].ID); err != nil {
			t.Fatal(err)
		}
		servicetest.Eventually(t, "tokens of the revoked key are refused", func() bool {
			_, err := w.Users.GetMe(w.As(w.Root), &identityv1.GetMeRequest{})
			return servicetest.Reason(err) == identityv1.Error_TOKEN_INVALID.String()
		})
		if _, err := w.Users.GetMe(w.As(w.SignIn(servicetest.RootEmail, servicetest.RootPassword)), &identityv1.GetMeRequest{}); err != nil {
			t.Errorf("a token of the key that took over: %v", err)
		}
		if err := keysOf(w).Revoke(t.Context(), keys[0].ID); err == nil {
			t.Error("a key is revoked twice")
		}
	})
}

// When the key that signs is revoked, the one that was published to follow it signs:
// verifiers have fetched it.
func TestKeys_RevokedKeyIsFollowedByThePublishedOne(t *testing.T) {
	for name, before := range map[string]int{"one follows": 1, "two follow": 2, "none follows": 0} {
		t.Run(name, func(t *testing.T) {
			servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
				rows := must[[]store.SigningKey](t)(w.Store.SigningKeys(t.Context()))
				old, next := rows[0].ID, ""
				for i := range before {
					key := must[store.SigningKey](t)(keysOf(w).Rotate(t.Context(), false))
					if w.Clock.Add(time.Minute); i == 0 {
						next = key.ID
					}
				}
				noError(t, keysOf(w).Revoke(t.Context(), old))
				rows = must[[]store.SigningKey](t)(w.Store.SigningKeys(t.Context()))
				signs := 0
				for _, row := range rows {
					if row.Use > store.At(w.Clock.Now()) {
						continue
					}
					if signs++; next != "" && row.ID != next {
						t.Errorf("%s signs, want %s", row.ID, next)
					}
				}
				if signs != 1 || len(rows) != max(before, 1) {
					t.Errorf("%d of %d keys sign", signs, len(rows))
				}
				servicetest.Eventually(t, "it signs", func() bool {
					header, _, _ := strings.Cut(w.SignIn(servicetest.RootEmail, servicetest.RootPassword), ".")
					text, err := base64.RawURLEncoding.DecodeString(header)
					return err == nil && (next == "" || strings.Contains(string(text), next)) && !strings.Contains(string(text), old)
				})
			})
		})
	}
}

func TestRevokeToken(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		org := w.NewOrg()
		m := w.NewMachine(org.Admin.Token, "", servicetest.Agent)
		one, other := w.Token(m, ""), w.Token(m, "")
		for range 2 { // twice is once
			if _, err := w.Accounts.RevokeToken(w.As(other), &identityv1.RevokeTokenRequest{Token: one}); err != nil {
				t.Fatal(err)
			}
		}
		_, err := w.Users.GetMe(w.As(one), &identityv1.GetMeRequest{})
		servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID)
		if _, err := w.Users.GetMe(w.As(other), &identityv1.GetMeRequest{}); err != nil {
			t.Errorf("another token of the same account: %v", err)
		}
		stranger := w.NewOrg()
		if _, err := w.Accounts.RevokeToken(w.As(stranger.Admin.Token), &identityv1.RevokeTokenRequest{Token: other}); err != nil {
			t.Errorf("a foreign token is passed over: %v", err)
		}
		if _, err := w.Users.GetMe(w.As(other), &identityv1.GetMeRequest{}); err != nil {
			t.Errorf("a stranger ended a token: %v", err)
		}
	})
}

func TestRevokeTokens(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		org := w.NewOrg()
		admin := w.As(org.Admin.Token)
		m := w.NewMachine(org.Admin.Token, "", servicetest.Agent)
		for _, req := range []*identityv1.RevokeTokensRequest{
			{Id: m.GetId()},
			{Id: m.GetId(), Only: &identityv1.RevokeTokensRequest_CredentialId{CredentialId: m.Credential}},
		} {
			token := w.Token(m, "")
			if _, err := w.Accounts.RevokeTokens(admin, req); err != nil {
				t.Fatal(err)
			}
			_, err := w.Users.GetMe(w.As(token), &identityv1.GetMeRequest{})
			servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID)
			w.Clock.Add(2 * time.Millisecond)
			if _, err := w.Users.GetMe(w.As(w.Token(m, "")), &identityv1.GetMeRequest{}); err != nil {
				t.Errorf("a new token after %v: %v", req, err)
			}
		}
	})
}

// Who calls ends one's own tokens without the permission to end those of others,
// and only one's own.
func TestRevokeTokens_OfOneself(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		org := w.NewOrg()
		other := w.NewPerson(org.GetId(), servicetest.MonitoringUser)
		person := w.NewPerson(org.GetId(), servicetest.MonitoringUser)
		m := w.NewMachine(org.Admin.Token, "", servicetest.Agent)
		machine := w.Token(m, "")
		for _, row := range []struct{ rule, token, id, reason string }{
			{"a user about another", person.Token, other.GetId(), "PERMISSION_DENIED"},
			{"a machine about a user", machine, person.GetId(), "PERMISSION_DENIED"},
			{"a user about oneself", person.Token, person.GetId(), ""},
			{"again", person.Token, person.GetId(), "TOKEN_INVALID"},
			{"a machine about itself", machine, m.GetId(), ""},
			{"again", machine, m.GetId(), "TOKEN_INVALID"},
		} {
			_, err := w.Accounts.RevokeTokens(w.As(row.token), &identityv1.RevokeTokensRequest{Id: row.id})
			if reason := servicetest.Reason(err); reason != row.reason {
				t.Errorf("%s: %v, want %s", row.rule, err, row.reason)
			}
		}
		if _, err := w.Users.GetMe(w.As(other.Token), &identityv1.GetMeRequest{}); err != nil {
			t.Errorf("the other's token: %v", err)
		}
	})
}

func TestAuthorize(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		org, other := w.NewOrg(), w.NewOrg()
		m := w.NewMachine(org.Admin.Token, "", servicetest.Agent)
		anywhere := holder(t, w, "", "system.access.check").Token
		for _, row := range []struct {
			rule       string
			caller     string
			token, key string
			org        string
			want       bool
		}{
			{"granted", org.Admin.Token, w.Token(m, ""), "agents.report", "", true},
			{"not granted", org.Admin.Token, w.Token(m, ""), "agents.deploy", "", false},
			{"narrowed by scope", org.Admin.Token, w.Token(m, "profiles.read"), "agents.report", "", false},
			{"a token of another organization", other.Admin.Token, w.Token(m, ""), "agents.report", "", false},
			{"a thing of another organization", w.Root, w.Token(m, ""), "agents.report", other.GetId(), false},
			{"asked by the platform", w.Root, w.Token(m, ""), "agents.report", org.GetId(), true},
			{"the platform acts in organizations", w.Root, w.Root, "profiles.read", org.GetId(), true},
			{"the key for other organizations alone", anywhere, w.Token(m, ""), "agents.report", org.GetId(), true},
			{"the key for other organizations alone, not granted", anywhere, w.Token(m, ""), "agents.deploy", org.GetId(), false},
			{"the key for other organizations implies the own", anywhere, w.Root, "profiles.read", "", true},
			{"garbage", org.Admin.Token, "garbage", "agents.report", "", false},
		} {
			resp, err := w.Roles.Authorize(w.As(row.caller), &identityv1.AuthorizeRequest{
				AccessToken: row.token, Permission: row.key, OrganizationId: row.org,
			})
			if err != nil || resp.GetAllowed() != row.want {
				t.Errorf("%s: %v, %v, want %v", row.rule, resp, err, row.want)
			}
		}
	})
}

func TestBatchCheck(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		org := w.NewOrg()
		m := w.NewMachine(org.Admin.Token, "", servicetest.Agent)
		stranger := w.NewMachine(w.NewOrg().Admin.Token, "", servicetest.Agent)
		ask := func(ids ...string) *identityv1.BatchCheckPermissionsRequest {
			req := &identityv1.BatchCheckPermissionsRequest{}
			for _, id := range ids {
				req.Checks = append(req.Checks, &identityv1.BatchCheckPermissionsRequest_Check{PrincipalId: id, Permission: "agents.report"})
			}
			return req
		}
		resp, err := w.Roles.BatchCheckPermissions(w.As(org.Admin.Token), ask(m.GetId(), "", org.Admin.GetId()))
		if err != nil || len(resp.GetAllowed()) != 3 || !resp.GetAllowed()[0] || !resp.GetAllowed()[2] {
			t.Errorf("%v, %v", resp, err)
		}
		token := w.Token(m, "")
		if resp, err = w.Roles.BatchCheckPermissions(w.As(token), ask("", m.GetId())); err != nil || !resp.GetAllowed()[1] {
			t.Errorf("about itself: %v, %v", resp, err)
		}
		_, err = w.Roles.BatchCheckPermissions(w.As(token), ask("", m.GetId(), org.Admin.GetId()))
		servicetest.Refused(t, err, codes.PermissionDenied, identityv1.Error_PERMISSION_DENIED)
		_, err = w.Roles.BatchCheckPermissions(w.As(org.Admin.Token), ask("", m.GetId(), stranger.GetId()))
		servicetest.Refused(t, err, codes.NotFound, identityv1.Error_NOT_FOUND)
		many := make([]string, 1001)
		_, err = w.Roles.BatchCheckPermissions(w.As(token), ask(many...))
		servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_INVALID_FIELDS)
	})
}

// A rotation in a hurry while another key waits for its time: every key lasts
// until the tokens are over that it can sign.
func TestKeys_RotateNowWhileOneWaits(t *testing.T) {
	w := servicetest.SQLite(t)
	for _, atOnce := range []bool{false, true} {
		if _, err := keysOf(w).Rotate(t.Context(), atOnce); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := w.Store.SigningKeys(t.Context())
	if err != nil || len(rows) != 3 {
		t.Fatalf("%d keys, %v", len(rows), err)
	}
	slices.SortFunc(rows, func(a, b store.SigningKey) int { return int(a.Use - b.Use) })
	for i, row := range rows[:2] {
		if end := rows[i+1].Use.Time().Add(time.Hour); row.Expires == 0 || row.Expires.Time().Before(end) {
			t.Errorf("key %d ends %v, before its tokens at %v", i, row.Expires.Time(), end)
		}
	}
	if rows[2].Expires != 0 {
		t.Error("the last key ends")
	}
	if err := keysOf(w).Revoke(t.Context(), rows[2].ID); err != nil {
		t.Fatal(err)
	}
	if rows, err = w.Store.SigningKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(rows, func(k store.SigningKey) bool { return k.Expires == 0 }) {
		t.Error("after the one that waited is revoked, every key ends")
	}
}
