package service_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store/storetest"
)

// oneReason fails unless an error has the code and exactly one ErrorInfo.
func oneReason(t *testing.T, what string, err error, code codes.Code, reason string) {
	t.Helper()
	infos := 0
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == answer.Domain {
			infos++
		}
	}
	if status.Code(err) != code || servicetest.Reason(err) != reason || infos != 1 {
		t.Errorf("%s: %v %s with %d ErrorInfo, want %v %s", what, err, servicetest.Reason(err), infos, code, reason)
	}
}

// With the database away every method says so, none allows anything and none
// is at fault; when it is back, everything goes on.
func TestFaults_LG06_DatabaseAway(t *testing.T) {
	cluster, err := storetest.StartCluster(t.Context())
	noError(t, err)
	t.Cleanup(cluster.Stop)
	noError(t, cluster.Create(t.Context(), "identity", ""))
	lite := storetest.SQLite(t)
	for database, row := range map[string]struct {
		url  string
		away func(*servicetest.World)
		back func()
	}{
		"postgres killed": {cluster.URL("identity"), func(*servicetest.World) { cluster.Kill() }, func() { noError(t, cluster.Restart(t.Context())) }},
		"store closed":    {lite, func(w *servicetest.World) { noError(t, w.Store.Close()) }, nil},
	} {
		t.Run(database, func(t *testing.T) {
			book := &logBook{}
			w := newWorld(t, row.url, func(c *service.Config) { c.Log, c.StalenessBudget = book.logger(), time.Nanosecond })
			a := w.newTenant()
			requests := map[string]func() error{}
			for _, d := range rpcs() {
				r := requestOf(t, rpcName(d))
				as, req := w.As(r.as(w, a)), r.make(w, a)
				requests[rpcName(d)] = func() error { _, err := call(as, w.Conn, d, req); return err }
			}
			row.away(w.World)
			w.Stopwatch.Add(1100 * time.Millisecond) // then memory is not believed without the database: the budget is none
			for name, ask := range requests {
				oneReason(t, name, ask(), codes.Unavailable, "UNAVAILABLE")
			}
			if text := book.String(); strings.Contains(text, `"level":"ERROR"`) {
				t.Errorf("the log takes it for our fault: %.2000s", text[strings.Index(text, `"level":"ERROR"`):])
			}
			if row.back == nil {
				return
			}
			row.back()
			for _, name := range []string{"UserService.GetMe", "SessionService.SignIn", "UserService.CreateUser", "ServiceAccountService.IssueToken", "RoleService.CheckPermission", "SessionService.Refresh"} {
				if err := requests[name](); err != nil {
					t.Errorf("%s after the database came back: %v", name, err)
				}
			}
		})
	}
}

