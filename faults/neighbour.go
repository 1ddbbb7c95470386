package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/metadata"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/rig"
	"github.com/bizmetry/identity/service/secret"
)

// Bounds of the noisy neighbour: what B may notice of A, and what the server may grow by.
const (
	noticeable = 50 * time.Millisecond // beyond twice what B is used to
	grownAtMax = 150 << 20
	pauseOfB   = 30 * time.Millisecond // between two calls of a kind
)

// Sources that the servers believe in, since this machine is their proxy.
const (
	sourceOfB = "198.51.100.7"
	sourceOfA = "203.0.113.7"
)

// neighbours are two organizations on one server: A misbehaves, B works.
type neighbours struct {
	*trial
	server  *server
	a, b    string
	quiet   *person   // administrator of B, whose token does most
	signing []*person // others of B, who sign in
	noisy   []*person // administrators of A
	machine *rig.Machine
	agent   *rig.Machine // of A
	turn    int          // of those who sign in
	http    *http.Client
}

// probe is something that B does all the time.
type probe struct {
	name string
	call func(context.Context) error
}

// noisyNeighbour has A, or a stranger, do one thing after the other that would cost
// others dearly, and measures what B notices.
func noisyNeighbour(ctx context.Context, t *trial) error {
	n, err := t.newNeighbours(ctx)
	if err != nil {
		return err
	}
	span := time.Duration(t.size) * time.Second
	usual, failed := n.measure(ctx, span)
	if failed != nil {
		return fmt.Errorf("without a neighbour: %w", failed)
	}
	for _, p := range n.probes() {
		t.note("B alone: %-10s %v", p.name, usual[p.name])
	}
	idle, err := residentMemory(n.server.proc.PID)
	if err != nil {
		return err
	}
	for _, attack := range n.attacks() {
		if err := n.endure(ctx, attack, span, usual, idle); err != nil {
			return fmt.Errorf("%s: %w", attack.name, err)
		}
	}
	return nil
}

// endure measures B while an attack goes on.
func (n *neighbours) endure(ctx context.Context, attack attack, span time.Duration, usual map[string]*times, idle int64) error {
	raid, stop := context.WithCancel(ctx)
	var attackers sync.WaitGroup
	defer attackers.Wait()
	defer stop()
	if err := attack.begin(raid, &attackers); err != nil {
		return err
	}
	time.Sleep(span / 4) // until it bites
	var most int64
	attackers.Go(func() { most = n.watchMemory(raid) })
	got, failed := n.measure(ctx, span)
	stop()
	attackers.Wait()
	if failed != nil {
		n.fail("%s: B was refused: %v", attack.name, failed)
	}
	var worst string
	for name, times := range got {
		bound := 2*usual[name].at(.99) + noticeable
		if p99 := times.at(.99); p99 > bound+n.slack {
			n.fail("%s: p99 of B's %s is %v, more than %v", attack.name, name, p99.Round(time.Millisecond), bound.Round(time.Millisecond))
		}
		worst += fmt.Sprintf(" %s %v", name, times.at(.99).Round(time.Millisecond))
	}
	if most-idle > grownAtMax {
		n.fail("%s: the server grew by %d MiB", attack.name, (most-idle)>>20)
	}
	n.note("%-28s +%d MiB, p99 of B:%s", attack.name, max(0, most-idle)>>20, worst)
	return nil
}

// probes are what B does.
func (n *neighbours) probes() []probe {
	return []probe{
		{"list", func(ctx context.Context) error {
			_, err := n.server.users.ListUsers(as(ctx, n.quiet.token, sourceOfB), &identityv1.ListUsersRequest{})
			return err
		}},
		{"get", func(ctx context.Context) error {
			_, err := n.server.users.GetUser(as(ctx, n.quiet.token, sourceOfB), &identityv1.GetUserRequest{Id: n.quiet.id})
			return err
		}},
		{"create", func(ctx context.Context) error {
			email, first, last := fmt.Sprintf("made%d@b.example", n.serial.Add(1)), "Made", "Person"
			_, err := n.server.users.CreateUser(as(ctx, n.quiet.token, sourceOfB), &identityv1.CreateUserRequest{
				User: &identityv1.User{Email: &email, FirstName: &first, LastName: &last, RoleIds: []string{rig.Developer}},
			})
			return err
		}},
		{"check", func(ctx context.Context) error {
			_, err := n.server.roles.CheckPermission(as(ctx, n.quiet.token, sourceOfB), &identityv1.CheckPermissionRequest{Permission: "platform.users.read"})
			return err
		}},
		{"token", n.token},
		{"sign-in", func(ctx context.Context) error {
			n.turn++
			p := n.signing[n.turn%len(n.signing)]
			return n.signIn(ctx, p.email, &p.device, sourceOfB)
		}},
	}
}

