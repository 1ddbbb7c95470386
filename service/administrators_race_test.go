package service_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store"
)

// The size of the race, on each database.
const (
	raceRounds  = 1000 / slowdown // of all tracks
	raceCallers = 16
	raceTracks  = 4 // organizations raced at the same time
)

// raceDoor is one way to lose an administrator.
type raceDoor func(ctx context.Context, w *servicetest.World, org, target, unique string) error

var raceDoors = []raceDoor{
	func(ctx context.Context, w *servicetest.World, org, id, _ string) error {
		_, err := w.Users.DisableUser(ctx, &identityv1.DisableUserRequest{OrganizationId: org, Id: id})
		return err
	},
	func(ctx context.Context, w *servicetest.World, org, id, _ string) error {
		_, err := w.Users.DeleteUser(ctx, &identityv1.DeleteUserRequest{OrganizationId: org, Id: id})
		return err
	},
	func(ctx context.Context, w *servicetest.World, org, id, _ string) error {
		_, err := w.Roles.RevokeRoles(ctx, &identityv1.RevokeRolesRequest{OrganizationId: org, Id: id, RoleIds: []string{servicetest.SuperUser}})
		return err
	},
	func(ctx context.Context, w *servicetest.World, org, id, _ string) error {
		return patch(ctx, w, org, &identityv1.User{Id: id, RoleIds: []string{servicetest.MonitoringUser}}, "role_ids")
	},
	func(ctx context.Context, w *servicetest.World, org, id, _ string) error {
		_, err := w.Roles.GrantRoles(ctx, &identityv1.GrantRolesRequest{
			OrganizationId: org, Id: id, RoleIds: []string{servicetest.SuperUser},
			Expiration: &identityv1.GrantRolesRequest_Ttl{Ttl: durationpb.New(time.Hour)},
		})
		return err
	},
	func(ctx context.Context, w *servicetest.World, org, _, _ string) error {
		_, err := disableAll(ctx, w, org, &filter{RoleId: new(servicetest.SuperUser)})
		return err
	},
	func(ctx context.Context, w *servicetest.World, org, id, _ string) error {
		_, err := w.Users.EraseUser(ctx, &identityv1.EraseUserRequest{OrganizationId: org, Id: id})
		return err
	},
	func(ctx context.Context, w *servicetest.World, org, id, unique string) error { // un-confirms, unless root does it
		return patch(ctx, w, org, &identityv1.User{Id: id, Email: ptr(unique + "@moved.test"), CurrentPassword: ptr(servicetest.RootPassword)}, "email")
	},
	func(ctx context.Context, w *servicetest.World, org, id, _ string) error { // ends what the person began
		return patch(ctx, w, org, &identityv1.User{Id: id, Password: ptr(servicetest.InitialPassword), CurrentPassword: ptr(servicetest.RootPassword)}, "password")
	},
	func(ctx context.Context, w *servicetest.World, org, id, _ string) error { // the last one: only root may
		return patch(ctx, w, org, &identityv1.User{Id: id, Confirmed: ptr(false)}, "confirmed")
	},
}

func patch(ctx context.Context, w *servicetest.World, org string, u *identityv1.User, paths ...string) error {
	_, err := w.Users.UpdateUser(ctx, &identityv1.UpdateUserRequest{
		OrganizationId: org, User: u, UpdateMask: &fieldmaskpb.FieldMask{Paths: paths},
	})
	return err
}

// raceAnswers are all that a caller may be told: done, or one of these.
var raceAnswers = map[string]bool{
	"": true, "LAST_ADMINISTRATOR": true, "TOKEN_INVALID": true, "PERMISSION_DENIED": true, "NOT_FOUND": true,
	"GRANT_EXCEEDS_OWN": true,
	"RATE_LIMITED":      true, // many give their present password at once
	"UNAVAILABLE":       true, // the wait for the lock took longer than lock_timeout, on a slow machine
}

// Sixteen callers at a time remove the administrators of one organization
// through every door and through two replicas: there is always one left.
func TestAdministrators_AC08_Race(t *testing.T) {
	eachURL(t, func(t *testing.T, url string) {
		w := servicetest.New(t, url)
		doors := []*servicetest.World{w}
		if !store.Embedded(url) {
			doors = append(doors, replica(t, w, url))
		}
		var wg sync.WaitGroup
		tracks := make([]*track, raceTracks)
		for i := range tracks {
			tracks[i] = &track{w: w, doors: doors, org: w.NewOrg().GetId(), size: 2 + i%3, said: map[string]int{}, rand: rand.New(rand.NewPCG(uint64(i), 8))}
			wg.Go(func() { tracks[i].run(t) })
		}
		wg.Wait()
		said, rounds := map[string]int{}, 0
		for _, tr := range tracks {
			rounds += tr.rounds
			for reason, n := range tr.said {
				said[reason] += n
			}
			if _, err := trail(t.Context(), w.Store, tr.org); err != nil {
				t.Error(err)
			}
		}
		t.Logf("%d rounds of %d callers: %v", rounds, raceCallers, said)
		if !t.Failed() && (rounds != raceRounds || said["LAST_ADMINISTRATOR"] == 0 || said[""] < rounds) {
			t.Error("the race was not run")
		}
	})
}

