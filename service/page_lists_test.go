package service_test

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// lists are all methods that answer in pages.
func lists() (methods []protoreflect.MethodDescriptor) {
	for _, d := range rpcs() {
		if d.Input().Fields().ByName("page_size") != nil {
			methods = append(methods, d)
		}
	}
	return methods
}

func setNumber(req proto.Message, field protoreflect.Name, n int32) proto.Message {
	req = proto.Clone(req)
	req.ProtoReflect().Set(req.ProtoReflect().Descriptor().Fields().ByName(field), protoreflect.ValueOfInt32(n))
	return req
}

// page is an answer of a list: what names its rows, and the rest.
type page struct {
	rows  []string
	next  string
	total int
}

func readPage(resp proto.Message) (p page) {
	m := resp.ProtoReflect()
	rows := m.Descriptor().Fields().Get(0)
	id := rows.Message().Fields().ByName("id")
	if id == nil {
		id = rows.Message().Fields().Get(0) // key, sequence
	}
	for i := range m.Get(rows).List().Len() {
		p.rows = append(p.rows, m.Get(rows).List().Get(i).Message().Get(id).String())
	}
	p.next = m.Get(m.Descriptor().Fields().ByName("next_page_token")).String()
	p.total = int(m.Get(m.Descriptor().Fields().ByName("total_size")).Int())
	return p
}

// page asks for a page that has to come.
func (w *world) page(t testing.TB, token string, d protoreflect.MethodDescriptor, req proto.Message) page {
	t.Helper()
	return readPage(must[proto.Message](t)(call(w.As(token), w.Conn, d, req)))
}

// pages follows a list to its end. Between pages it calls between, where given.
func (w *world) pages(t testing.TB, token string, d protoreflect.MethodDescriptor, req proto.Message, size int32, between func()) (rows []string) {
	t.Helper()
	for next := ""; ; {
		p := w.page(t, token, d, setText(setNumber(req, "page_size", size), "page_token", next))
		rows = append(rows, p.rows...)
		if next = p.next; next == "" {
			return rows
		}
		if len(p.rows) != int(size) {
			t.Errorf("a page of %d that is not the last, want %d", len(p.rows), size)
		}
		if between != nil {
			between()
		}
	}
}

// TestPageSize_GR07: sizes and skips are within their bounds.
func TestPageSize_GR07(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		const rows = 1005
		a := w.newTenant()
		w.many(a.GetId(), rows)
		for _, d := range lists() {
			t.Run(rpcName(d), func(t *testing.T) {
				req := newMessage(d.Input())
				for _, bad := range []struct {
					field protoreflect.Name
					n     int32
				}{{"page_size", -1}, {"page_size", -1 << 31}, {"skip", -1}, {"skip", 100_001}, {"skip", 1<<31 - 1}} {
					_, err := call(w.As(a.Admin.Token), w.Conn, d, setNumber(req, bad.field, bad.n))
					refusedField(t, err, string(bad.field))
				}
				all := w.pages(t, a.Admin.Token, d, req, 1000, nil)
				if len(all) < 20 || duplicate(all) != "" {
					t.Fatalf("%d rows, twice %q", len(all), duplicate(all))
				}
				for size, want := range map[int32]int{0: min(50, len(all)), 1: 1, 999: min(999, len(all)), 1000: min(1000, len(all)), 1001: min(1000, len(all)), 1<<31 - 1: min(1000, len(all))} {
					if p := w.page(t, a.Admin.Token, d, setNumber(req, "page_size", size)); len(p.rows) != want {
						t.Errorf("page_size %d answers %d of %d", size, len(p.rows), len(all))
					}
				}
				for _, skip := range []int{1, 7, len(all) - 1, len(all), len(all) + 1, 100_000} {
					p := w.page(t, a.Admin.Token, d, setNumber(setNumber(req, "skip", int32(skip)), "page_size", 5))
					want := all[min(skip, len(all)):min(skip+5, len(all))]
					if !slices.Equal(p.rows, want) {
						t.Errorf("skip %d answers %v, want %v", skip, p.rows, want)
					}
					if (p.next != "") != (skip+5 < len(all)) {
						t.Errorf("skip %d of %d: next page %t", skip, len(all), p.next != "")
					}
				}
				first := w.page(t, a.Admin.Token, d, setNumber(req, "page_size", 3))
				p := w.page(t, a.Admin.Token, d, setNumber(setNumber(setText(req, "page_token", first.next), "skip", 4), "page_size", 2))
				if !slices.Equal(p.rows, all[7:9]) {
					t.Errorf("a page token and a skip answer %v, want %v", p.rows, all[7:9])
				}
			})
		}
	})
}

