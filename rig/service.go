package rig

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
)

// Built-in roles, by the migration that makes them.
const (
	SuperUser        = "00000000-0000-7000-8000-000000000001"
	Developer        = "00000000-0000-7000-8000-000000000006"
	Agent            = "00000000-0000-7000-8000-000000000009"
	Integration      = "00000000-0000-7000-8000-000000000011"
	PlatformOperator = "00000000-0000-7000-8000-000000000012"
)

// What the first administrator signs in with, and every other person whom a
// rig makes.
const (
	Founder  = "founder@example.com"
	Password = "Plum!Harbour_93?quartz" //nolint:gosec // of a database that lives for minutes
)

// NewFolder makes a folder for a run. It lies in /tmp whatever TMPDIR says: the
// path of a socket is short, and the user that the database runs as must be
// able to reach it.
func NewFolder(name string) (string, error) {
	folder, err := os.MkdirTemp("/tmp", "identity-"+name+"-")
	if err != nil {
		return "", err
	}
	return folder, os.Chmod(folder, 0o711) //nolint:gosec // as above
}

// Build builds the service into a folder, with flags for the compiler, and
// returns the path of the binary.
func Build(ctx context.Context, folder, name string, flags ...string) (string, error) {
	program := filepath.Join(folder, name)
	args := append([]string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", program}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/identity")...) //nolint:gosec // ours
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return program, nil
}

// Prepare does what an operator does before serving: a key, migrate and
// bootstrap. It returns the environment of the service.
func Prepare(ctx context.Context, folder, program, database string) (env []string, err error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	keyFile := filepath.Join(folder, "master.key")
	if err := os.WriteFile(keyFile, []byte(base64.StdEncoding.EncodeToString(key)+"\n"), 0o600); err != nil {
		return nil, err
	}
	env = []string{
		"IDENTITY_DATABASE_URL=" + database, "IDENTITY_MASTER_KEY_FILE=" + keyFile, "IDENTITY_BOOTSTRAP_PASSWORD=" + Password,
		"IDENTITY_SMTP_URL=file:" + filepath.Join(folder, "mail"), "IDENTITY_SMS_URL=file:" + filepath.Join(folder, "sms"),
	}
	for _, name := range []string{"mail", "sms"} {
		if err := os.MkdirAll(filepath.Join(folder, name), 0o700); err != nil {
			return nil, err
		}
	}
	if _, err := Call(ctx, env, nil, program, "migrate"); err != nil {
		return nil, err
	}
	_, err = Call(ctx, env, nil, program, "bootstrap", "--email", Founder)
	return env, err
}

// Dial makes a client of a gRPC port on this machine.
func Dial(addr string, options ...grpc.DialOption) (*grpc.ClientConn, error) {
	return grpc.NewClient(addr, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
}

// Bearing is a context of calls with this token, and with no other.
func Bearing(ctx context.Context, token string) context.Context {
	return metadata.NewOutgoingContext(ctx, metadata.Pairs("authorization", "Bearer "+token))
}

// SignIn returns a context of calls as the first administrator.
func SignIn(ctx context.Context, conn *grpc.ClientConn) (context.Context, error) {
	in, err := identityv1.NewSessionServiceClient(conn).SignIn(ctx, &identityv1.SignInRequest{Email: Founder, Password: Password})
	return Bearing(ctx, in.GetTokens().GetAccessToken()), err
}

// NewOrganization makes a customer and returns its id.
func NewOrganization(ctx context.Context, conn *grpc.ClientConn, name, mailbox string) (string, error) {
	email, first, last, secret := mailbox+"@example.com", "First", "Administrator", Password
	made, err := identityv1.NewOrganizationServiceClient(conn).CreateOrganization(ctx, &identityv1.CreateOrganizationRequest{
		Organization:  &identityv1.Organization{DisplayName: &name},
		Administrator: &identityv1.User{Email: &email, FirstName: &first, LastName: &last, Password: &secret},
	})
	return made.GetOrganization().GetId(), err
}

// Machine is a service account with its secret and a token of it.
type Machine struct{ ID, Credential, Secret, Token string }

// NewMachine makes a service account in an organization ("": the caller's own).
func NewMachine(ctx context.Context, conn *grpc.ClientConn, org, name string, roles ...string) (*Machine, error) {
	client := identityv1.NewServiceAccountServiceClient(conn)
	account, err := client.CreateServiceAccount(ctx, &identityv1.CreateServiceAccountRequest{
		OrganizationId: org, ServiceAccount: &identityv1.ServiceAccount{DisplayName: &name, RoleIds: roles},
	})
	if err != nil {
		return nil, err
	}
	made, err := client.CreateCredential(ctx, &identityv1.CreateCredentialRequest{OrganizationId: org, ServiceAccountId: account.GetId()})
	if err != nil {
		return nil, err
	}
	m := &Machine{ID: account.GetId(), Credential: made.GetCredential().GetId(), Secret: made.GetSecret()}
	m.Token, err = m.NewToken(ctx, client)
	return m, err
}

// NewToken issues a token by the secret.
func (m *Machine) NewToken(ctx context.Context, client identityv1.ServiceAccountServiceClient) (string, error) {
	issued, err := client.IssueToken(ctx, &identityv1.IssueTokenRequest{ClientId: m.ID, ClientSecret: m.Secret})
	return issued.GetAccessToken(), err
}
