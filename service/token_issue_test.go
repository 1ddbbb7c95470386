package service_test

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// Tokens end at full seconds and never after their credential. None is issued that
// would live less than a second.
func TestIssueToken_LastSecond(t *testing.T) {
	w := servicetest.SQLite(t)
	m := w.NewMachine(w.Root, "", servicetest.MonitoringUser)
	end := w.Clock.Now().Truncate(time.Second).Add(10*time.Second + 500*time.Millisecond)
	c, err := w.Accounts.CreateCredential(w.As(w.Root), &identityv1.CreateCredentialRequest{
		ServiceAccountId: m.GetId(),
		Credential:       &identityv1.Credential{Expiration: &identityv1.Credential_ExpireTime{ExpireTime: timestamppb.New(end)}},
	})
	noError(t, err)
	for _, row := range []struct {
		left  time.Duration // of the credential
		lives time.Duration // 0: refused
	}{
		{2500 * time.Millisecond, 2 * time.Second},
		{1500 * time.Millisecond, time.Second},
		{1499 * time.Millisecond, 0},
		{time.Second, 0},
		{500 * time.Millisecond, 0},
		{time.Millisecond, 0},
		{0, 0},
	} {
		w.Clock.Add(end.Sub(w.Clock.Now()) - row.left)
		got, err := w.Accounts.IssueToken(t.Context(), &identityv1.IssueTokenRequest{ClientId: m.GetId(), ClientSecret: c.GetSecret()})
		if row.lives == 0 {
			servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_CREDENTIALS_INVALID)
			continue
		}
		if noError(t, err); got.GetExpireTime().AsTime().Sub(w.Clock.Now()) != row.lives {
			t.Errorf("%v before its end: until %v", row.left, got.GetExpireTime().AsTime())
		}
	}
}

// A session in its last second is over too.
func TestRefresh_LastSecond(t *testing.T) {
	w := servicetest.SQLite(t)
	p := w.NewPerson("")
	begun := w.Clock.Now()
	tokens := w.Tokens(p.GetEmail(), p.Password)
	for until := 12*time.Hour - time.Second; w.Clock.Now().Sub(begun) < until; {
		w.Clock.Add(min(25*time.Minute, until-w.Clock.Now().Sub(begun)))
		resp, err := w.Sessions.Refresh(t.Context(), &identityv1.RefreshRequest{RefreshToken: tokens.GetRefreshToken()})
		if tokens = resp.GetTokens(); err != nil {
			if left := 12*time.Hour - w.Clock.Now().Sub(begun); left > 2*time.Second {
				t.Fatalf("%v before the end: %v", left, err)
			}
			return
		}
		if lives := tokens.GetExpireTime().AsTime().Sub(w.Clock.Now()); lives < time.Second {
			t.Fatalf("a token lives %v", lives)
		}
	}
	w.Clock.Add(500 * time.Millisecond)
	_, err := w.Sessions.Refresh(t.Context(), &identityv1.RefreshRequest{RefreshToken: tokens.GetRefreshToken()})
	servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID)
}

// The gRPC twin of the token endpoint splits a scope as OAuth does.
func TestIssueToken_Scope(t *testing.T) {
	w := servicetest.SQLite(t)
	m := w.NewMachine(w.Root, "", servicetest.MonitoringUser)
	for scope, good := range map[string]bool{
		"": true, "agents.read": true, "agents.read profiles.read": true,
		"agents.read\tprofiles.read": false, "agents.read\u00a0profiles.read": false, "agents.read\nprofiles.read": false,
		"agents.read\u2003profiles.read": false, "agents.read  profiles.read": false, " agents.read": false, " ": false,
	} {
		_, err := w.Accounts.IssueToken(t.Context(), &identityv1.IssueTokenRequest{ClientId: m.GetId(), ClientSecret: m.Secret, Scope: scope})
		if good {
			noError(t, err)
			continue
		}
		servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_INVALID_SCOPE)
	}
}