// many adds rows of every kind.
func (w *world) many(org string, n int) {
	w.T.Helper()
	insert := func(into string, row func(i int) string) {
		rows := make([]string, n)
		for i := range rows {
			rows[i] = row(i)
		}
		w.sql("INSERT INTO " + into + " VALUES " + strings.Join(rows, ","))
	}
	insert("users (organization_id, id, email, email_key, first_name, last_name, display_name, name_key, confirmed, enabled, epoch, create_time, update_time)", func(i int) string {
		return fmt.Sprintf("('%s', '%s', 'u%d@x.test', 'u%d@x.test', 'A', 'B', 'A B', 'a b', TRUE, TRUE, 1, %d, 1)", org, randomID(), i, i, i%7)
	})
	insert("service_accounts (organization_id, id, display_name, name_key, enabled, epoch, create_time, update_time)", func(i int) string {
		return fmt.Sprintf("('%s', '%s', 'M', 'm', TRUE, 1, %d, 1)", org, randomID(), i%7)
	})
	insert("events (organization_id, seq, time, type)", func(i int) string { return fmt.Sprintf("('%s', %d, 1, 'made.up')", org, 1_000_000+i) })
	insert("roles (organization_id, id, name, name_key, description)", func(i int) string {
		return fmt.Sprintf("('%s', '%s', 'R%d', 'r%d', '')", org, randomID(), i, i)
	})
}

func duplicate(rows []string) string {
	seen := map[string]bool{}
	for _, row := range rows {
		if seen[row] {
			return row
		}
		seen[row] = true
	}
	return ""
}

// TestPageToken_GR07: a page token is of one caller, organization, list, filter and order.
func TestPageToken_GR07(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		w.NewMachine(a.Admin.Token, "", servicetest.MonitoringUser)
		colleague := w.NewPerson(a.GetId(), servicetest.SuperUser)
		token := map[string]string{}
		for _, d := range lists() {
			token[rpcName(d)] = w.page(t, a.Admin.Token, d, setNumber(newMessage(d.Input()), "page_size", 1)).next
			if token[rpcName(d)] == "" {
				t.Fatalf("%s has no second page", rpcName(d))
			}
		}
		for _, d := range lists() {
			refused := func(t *testing.T, by string, req proto.Message) {
				t.Helper()
				_, err := call(w.As(by), w.Conn, d, setNumber(req, "page_size", 1))
				if status.Code(err) != codes.InvalidArgument || servicetest.Reason(err) != identityv1.Error_PAGE_TOKEN_INVALID.String() {
					t.Errorf("%v %s", err, servicetest.Reason(err))
				}
			}
			good, req := token[rpcName(d)], setText(newMessage(d.Input()), "page_token", token[rpcName(d)])
			t.Run(rpcName(d)+" bit flips", func(t *testing.T) {
				sealed := must[[]byte](t)(base64.RawURLEncoding.DecodeString(good))
				for i := range sealed {
					flipped := slices.Clone(sealed)
					flipped[i] ^= 1 << (i % 8)
					refused(t, a.Admin.Token, setText(req, "page_token", base64.RawURLEncoding.EncodeToString(flipped)))
				}
			})
			t.Run(rpcName(d)+" other texts", func(t *testing.T) {
				for _, text := range []string{
					good[:len(good)-1], good[1:], good + "A", good + "=", " " + good, good + good, "0", "garbage", strings.Repeat("A", 2000), "e30",
					base64.RawURLEncoding.EncodeToString([]byte(`{"i":"` + randomID() + `"}`)), base64.StdEncoding.EncodeToString([]byte("x")),
				} {
					refused(t, a.Admin.Token, setText(req, "page_token", text))
				}
			})
			t.Run(rpcName(d)+" another caller", func(t *testing.T) { refused(t, colleague.Token, req) })
			t.Run(rpcName(d)+" another organization's caller", func(t *testing.T) { refused(t, w.Root, setText(req, "organization_id", a.GetId())) })
			t.Run(rpcName(d)+" another session of the caller", func(t *testing.T) {
				w.page(t, w.SignIn(a.Admin.GetEmail(), a.Admin.Password), d, req)
			})
			for other, text := range token {
				if other != rpcName(d) {
					t.Run(rpcName(d)+" a token of "+other, func(t *testing.T) { refused(t, a.Admin.Token, setText(req, "page_token", text)) })
				}
			}
			fields := d.Input().Fields()
			if f := fields.ByName("order_by"); f != nil {
				t.Run(rpcName(d)+" another order", func(t *testing.T) { refused(t, a.Admin.Token, setText(req, "order_by", "display_name desc")) })
			}
			if f := fields.ByName("view"); f != nil {
				t.Run(rpcName(d)+" another view", func(t *testing.T) {
					full := proto.Clone(req).(*identityv1.ListRolesRequest)
					full.View = identityv1.ListRolesRequest_FULL
					refused(t, a.Admin.Token, full)
				})
			}
			if f := fields.ByName("filter"); f != nil {
				for _, p := range texts(f.Message(), f) {
					t.Run(rpcName(d)+" another "+p.String(), func(t *testing.T) {
						value := map[string]string{"filter.role_id": servicetest.MonitoringUser, "filter.actor_id": a.Admin.GetId(), "filter.target_id": a.user.GetId(), "filter.type": "user.created", "filter.email_exact": a.user.GetEmail()}[p.String()]
						refused(t, a.Admin.Token, with(req, p, 0, cmp.Or(value, "a")))
					})
				}
			}
		}
	})
}

