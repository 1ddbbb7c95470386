package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
)

// answers are those of the service, to be repeated by servers that do nothing
// else: messages in wire format, bodies and headers.
type answers struct {
	Check, Authorize, User, Page []byte
	Metadata                     metadata.MD

	Token         tokenBody
	Introspection introspectionBody
	Header        http.Header
}

// tokenBody is the answer of RFC 6749 section 5.1.
type tokenBody struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in"`
}

// introspectionBody is the answer of RFC 7662 section 2.2 for a machine.
type introspectionBody struct {
	Active        bool     `json:"active"`
	ClientID      string   `json:"client_id"`
	TokenType     string   `json:"token_type"`
	Expires       int64    `json:"exp"`
	Issued        int64    `json:"iat"`
	Subject       string   `json:"sub"`
	Audience      []string `json:"aud"`
	Issuer        string   `json:"iss"`
	ID            string   `json:"jti"`
	Organization  string   `json:"org"`
	PrincipalType string   `json:"principal_type"`
	Credential    string   `json:"cred"`
}

// echo implements the methods that floors are needed for.
type echo struct {
	identityv1.UnimplementedRoleServiceServer
	identityv1.UnimplementedUserServiceServer
	recorded  answers
	check     identityv1.CheckPermissionResponse
	authorize identityv1.AuthorizeResponse
	user      identityv1.User
	page      identityv1.ListUsersResponse
}

// serveEcho runs in a process of its own, until it is ended.
func serveEcho(ctx context.Context, in io.Reader, out io.Writer) error {
	var e echo
	if err := json.NewDecoder(in).Decode(&e.recorded); err != nil {
		return err
	}
	for _, part := range []struct {
		from []byte
		to   proto.Message
	}{{e.recorded.Check, &e.check}, {e.recorded.Authorize, &e.authorize}, {e.recorded.User, &e.user}, {e.recorded.Page, &e.page}} {
		if err := proto.Unmarshal(part.from, part.to); err != nil {
			return err
		}
	}
	var ports [2]net.Listener
	for i := range ports {
		var err error
		if ports[i], err = (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
			return err
		}
	}
	server := grpc.NewServer()
	identityv1.RegisterRoleServiceServer(server, &e)
	identityv1.RegisterUserServiceServer(server, &e)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oauth2/token", func(w http.ResponseWriter, r *http.Request) { e.answer(w, r, &e.recorded.Token) })
	mux.HandleFunc("POST /oauth2/introspect", func(w http.ResponseWriter, r *http.Request) { e.answer(w, r, &e.recorded.Introspection) })
	failed := make(chan error, 2)
	go func() { failed <- server.Serve(ports[0]) }()
	go func() { failed <- http.Serve(ports[1], mux) }() //nolint:gosec // no limits: it is the least that can be
	_, _ = fmt.Fprintf(out, "gRPC %s\nREST http://%s\nready\n", ports[0].Addr(), ports[1].Addr())
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

func (e *echo) answer(w http.ResponseWriter, r *http.Request, body any) {
	if r.ParseForm() != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	text, err := json.Marshal(body)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	for name, values := range e.recorded.Header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text)
}

// CheckPermission does nothing, as all the others.
func (e *echo) CheckPermission(ctx context.Context, _ *identityv1.CheckPermissionRequest) (*identityv1.CheckPermissionResponse, error) {
	return &e.check, grpc.SetHeader(ctx, e.recorded.Metadata)
}

// Authorize does nothing.
func (e *echo) Authorize(ctx context.Context, _ *identityv1.AuthorizeRequest) (*identityv1.AuthorizeResponse, error) {
	return &e.authorize, grpc.SetHeader(ctx, e.recorded.Metadata)
}

// GetUser does nothing.
func (e *echo) GetUser(ctx context.Context, _ *identityv1.GetUserRequest) (*identityv1.User, error) {
	return &e.user, grpc.SetHeader(ctx, e.recorded.Metadata)
}

// ListUsers does nothing.
func (e *echo) ListUsers(ctx context.Context, _ *identityv1.ListUsersRequest) (*identityv1.ListUsersResponse, error) {
	return &e.page, grpc.SetHeader(ctx, e.recorded.Metadata)
}

// CreateUser does nothing.
func (e *echo) CreateUser(ctx context.Context, _ *identityv1.CreateUserRequest) (*identityv1.User, error) {
	return &e.user, grpc.SetHeader(ctx, e.recorded.Metadata)
}
