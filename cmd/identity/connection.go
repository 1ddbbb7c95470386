package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
)

// connection is shared by the commands that talk to the API.
type connection struct {
	Addr address `name:"addr" env:"IDENTITY_ADDR" default:"127.0.0.1:9090" placeholder:"HOST:PORT" help:"gRPC address of the service. TLS is used unless it is on this machine."`
}

// tokenEnv holds an access token, in place of those that login keeps.
const tokenEnv = "IDENTITY_TOKEN"

// callTime bounds a call; streams may take as long as they do.
const callTime = 30 * time.Second

func (c connection) dial() (*grpc.ClientConn, error) {
	security := credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12})
	if c.Addr.plain {
		security = insecure.NewCredentials()
	}
	return grpc.NewClient(c.Addr.hostPort, grpc.WithTransportCredentials(security))
}

// givenToken is the access token in the environment, as it comes out of a file or a header.
func givenToken() string {
	token := strings.TrimSpace(os.Getenv(tokenEnv))
	if scheme, text, two := strings.Cut(token, " "); two && strings.EqualFold(scheme, "bearer") {
		return strings.TrimSpace(text)
	}
	return token
}

// as runs a command's calls in the name of who signed in.
func (c connection) as(ctx context.Context, do func(context.Context, *grpc.ClientConn) error) error {
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	token := givenToken()
	if token == "" {
		if token, err = c.keptToken(ctx, conn); err != nil {
			return err
		}
	}
	return readable(do(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token), conn))
}

// kept are the tokens of one service, as they lie in the file.
type kept struct {
	Access  string    `json:"access_token"`
	Refresh string    `json:"refresh_token"`
	Expires time.Time `json:"expire_time"`
	Device  string    `json:"device_token,omitempty"`
}

// keptToken is the access token that login kept, renewed where it is about to end.
func (c connection) keptToken(ctx context.Context, conn *grpc.ClientConn) (string, error) {
	all, err := readKept()
	if err != nil {
		return "", err
	}
	mine, ok := all[c.Addr.hostPort]
	if !ok {
		return "", fmt.Errorf("not signed in to %s: run identity login, or set %s", c.Addr.hostPort, tokenEnv)
	}
	if time.Until(mine.Expires) > time.Minute {
		return mine.Access, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	resp, err := identityv1.NewSessionServiceClient(conn).Refresh(ctx, &identityv1.RefreshRequest{RefreshToken: mine.Refresh})
	if err != nil {
		return "", fmt.Errorf("the session cannot be renewed, run identity login: %w", readable(err))
	}
	return resp.GetTokens().GetAccessToken(), c.keep(resp.GetTokens(), mine.Device)
}

// keep writes tokens where only their owner reads them.
func (c connection) keep(t *identityv1.Tokens, device string) error {
	all, err := readKept()
	if err != nil {
		return err
	}
	all[c.Addr.hostPort] = kept{t.GetAccessToken(), t.GetRefreshToken(), t.GetExpireTime().AsTime(), device}
	return writeKept(all)
}

func keptFile() (string, error) {
	dir, err := os.UserConfigDir()
	return filepath.Join(dir, "identity", "tokens.json"), err
}

// readKept reads the tokens of all services, by address.
func readKept() (map[string]kept, error) {
	all := map[string]kept{}
	file, err := keptFile()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	if json.Unmarshal(text, &all) != nil {
		return nil, fmt.Errorf("%s cannot be read: remove it and run identity login", file)
	}
	return all, nil
}

// writeKept replaces the file in one step, so that a reader finds the old or
// the new one.
func writeKept(all map[string]kept) error {
	file, err := keptFile()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	text, err := json.MarshalIndent(all, "", "  ") //nolint:gosec // tokens are what this file is for
	if err != nil {
		return err
	}
	part, err := os.CreateTemp(filepath.Dir(file), "tokens-*") // made with 0600
	if err != nil {
		return err
	}
	_, err = part.Write(text)
	if err = errors.Join(err, part.Close()); err == nil {
		err = os.Rename(part.Name(), file)
	}
	if err != nil {
		_ = os.Remove(part.Name())
	}
	return err
}