// TestOrder_GR07: each order is what it says, ties broken by id, in pages of any size.
func TestOrder_GR07(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		type row struct {
			id, email, name string
			at              int64
		}
		var users, machines []row
		for i, name := range []string{"Bea", "ann", "Ann", "ZOE", "Élan", "ann", "bea", "Øre", "zoe"} {
			if i%3 == 0 {
				w.Clock.Add(time.Second)
			}
			draft := w.pending(fmt.Sprintf("%c%d@people.test", 'Z'-rune(i), i))
			draft.FirstName, draft.LastName = &name, ptr("Same")
			must[*identityv1.User](t)(w.Users.CreateUser(w.As(a.Admin.Token), &identityv1.CreateUserRequest{User: draft}))
			must[*identityv1.ServiceAccount](t)(w.Accounts.CreateServiceAccount(w.As(a.Admin.Token), &identityv1.CreateServiceAccountRequest{
				ServiceAccount: &identityv1.ServiceAccount{DisplayName: &name},
			}))
		}
		for _, u := range must[*identityv1.ListUsersResponse](t)(w.Users.ListUsers(w.As(a.Admin.Token), &identityv1.ListUsersRequest{})).GetUsers() {
			users = append(users, row{u.GetId(), strings.ToLower(u.GetEmail()), strings.ToLower(u.GetDisplayName()), u.GetCreateTime().AsTime().UnixMicro()})
		}
		for _, m := range must[*identityv1.ListServiceAccountsResponse](t)(w.Accounts.ListServiceAccounts(w.As(a.Admin.Token), &identityv1.ListServiceAccountsRequest{})).GetServiceAccounts() {
			machines = append(machines, row{m.GetId(), "", strings.ToLower(m.GetDisplayName()), m.GetCreateTime().AsTime().UnixMicro()})
		}
		by := map[string]func(x, y row) int{
			"email":        func(x, y row) int { return cmp.Or(cmp.Compare(x.email, y.email), cmp.Compare(x.id, y.id)) },
			"display_name": func(x, y row) int { return cmp.Or(cmp.Compare(x.name, y.name), cmp.Compare(x.id, y.id)) },
			"create_time":  func(x, y row) int { return cmp.Or(cmp.Compare(x.at, y.at), cmp.Compare(x.id, y.id)) },
		}
		for _, list := range []struct {
			method string
			rows   []row
			orders []string
		}{
			{"UserService.ListUsers", users, []string{"", "email", "email desc", "display_name", "display_name desc", "create_time", "create_time desc"}},
			{"ServiceAccountService.ListServiceAccounts", machines, []string{"", "display_name", "display_name desc", "create_time", "create_time desc"}},
		} {
			for _, order := range list.orders {
				t.Run(list.method+" "+order, func(t *testing.T) {
					d := rpc(t, list.method)
					effective := cmp.Or(order, map[string]string{"UserService.ListUsers": "email", "ServiceAccountService.ListServiceAccounts": "create_time desc"}[list.method])
					column, direction, _ := strings.Cut(effective, " ")
					sorted := slices.SortedFunc(slices.Values(list.rows), by[column])
					if direction == "desc" {
						slices.Reverse(sorted)
					}
					var want []string
					for _, r := range sorted {
						want = append(want, r.id)
					}
					for size := int32(1); size <= int32(len(want))+1; size++ {
						if got := w.pages(t, a.Admin.Token, d, setText(newMessage(d.Input()), "order_by", order), size, nil); !slices.Equal(got, want) {
							t.Errorf("pages of %d:\n%v, want\n%v", size, got, want)
						}
					}
					if p := w.page(t, a.Admin.Token, d, setText(newMessage(d.Input()), "order_by", order)); p.total != len(want) {
						t.Errorf("total %d of %d", p.total, len(want))
					}
				})
			}
		}
	})
}