// token gets an access token as OAuth clients do.
func (n *neighbours) token(ctx context.Context) error {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {n.machine.ID}, "client_secret": {n.machine.Secret}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.server.proc.REST+"/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("X-Forwarded-For", sourceOfB)
	resp, err := n.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("/oauth2/token: %s", resp.Status)
	}
	return nil
}

// signIn signs in from a device, which it remembers.
func (n *neighbours) signIn(ctx context.Context, email string, device *string, source string) error {
	in, err := n.server.logins.SignIn(as(ctx, "", source), &identityv1.SignInRequest{Email: email, Password: rig.Password, DeviceToken: *device})
	if err == nil && in.GetDeviceToken() != "" {
		*device = in.GetDeviceToken()
	}
	return err
}

// measure has B do everything in turn for some time, and returns how long each took,
// and the first refusal.
func (n *neighbours) measure(ctx context.Context, span time.Duration) (map[string]*times, error) {
	var probes sync.WaitGroup
	var mu sync.Mutex
	var failed error
	all := map[string]*times{}
	end := time.Now().Add(span)
	for _, p := range n.probes() {
		took := &times{}
		all[p.name] = took
		probes.Go(func() {
			for time.Now().Before(end) && ctx.Err() == nil {
				begin := time.Now()
				one, cancel := context.WithTimeout(ctx, patience)
				err := p.call(one)
				cancel()
				took.add(time.Since(begin))
				if err != nil {
					mu.Lock()
					failed = errors.Join(failed, fmt.Errorf("%s: %w", p.name, err))
					mu.Unlock()
					return
				}
				time.Sleep(pauseOfB)
			}
		})
	}
	probes.Wait()
	return all, failed
}

// at is the duration that so many of all were within.
func (t *times) at(q float64) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.all) == 0 {
		return 0
	}
	slices.Sort(t.all)
	return t.all[min(int(math.Ceil(q*float64(len(t.all)))), len(t.all))-1]
}

// watchMemory returns the most that the server held until the context ends.
func (n *neighbours) watchMemory(ctx context.Context) (most int64) {
	for ctx.Err() == nil {
		if now, err := residentMemory(n.server.proc.PID); err == nil {
			most = max(most, now)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return most
}

// residentMemory is what a process holds, in bytes.
func residentMemory(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, errors.New("statm cannot be read")
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// as is a context of calls with a token ("": none) that come from a source.
func as(ctx context.Context, token, source string) context.Context {
	pairs := []string{"x-forwarded-for", source}
	if token != "" {
		pairs = append(pairs, "authorization", "Bearer "+token)
	}
	return metadata.NewOutgoingContext(ctx, metadata.Pairs(pairs...))
}

// newNeighbours makes both organizations. A has a million events in full.
func (t *trial) newNeighbours(ctx context.Context) (*neighbours, error) {
	n := &neighbours{trial: t, server: t.servers[0], http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 400}}}
	passwords, err := secret.NewPasswords(secret.PasswordsConfig{})
	if err != nil {
		return nil, err
	}
	hash, err := passwords.Hash(ctx, rig.Password)
	if err != nil {
		return nil, err
	}
	if n.a, n.noisy, err = n.newTenant(ctx, hash, 28); err != nil {
		return nil, err
	}
	var quiet []*person
	if n.b, quiet, err = n.newTenant(ctx, hash, 9); err != nil {
		return nil, err
	}
	n.quiet, n.signing = quiet[0], quiet[1:]
	if n.machine, err = t.newMachine(ctx, n.b, rig.Agent); err != nil {
		return nil, err
	}
	if n.agent, err = t.newMachine(ctx, n.a, rig.Agent); err != nil {
		return nil, err
	}
	return n, n.fill(ctx)
}

// newTenant makes an organization with administrators who can sign in and are.
func (n *neighbours) newTenant(ctx context.Context, hash string, administrators int) (string, []*person, error) {
	org, err := n.newOrganization(ctx)
	if err != nil {
		return "", nil, err
	}
	people := make([]*person, administrators)
	for i := range people {
		people[i] = n.draftPerson()
		people[i].hash = hash
	}
	if err := n.write(ctx, org, rig.SuperUser, people); err != nil {
		return "", nil, err
	}
	for _, p := range people {
		if err := p.signIn(ctx, n.server); err != nil {
			return "", nil, err
		}
	}
	return org, people, nil
}