// track races the administrators of one organization, round after round.
type track struct {
	w      *servicetest.World
	doors  []*servicetest.World
	org    string
	size   int // administrators at the beginning of a round
	rand   *rand.Rand
	rounds int
	mu     sync.Mutex
	said   map[string]int
	admins []racer
}

type racer struct {
	store.User
	token string
}

// signIn gives a new token to a person; one who was given another password replaces it.
func (tr *track) signIn(u store.User) string {
	if u.PasswordInitial {
		return tr.w.Begin(u.Email, servicetest.InitialPassword, servicetest.RootPassword).GetAccessToken()
	}
	return tr.w.SignIn(u.Email, servicetest.RootPassword)
}

func (tr *track) run(t *testing.T) {
	for round := range raceRounds / raceTracks {
		if !tr.repair(t) {
			return
		}
		tr.race(t, round)
		n, err := administratorsOf(t.Context(), tr.w.Store, tr.org)
		if err != nil || n == 0 {
			t.Errorf("round %d left %d administrators, %v", round, n, err)
			return
		}
		tr.rounds++
	}
}

// race lets all callers go at once. One in eight is the platform's
// administrator, the others those of the organization.
func (tr *track) race(t *testing.T, round int) {
	start := make(chan struct{})
	var wg sync.WaitGroup
	for n := range raceCallers {
		actor, doors := tr.w.Root, raceDoors
		if n%8 != 0 {
			actor, doors = tr.admins[tr.rand.IntN(len(tr.admins))].token, raceDoors[:len(raceDoors)-1]
		}
		target, door := tr.admins[tr.rand.IntN(len(tr.admins))].ID, doors[tr.rand.IntN(len(doors))]
		through := tr.doors[n%len(tr.doors)]
		unique := fmt.Sprintf("r%d-%d-%s", round, n, tr.org)
		wg.Go(func() {
			<-start
			reason := servicetest.Reason(door(through.As(actor), through, tr.org, target, unique))
			tr.mu.Lock()
			defer tr.mu.Unlock()
			tr.said[reason]++
			if !raceAnswers[reason] {
				t.Errorf("round %d: a loser was told %s", round, reason)
			}
		})
	}
	close(start)
	wg.Wait()
}

// repair makes the organization have its administrators again, signed in.
func (tr *track) repair(t *testing.T) bool {
	users, grants, err := people(t.Context(), tr.w.Store, tr.org)
	if err != nil {
		t.Error(err)
		return false
	}
	former := map[string]racer{}
	for _, r := range tr.admins {
		former[r.ID] = r
	}
	tr.admins = nil
	for _, u := range users {
		r, known := former[u.ID]
		if !administers(u, grants[u.ID]) {
			if err := tr.reinstate(u); err != nil {
				t.Errorf("reinstate: %v", err)
				return false
			}
		}
		if !known || r.Epoch != u.Epoch {
			r.token = tr.signIn(u)
		}
		r.User = u
		tr.admins = append(tr.admins, r)
	}
	for len(tr.admins) < tr.size {
		u := tr.w.NewPerson(tr.org, servicetest.SuperUser)
		row, err := tr.w.Store.User(t.Context(), tr.org, u.GetId())
		if err != nil {
			t.Error(err)
			return false
		}
		tr.admins = append(tr.admins, racer{row, u.Token})
	}
	return true
}

func (tr *track) reinstate(u store.User) error {
	root := tr.w.As(tr.w.Root)
	if !u.Enabled {
		if _, err := tr.w.Users.EnableUser(root, &identityv1.EnableUserRequest{OrganizationId: tr.org, Id: u.ID}); err != nil {
			return err
		}
	}
	if !u.Confirmed {
		if err := patch(root, tr.w, tr.org, &identityv1.User{Id: u.ID, Confirmed: ptr(true)}, "confirmed"); err != nil {
			return err
		}
	}
	_, err := tr.w.Roles.GrantRoles(root, &identityv1.GrantRolesRequest{OrganizationId: tr.org, Id: u.ID, RoleIds: []string{servicetest.SuperUser}})
	return err
}