// TestChangesWhilePaging_GR07: a row that is there from the first page to the
// last is answered exactly once, whatever comes and goes.
func TestChangesWhilePaging_GR07(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		for _, order := range []string{"email", "email desc", "display_name", "display_name desc", "create_time", "create_time desc"} {
			t.Run(order, func(t *testing.T) {
				a := w.newTenant()
				n, gone := 0, map[string]bool{}
				add := func() string {
					n++
					draft := w.pending(fmt.Sprintf("%c%d-%s@people.test", 'a'+rune(n*7%26), n, a.GetId()[:8]))
					draft.FirstName = ptr(string([]rune{'a' + rune(n*11%26)}))
					u := must[*identityv1.User](t)(w.Users.CreateUser(w.As(a.Admin.Token), &identityv1.CreateUserRequest{User: draft}))
					return u.GetId()
				}
				var stay, leave []string
				for range 8 {
					stay, leave = append(stay, add()), append(leave, add())
				}
				d := rpc(t, "UserService.ListUsers")
				seen := w.pages(t, a.Admin.Token, d, setText(newMessage(d.Input()), "order_by", order), 3, func() {
					add()
					if len(leave) > 0 {
						must[*identityv1.User](t)(w.Users.DeleteUser(w.As(a.Admin.Token), &identityv1.DeleteUserRequest{Id: leave[0]}))
						gone[leave[0]], leave = true, leave[1:]
					}
					w.Clock.Add(time.Millisecond)
				})
				if twice := duplicate(seen); twice != "" {
					t.Errorf("%s came twice", twice)
				}
				for _, id := range append(stay, leave...) {
					if !slices.Contains(seen, id) {
						t.Errorf("%s did not come", id)
					}
				}
			})
		}
		t.Run("events", func(t *testing.T) {
			a := w.newTenant()
			d := rpc(t, "EventService.ListEvents")
			before := w.pages(t, a.Admin.Token, d, newMessage(d.Input()), 1000, nil)
			seen := w.pages(t, a.Admin.Token, d, newMessage(d.Input()), 2, func() { w.CreateUser(a.GetId()) })
			if !slices.Equal(seen, before) {
				t.Errorf("got %v, want %v", seen, before)
			}
		})
	})
}

// TestCollation_GR07: a database that orders texts in its own way loses no row.
func TestCollation_GR07(t *testing.T) {
	w := postgresWorld(t)
	w.sql(`ALTER TABLE roles ALTER COLUMN name_key TYPE TEXT COLLATE "und-x-icu"`)
	w.sql(`ALTER TABLE users ALTER COLUMN name_key TYPE TEXT COLLATE "und-x-icu"`)
	w.sql(`ALTER TABLE users ALTER COLUMN email_key TYPE TEXT COLLATE "und-x-icu"`)
	a := w.newTenant()
	for i, name := range []string{"zebra", "éclair", "fox", "a~b", "ab", "a-b", "ähre", "ara"} {
		id := randomID()
		w.sql(fmt.Sprintf("INSERT INTO roles (organization_id, id, name, name_key, description) VALUES ('%s', '%s', '%s', '%s', '')", a.GetId(), id, name, name))
		draft := w.pending(fmt.Sprintf("%s@people.test", name))
		draft.FirstName = ptr(strings.Map(func(r rune) rune {
			if r == '~' {
				return '\''
			}
			return r
		}, name))
		if _, err := w.Users.CreateUser(w.As(a.Admin.Token), &identityv1.CreateUserRequest{User: draft}); err != nil {
			t.Errorf("%d %s: %v", i, name, err)
		}
	}
	for _, list := range []struct{ method, order string }{
		{"RoleService.ListRoles", ""}, {"UserService.ListUsers", "email"}, {"UserService.ListUsers", "display_name desc"},
	} {
		t.Run(list.method+" "+list.order, func(t *testing.T) {
			d := rpc(t, list.method)
			req := newMessage(d.Input())
			if list.order != "" {
				req = setText(req, "order_by", list.order)
			}
			whole := w.page(t, a.Admin.Token, d, setNumber(req, "page_size", 1000)).rows
			if got := w.pages(t, a.Admin.Token, d, req, 1, nil); !slices.Equal(got, whole) {
				t.Errorf("page by page\n%v, at once\n%v", got, whole)
			}
		})
	}
}