// A panic is one INTERNAL answer; it leaves no lock, and others do not notice.
func TestFaults_LG06_Panic(t *testing.T) {
	eachURL(t, func(t *testing.T, url string) {
		book, random := &logBook{}, &tripwire{from: randomRead}
		w := servicetest.New(t, url, func(c *service.Config) { c.Log, c.Rand = book.logger(), random })
		org := w.NewOrg()
		admin := w.As(org.Admin.Token)
		account := func() (*identityv1.ServiceAccount, error) {
			return w.Accounts.CreateServiceAccount(admin, &identityv1.CreateServiceAccountRequest{
				ServiceAccount: &identityv1.ServiceAccount{DisplayName: ptr("A"), RoleIds: []string{servicetest.Agent}},
			})
		}
		before := stateOf(t, w, org.GetId())
		for range 10 { // more often than there are places in the queue
			random.set("(*Accounts).CreateServiceAccount", func() { panic("in the middle of a change") })
			_, err := account()
			oneReason(t, "panic", err, codes.Internal, "INTERNAL")
			if strings.Contains(err.Error(), "middle") || strings.Contains(err.Error(), ".go:") {
				t.Errorf("the client sees the cause: %v", err)
			}
		}
		if after := stateOf(t, w, org.GetId()); len(after.Events) != len(before.Events) || after.Badges != before.Badges {
			t.Errorf("a panic changed %+v to %+v", before, after)
		}
		if _, err := account(); err != nil {
			t.Errorf("the lock was left held: %v", err)
		}
		if text := book.String(); !strings.Contains(text, "panic of type string") || !strings.Contains(text, "service_account.go:") {
			t.Error("the log does not tell where it panicked")
		} else if strings.Contains(text, "in the middle of a change") {
			t.Error("the log has what it panicked with, which may be a secret")
		}
		if n := strings.Count(book.String(), `"code":"Internal"`); n != 10 {
			t.Errorf("%d calls are logged as our fault, want 10", n)
		}

		a, err := account()
		noError(t, err)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 20 {
					if _, err := w.Users.GetMe(admin, &identityv1.GetMeRequest{}); err != nil {
						t.Errorf("another call: %v", err)
					}
				}
			})
		}
		for range 10 {
			random.set("(*Accounts).CreateCredential", func() { panic("in the middle of a change") })
			_, err := w.Accounts.CreateCredential(admin, &identityv1.CreateCredentialRequest{ServiceAccountId: a.GetId()})
			oneReason(t, "panic", err, codes.Internal, "INTERNAL")
		}
		wg.Wait()
	})
}

// inChild says that this process is the one that may die.
const inChild = "IDENTITY_TEST_CHILD"

// Not even a panic at the door, before anything is known of a call, ends the
// process. It is tried in a process of its own.
func TestFaults_LG06_PanicAtTheDoor(t *testing.T) {
	if os.Getenv(inChild) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), inChild+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out[:min(len(out), 2000)])
		}
		return
	}
	random := &tripwire{from: randomRead}
	w := servicetest.New(t, storetest.SQLite(t), func(c *service.Config) { c.Rand = random })
	random.set("(*Door).newCall", func() { panic("at the door") })
	_, err := w.Users.GetMe(w.As(w.Root), &identityv1.GetMeRequest{})
	oneReason(t, "panic", err, codes.Internal, "INTERNAL")
	if _, err := w.Users.GetMe(w.As(w.Root), &identityv1.GetMeRequest{}); err != nil {
		t.Error(err)
	}
}

// One organization whose lock is held, or that many wait for, is busy; the
// others go on.
func TestFaults_CF01_BusyOrganization(t *testing.T) {
	eachURL(t, func(t *testing.T, url string) {
		w := servicetest.New(t, url)
		busy := w.NewOrg()
		db := secondConnection(t, url)
		tx, err := db.BeginTx(t.Context(), nil)
		noError(t, err)
		_, err = tx.ExecContext(t.Context(), `UPDATE organization_clock SET event_seq = event_seq WHERE organization_id = '`+busy.GetId()+`'`)
		noError(t, err)
		ctx, cancel := context.WithTimeout(w.As(busy.Admin.Token), 25*time.Second)
		defer cancel()
		_, err = w.Users.CreateUser(ctx, &identityv1.CreateUserRequest{User: &identityv1.User{
			Email: ptr("late@busy.test"), FirstName: ptr("A"), LastName: ptr("B"), RoleIds: []string{servicetest.MonitoringUser},
		}})
		oneReason(t, "a change", err, codes.Unavailable, "UNAVAILABLE")
		if _, err := w.Users.ListUsers(w.As(busy.Admin.Token), &identityv1.ListUsersRequest{}); err != nil {
			t.Errorf("a read waits for the lock: %v", err)
		}
		if !strings.HasPrefix(url, "sqlite:") { // SQLite has one lock for all
			w.NewMachine(w.Root, "", servicetest.Agent)
		}
		noError(t, tx.Rollback())
		noError(t, patch(w.As(busy.Admin.Token), w, "", &identityv1.User{Id: busy.Admin.GetId(), FirstName: ptr("Eve")}, "first_name"))
	})
}
