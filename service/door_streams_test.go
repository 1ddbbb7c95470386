package service_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store/storetest"
)

// sendRows sends rows of an import, beginning with a number.
func sendRows(t testing.TB, stream identityv1.UserService_ImportUsersClient, from, n int) {
	t.Helper()
	var file strings.Builder
	if from == 0 {
		file.WriteString("email,first_name,last_name,roles\n")
	}
	for i := range n {
		fmt.Fprintf(&file, "row%d@import.test,Ann,Ng,Monitoring User\n", from+i)
	}
	if err := stream.Send(&identityv1.ImportUsersRequest{Data: []byte(file.String())}); err != nil {
		t.Fatal(err)
	}
}

// TestStreams_RG58: who loses the right to a stream gets and does nothing more.
// What was answered before is done.
func TestStreams_RG58_RightsLost(t *testing.T) {
	for name, lose := range map[string]func(w *world, a *tenant, p servicetest.Person) error{
		"disabled": func(w *world, a *tenant, p servicetest.Person) error {
			_, err := w.Users.DisableUser(w.As(a.Admin.Token), &identityv1.DisableUserRequest{Id: p.GetId()})
			return err
		},
		"signed out": func(w *world, _ *tenant, p servicetest.Person) error {
			_, err := w.Sessions.SignOut(w.As(p.Token), &identityv1.SignOutRequest{Id: "-"})
			return err
		},
		"role taken": func(w *world, a *tenant, p servicetest.Person) error {
			_, err := w.Roles.RevokeRoles(w.As(a.Admin.Token), &identityv1.RevokeRolesRequest{Id: p.GetId(), RoleIds: []string{servicetest.BusinessAdmin}})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachWorld(t, func(t *testing.T, w *world) {
				a := w.newTenant()
				p := w.NewPerson(a.GetId(), servicetest.BusinessAdmin)
				stream := must[identityv1.UserService_ImportUsersClient](t)(w.Users.ImportUsers(w.As(p.Token)))
				sendRows(t, stream, 0, 1000)
				if resp, err := stream.Recv(); err != nil || len(resp.GetRows()) != 1000 {
					t.Fatalf("first batch: %v, %v", resp, err)
				}
				if err := lose(w, a, p); err != nil {
					t.Fatal(err)
				}
				sendRows(t, stream, 1000, 1000)
				_, err := stream.Recv()
				code, reason := codes.Unauthenticated, identityv1.Error_TOKEN_INVALID
				if name == "role taken" {
					code, reason = codes.PermissionDenied, identityv1.Error_PERMISSION_DENIED
				}
				servicetest.Refused(t, err, code, reason)
				if n := len(a.emails(t, w)); n != 1000 { // as many as a page can have
					t.Errorf("%d people", n)
				}
				var people int
				if err := w.db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM users WHERE organization_id = '`+a.GetId()+`'`).Scan(&people); err != nil || people != 1003 {
					t.Errorf("%d people, %v", people, err)
				}
			})
		})
	}
}

// An export looks at its caller again once a second, whatever it is doing.
func TestStreams_RG58_Export(t *testing.T) {
	w := sqliteWorld(t)
	a := w.NewOrg()
	p := w.NewPerson(a.GetId(), servicetest.BusinessAdmin)
	file := "email,first_name,last_name,roles\n"
	for i := range 6000 {
		file += fmt.Sprintf("%s%d@import.test,Ann,Ng,Monitoring User\n", strings.Repeat("x", 50), i)
	}
	imported(t, w, a.Admin.Token, &identityv1.ImportUsersRequest{}, file)
	stream := must[identityv1.UserService_ExportUsersClient](t)(w.Users.ExportUsers(w.As(p.Token), &identityv1.ExportUsersRequest{}))
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	must[*identityv1.User](t)(w.Users.DisableUser(w.As(a.Admin.Token), &identityv1.DisableUserRequest{Id: p.GetId()}))
	w.Stopwatch.Add(1100 * time.Millisecond) // flow control holds the rest back
	var err error
	for err == nil {
		_, err = stream.Recv()
	}
	servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID)
}

// Streams at once are bounded: of a caller, and of an organization.
func TestStreams_AtOnce(t *testing.T) {
	w := sqliteWorld(t)
	a := w.NewOrg()
	open := func(token string) (identityv1.UserService_ImportUsersClient, context.CancelFunc) {
		ctx, cancel := context.WithCancel(w.As(token))
		t.Cleanup(cancel)
		stream := must[identityv1.UserService_ImportUsersClient](t)(w.Users.ImportUsers(ctx))
		return stream, cancel
	}
	fill := func(token string) (cancels []context.CancelFunc) {
		for range 4 {
			stream, cancel := open(token)
			sendRows(t, stream, 0, 1000)
			if _, err := stream.Recv(); err != nil {
				t.Fatal(err)
			}
			cancels = append(cancels, cancel)
		}
		return cancels
	}
	first := fill(a.Admin.Token)
	refused := func(token string) {
		t.Helper()
		stream, _ := open(token)
		_, err := stream.Recv()
		servicetest.Refused(t, err, codes.ResourceExhausted, identityv1.Error_OVERLOADED)
	}
	refused(a.Admin.Token)
	for range 3 {
		fill(w.NewPerson(a.GetId(), servicetest.SuperUser).Token)
	}
	refused(w.NewPerson(a.GetId(), servicetest.SuperUser).Token)
	fill(w.NewOrg().Admin.Token) // another organization has its own
	first[0]()
	servicetest.Eventually(t, "the place is given back", func() bool {
		_, err := exportFile(w.As(a.Admin.Token), w.World, &identityv1.ExportUsersRequest{})
		return err == nil
	})
}

// A stream of the contract ends with UNAVAILABLE when the server stops; the
// batches that were answered are there.
func TestStreams_Stop(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		stream := must[identityv1.UserService_ImportUsersClient](t)(w.Users.ImportUsers(w.As(a.Admin.Token)))
		sendRows(t, stream, 0, 1500)
		if resp, err := stream.Recv(); err != nil || len(resp.GetRows()) != 1000 {
			t.Fatalf("first batch: %v, %v", resp, err)
		}
		w.Service.Door.EndStreams()
		_, err := stream.Recv()
		servicetest.Refused(t, err, codes.Unavailable, identityv1.Error_UNAVAILABLE)
		var people int
		if err := w.db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM users WHERE email LIKE 'row%'`).Scan(&people); err != nil || people != 1000 {
			t.Errorf("%d people, %v", people, err)
		}
		_, err = exportFile(w.As(a.Admin.Token), w.World, &identityv1.ExportUsersRequest{})
		servicetest.Refused(t, err, codes.Unavailable, identityv1.Error_UNAVAILABLE)
	})
}

// Every message of a stream is checked, and every stream is logged like a call.
func TestStreams_Messages(t *testing.T) {
	book := &logBook{}
	w := servicetest.New(t, storetest.SQLite(t), func(c *service.Config) { c.Log = book.logger() })
	a := w.NewOrg()
	for name, row := range map[string]struct {
		second *identityv1.ImportUsersRequest
		code   codes.Code
		reason identityv1.Error_Reason
	}{
		"too much data":   {&identityv1.ImportUsersRequest{Data: make([]byte, 524_289)}, codes.InvalidArgument, identityv1.Error_INVALID_FIELDS},
		"far too much":    {&identityv1.ImportUsersRequest{Data: make([]byte, 2<<20)}, codes.ResourceExhausted, identityv1.Error_TOO_LARGE},
		"a strange id":    {&identityv1.ImportUsersRequest{OrganizationId: "x\x00"}, codes.InvalidArgument, identityv1.Error_INVALID_FIELDS},
		"a strange value": {&identityv1.ImportUsersRequest{Format: 9}, codes.InvalidArgument, identityv1.Error_INVALID_FIELDS},
	} {
		t.Run(name, func(t *testing.T) {
			stream := must[identityv1.UserService_ImportUsersClient](t)(w.Users.ImportUsers(w.As(a.Admin.Token)))
			sendRows(t, stream, 0, 1)
			if err := stream.Send(row.second); err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			_, err := stream.Recv()
			servicetest.Refused(t, err, row.code, row.reason)
			header := must[metadata.MD](t)(stream.Header())
			if ids := append(header.Get("request-id"), stream.Trailer().Get("request-id")...); len(ids) != 1 || !strings.Contains(book.String(), ids[0]) {
				t.Errorf("request ids %v are not in the log", ids)
			}
		})
	}
	t.Run("nothing at all", func(t *testing.T) {
		stream := must[identityv1.UserService_ImportUsersClient](t)(w.Users.ImportUsers(w.As(a.Admin.Token)))
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		_, err := stream.Recv()
		servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_MALFORMED_REQUEST)
	})
	t.Run("the revision of all batches is in the trailer", func(t *testing.T) {
		stream := must[identityv1.UserService_ImportUsersClient](t)(w.Users.ImportUsers(w.As(a.Admin.Token)))
		sendRows(t, stream, 0, 1001)
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		var err error
		for err == nil {
			_, err = stream.Recv()
		}
		revision := stream.Trailer().Get("identity-revision")
		if len(revision) != 1 {
			t.Fatalf("trailer %v, %v", stream.Trailer(), err)
		}
		if _, err := w.Users.GetMe(w.As(a.Admin.Token), &identityv1.GetMeRequest{AtLeast: revision[0]}); err != nil {
			t.Error(err)
		}
	})
}
