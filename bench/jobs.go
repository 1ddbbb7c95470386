package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"google.golang.org/grpc"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/rig"
)

// Names of the jobs that others, goals and the report refer to.
const (
	jobIssue     = "issue a token"
	jobKnown     = "introspect, known token"
	jobNew       = "introspect, new token"
	jobAuthorize = "authorize"
	jobHot       = "check, hot"
	jobCold      = "check, cold"
	jobGet       = "get user"
	jobGetREST   = "get user, REST"
	jobList      = "list 50 users"
	jobListREST  = "list 50 users, REST"
	jobDeep      = "list 50 users, deep"
	jobCreate    = "create user"
	jobPassword  = "create user with password"
)

// Calls of a round at each level, by what a call costs.
var (
	callsOfEcho   = [3]int{700, 2700, 2700}
	callsOfHTTP   = [3]int{500, 1300, 1300}
	callsOfNew    = [3]int{200, 500, 500}
	callsOfRow    = [3]int{240, 720, 720}
	callsOfPage   = [3]int{60, 160, 160}
	callsOfCreate = [3]int{40, 128, 128}
	callsOfHash   = [3]int{8, 48, 96}
)

// serviceJobs are those whose cost is the question.
func (b *bench) serviceJobs(conn *grpc.ClientConn) []*job {
	r := rpc{identityv1.NewRoleServiceClient(conn), identityv1.NewUserServiceClient(conn)}
	rest, pid := b.server.REST, b.server.PID
	user := func(n int) string { return b.users[n%len(b.users)].id }
	jobs := []*job{
		{name: jobIssue, calls: callsOfHTTP, floor: []string{floorToken, floorSign}, call: b.issue(rest)},
		{name: jobKnown, calls: callsOfHTTP, floor: []string{floorIntrospection}, call: b.introspect(rest, func(int) string { return b.agent.Token })},
		{name: jobNew, calls: callsOfNew, floor: []string{floorIntrospection, floorVerify}, call: b.introspect(rest, func(n int) string { return b.tokens[n%len(b.tokens)] })},
		{name: jobAuthorize, calls: callsOfEcho, floor: []string{floorAuthorize}, call: b.authorize(r)},
		{name: jobHot, calls: callsOfEcho, floor: []string{floorCheck}, call: b.check(r, func(int) string { return user(0) })},
		{name: jobCold, calls: callsOfRow, floor: []string{floorCheck, floorRow}, call: b.check(r, func(n int) string { return user(n + 1) })},
		{name: jobGet, calls: callsOfRow, floor: []string{floorUser, floorRow}, call: b.getUser(r, user)},
		{name: jobGetREST, calls: callsOfRow, floor: []string{jobGet}, call: b.get(rest+"/v1/users/", user)},
		{name: jobList, calls: callsOfPage, floor: []string{floorPage, floorRows}, call: b.list(r, "")},
		{name: jobListREST, calls: callsOfPage, floor: []string{jobList}, call: b.get(rest+"/v1/users", func(int) string { return "" })},
		{name: jobDeep, calls: callsOfPage, floor: []string{floorPage, floorRows}, call: b.list(r, b.deep)},
		{name: jobCreate, calls: callsOfCreate, floor: []string{floorUser, floorCreate}, call: b.create(r, "")},
		{name: jobPassword, calls: callsOfHash, floor: []string{floorUser, floorCreate, floorHash}, call: b.create(r, rig.Password)},
	}
	for _, j := range jobs {
		j.pid = pid
	}
	return jobs
}

// rpc calls the service, or the echo in its place.
type rpc struct {
	role identityv1.RoleServiceClient
	user identityv1.UserServiceClient
}

var errAnswer = errors.New("not the answer that was expected")

func (b *bench) check(r rpc, whom func(int) string) func(context.Context, int) error {
	return func(ctx context.Context, n int) error {
		resp, err := r.role.CheckPermission(rig.Bearing(ctx, b.checker.Token), &identityv1.CheckPermissionRequest{PrincipalId: whom(n), Permission: "templates.write"})
		return expected(err, resp.GetAllowed())
	}
}

func (b *bench) authorize(r rpc) func(context.Context, int) error {
	return func(ctx context.Context, _ int) error {
		resp, err := r.role.Authorize(rig.Bearing(ctx, b.checker.Token), &identityv1.AuthorizeRequest{AccessToken: b.agent.Token, Permission: "agents.report"})
		return expected(err, resp.GetAllowed())
	}
}

func (b *bench) getUser(r rpc, whom func(int) string) func(context.Context, int) error {
	return func(ctx context.Context, n int) error {
		resp, err := r.user.GetUser(rig.Bearing(ctx, b.admin.Token), &identityv1.GetUserRequest{Id: whom(n)})
		return expected(err, resp.GetId() != "")
	}
}

func (b *bench) list(r rpc, pageToken string) func(context.Context, int) error {
	return func(ctx context.Context, _ int) error {
		resp, err := r.user.ListUsers(rig.Bearing(ctx, b.admin.Token), &identityv1.ListUsersRequest{PageToken: pageToken})
		return expected(err, len(resp.GetUsers()) == 50)
	}
}

func (b *bench) create(r rpc, secret string) func(context.Context, int) error {
	return func(ctx context.Context, n int) error {
		resp, err := r.user.CreateUser(rig.Bearing(ctx, b.admin.Token), &identityv1.CreateUserRequest{User: newcomer("new", n, secret)})
		return expected(err, resp.GetId() != "")
	}
}

// newcomer is a person to be created, with a role and, unless it is "", a password.
func newcomer(prefix string, n int, secret string) *identityv1.User {
	email := fmt.Sprintf("%s.%06d.%d@customer.example", prefix, n, len(secret))
	first, last := firstNames[n%len(firstNames)], lastNames[n%len(lastNames)]
	u := &identityv1.User{Email: &email, FirstName: &first, LastName: &last, RoleIds: []string{rig.Developer}}
	if secret != "" {
		u.Password = &secret
	}
	return u
}

func (b *bench) issue(address string) func(context.Context, int) error {
	return func(ctx context.Context, _ int) error {
		return b.post(ctx, address+"/oauth2/token", b.agent, url.Values{"grant_type": {"client_credentials"}}, `"access_token":"`)
	}
}

func (b *bench) introspect(address string, token func(int) string) func(context.Context, int) error {
	return func(ctx context.Context, n int) error {
		return b.post(ctx, address+"/oauth2/introspect", b.checker, url.Values{"token": {token(n)}}, `"active":true`)
	}
}

func (b *bench) get(address string, id func(int) string) func(context.Context, int) error {
	return func(ctx context.Context, n int) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, address+id(n), nil)
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", "Bearer "+b.admin.Token)
		_, err = b.do(r, `"displayName":`)
		return err
	}
}

func (b *bench) post(ctx context.Context, address string, by *rig.Machine, form url.Values, want string) error {
	r, err := formRequest(ctx, address, by, form)
	if err != nil {
		return err
	}
	_, err = b.do(r, want)
	return err
}

func formRequest(ctx context.Context, address string, by *rig.Machine, form url.Values) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err == nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(by.ID, by.Secret)
	}
	return r, err
}

// do sends a request and reads the answer to its end, which must hold a text.
func (b *bench) do(r *http.Request, want string) ([]byte, error) {
	resp, err := b.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || !strings.Contains(string(body), want)) {
		err = fmt.Errorf("%s: %.200s", resp.Status, body)
	}
	return body, err
}

func expected(err error, good bool) error {
	if err == nil && !good {
		err = errAnswer
	}
	return err
}
