package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/rig"
)

// attack is one way to be a bad neighbour. begin starts it; it ends with the context.
type attack struct {
	name  string
	begin func(ctx context.Context, attackers *sync.WaitGroup) error
}

// attacks are all that is tried, in turn.
func (n *neighbours) attacks() []attack {
	return []attack{
		{"events by type", n.on(40, func(ctx context.Context, i int) { n.listEvents(ctx, n.noisy[i%4].token, "") })},
		{"through a platform service", n.on(40, func(ctx context.Context, _ int) { n.listEvents(ctx, n.root.Token, n.a) })},
		{"unfinished calls", n.unfinished},
		{"unfinished bodies", n.unfinishedBodies},
		{"right passwords", n.on(96, func(ctx context.Context, i int) {
			device := "" // of those whose tokens the other attacks do not need: too many sessions end the first
			_ = n.signIn(ctx, n.noisy[4+i%(len(n.noisy)-4)].email, &device, sourceOfA)
		})},
		{"unread pages", n.unreadPages},
		{"spent budgets", n.on(200, func(ctx context.Context, i int) {
			_, _ = n.server.users.CheckPassword(as(ctx, n.noisy[i%2].token, sourceOfA), &identityv1.CheckPasswordRequest{Password: "x"})
		})},
		{"wrong secrets from B's address", n.on(20, func(ctx context.Context, _ int) {
			_, _ = n.server.apps.IssueToken(as(ctx, "", sourceOfB), &identityv1.IssueTokenRequest{ClientId: n.agent.ID, ClientSecret: n.machine.Secret})
		})},
		{"refused calls", n.on(20, func(ctx context.Context, _ int) {
			_, _ = n.server.users.ListUsers(as(ctx, n.agent.Token, sourceOfA), &identityv1.ListUsersRequest{})
		})},
		{"many changes", n.on(20, func(ctx context.Context, i int) {
			email, first, last := fmt.Sprintf("made%d@a.example", n.serial.Add(1)), "Made", "Person"
			_, _ = n.server.users.CreateUser(as(ctx, n.noisy[i%4].token, sourceOfA), &identityv1.CreateUserRequest{
				User: &identityv1.User{Email: &email, FirstName: &first, LastName: &last, RoleIds: []string{rig.Developer}},
			})
		})},
		{"guesses at B's password", n.on(20, func(ctx context.Context, i int) {
			_, _ = n.server.logins.SignIn(as(ctx, "", fmt.Sprintf("192.0.2.%d", i)), &identityv1.SignInRequest{Email: n.signing[i%2].email, Password: "a wrong one"})
		})},
	}
}

// on has so many clients, each with a connection of its own where calls have some in
// flight, do something again and again.
func (n *neighbours) on(clients int, do func(ctx context.Context, i int)) func(context.Context, *sync.WaitGroup) error {
	return func(ctx context.Context, attackers *sync.WaitGroup) error {
		for i := range clients {
			attackers.Go(func() {
				for ctx.Err() == nil {
					do(ctx, i)
				}
			})
		}
		return nil
	}
}

// listEvents asks for events of a type that no event has: all would have to be looked at.
func (n *neighbours) listEvents(ctx context.Context, token, org string) {
	var page identityv1.ListEventsResponse
	_ = n.server.Invoke(as(ctx, token, sourceOfA), identityv1.EventService_ListEvents_FullMethodName, &identityv1.ListEventsRequest{
		OrganizationId: org, PageSize: 1000, Filter: &identityv1.ListEventsRequest_Filter{Type: new("role.deleted"), ActorId: new(n.noisy[0].id)},
	}, &page)
}

// unfinished begins calls that never send their message, half of them without a token.
func (n *neighbours) unfinished(ctx context.Context, attackers *sync.WaitGroup) error {
	for i := range 4 {
		conn, err := rig.Dial(n.server.proc.GRPC)
		if err != nil {
			return err
		}
		context.AfterFunc(ctx, func() { _ = conn.Close() })
		token := ""
		if i%2 == 0 {
			token = n.noisy[0].token
		}
		for range 100 {
			attackers.Go(func() {
				for ctx.Err() == nil {
					stream, err := conn.NewStream(as(ctx, token, sourceOfA), &grpc.StreamDesc{ClientStreams: true}, identityv1.UserService_CreateUser_FullMethodName)
					if err == nil {
						err = stream.RecvMsg(&identityv1.User{})
					}
					if err != nil {
						time.Sleep(100 * time.Millisecond)
					}
				}
			})
		}
	}
	return nil
}

// raw opens connections, sends something on each, and reads nothing.
func (n *neighbours) raw(ctx context.Context, attackers *sync.WaitGroup, connections int, send string) error {
	for range connections {
		attackers.Go(func() {
			for ctx.Err() == nil {
				conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", strings.TrimPrefix(n.server.proc.REST, "http://"))
				if err != nil {
					time.Sleep(100 * time.Millisecond)
					continue
				}
				_ = conn.SetWriteDeadline(time.Now().Add(patience))
				_, err = conn.Write([]byte(send))
				if err == nil { // it holds on for as long as it likes
					select {
					case <-ctx.Done():
					case <-time.After(patience):
					}
				} else {
					time.Sleep(100 * time.Millisecond)
				}
				_ = conn.Close()
			}
		})
	}
	return nil
}

// unfinishedBodies sends all but the last byte of a large body.
func (n *neighbours) unfinishedBodies(ctx context.Context, attackers *sync.WaitGroup) error {
	const size = 1 << 20
	return n.raw(ctx, attackers, 300, fmt.Sprintf("POST /v1/users HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: %s\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", sourceOfA, n.noisy[0].token, size, strings.Repeat(" ", size-1)))
}

// unreadPages asks for the largest pages there are, and does not read them.
func (n *neighbours) unreadPages(ctx context.Context, attackers *sync.WaitGroup) error {
	return n.raw(ctx, attackers, 150, fmt.Sprintf("%s /v1/users?pageSize=1000 HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: %s\r\nAuthorization: Bearer %s\r\n\r\n",
		http.MethodGet, sourceOfA, n.noisy[0].token))
}

// fill gives A a thousand users with every role that there is, and events.
func (n *neighbours) fill(ctx context.Context) error {
	people, err := n.newPeople(ctx, n.a, rig.Developer, 1000)
	if err != nil {
		return err
	}
	events := 1_000_000
	if n.slack > 0 {
		events = 50_000
	}
	for _, statement := range []struct {
		text string
		args []any
	}{
		{`INSERT INTO grants (organization_id, principal_id, role_id, create_time)
			SELECT $1, users.id, CAST(roles.id AS TEXT), 1 FROM users, roles
			WHERE users.organization_id = $1 AND users.display_name = 'A Person' AND NOT roles.platform_only ON CONFLICT DO NOTHING`, []any{n.a}},
		{
			`INSERT INTO events (organization_id, seq, time, type, actor_id, target_id)
			SELECT $1, event_seq + i, 1, 'user.updated', $2, $3 FROM organization_clock, generate_series(1, $4) AS i WHERE organization_id = $1`,
			[]any{n.a, n.noisy[0].id, people[0].id, events},
		},
		{`UPDATE organization_clock SET event_seq = event_seq + $2 WHERE organization_id = $1`, []any{n.a, events}},
		{`ANALYZE events`, nil},
	} {
		if _, err := n.db.ExecContext(ctx, statement.text, statement.args...); err != nil {
			return err
		}
	}
	return nil
}
