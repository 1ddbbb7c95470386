package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bizmetry/identity/store/storetest"
)

// The User Management dialog, played over the REST API that its page uses: a
// subtest a sentence of the two documents that the service was asked for.
// docs/coverage.md names them.

const (
	monitoringUser = "00000000-0000-7000-8000-000000000008"
	developer      = "00000000-0000-7000-8000-000000000006"
	superUser      = "00000000-0000-7000-8000-000000000001"
)

// dialog is an administrator in front of the dialog.
type dialog struct {
	server
	token string
	posts string // folder of what is mailed and texted
}

// object is a JSON object.
type object = map[string]any

func openDialog(t *testing.T) *dialog {
	t.Helper()
	d := &dialog{posts: t.TempDir()}
	t.Setenv(databaseURLEnv, storetest.SQLite(t))
	t.Setenv("IDENTITY_SMTP_URL", "file:"+d.posts)
	t.Setenv("IDENTITY_SMS_URL", "file:"+d.posts)
	d.server = serve(t)
	d.token = d.signIn(t, "admin@example.com", d.password)
	return d
}

// try makes a call and returns the HTTP status and the answer.
func (d *dialog) try(t *testing.T, method, path string, body any) (int, object) {
	t.Helper()
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		content = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, d.rest+path, content)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if d.token != "" {
		r.Header.Set("Authorization", "Bearer "+d.token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer object
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatalf("%s %s: %s: %v", method, path, resp.Status, err)
	}
	return resp.StatusCode, answer
}

// do makes a call that must work.
func (d *dialog) do(t *testing.T, method, path string, body any) object {
	t.Helper()
	status, answer := d.try(t, method, path, body)
	if status != http.StatusOK {
		t.Fatalf("%s %s: %d %v", method, path, status, answer)
	}
	return answer
}

// refused makes a call that must be refused with a reason.
func (d *dialog) refused(t *testing.T, method, path string, body any, reason string) {
	t.Helper()
	status, answer := d.try(t, method, path, body)
	text, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	if status == http.StatusOK || !strings.Contains(string(text), `"reason":"`+reason+`"`) {
		t.Errorf("%s %s: %d %s, want %s", method, path, status, text, reason)
	}
}

func (d *dialog) signIn(t *testing.T, email, password string) string {
	t.Helper()
	answer := d.do(t, "POST", "/v1/sessions", object{"email": email, "password": password})
	tokens, ok := answer["tokens"].(object)
	if !ok {
		t.Fatalf("no tokens: %v", answer)
	}
	return tokens["accessToken"].(string)
}

// list returns a page of the list.
func (d *dialog) list(t *testing.T, query string) object {
	t.Helper()
	return d.do(t, "GET", "/v1/users?withSummary=true&"+query, nil)
}

// emails are the addresses of a page.
func emails(page object) (all []string) {
	for _, u := range page["users"].([]any) {
		all = append(all, u.(object)["email"].(string))
	}
	return all
}

// badges are the entries of a user's roles and permissions as the page shows
// them. What an entry is, role or permission, the list tells that it is in.
func badges(user object) (all []string) {
	for _, r := range user["roles"].([]any) {
		all = append(all, fmt.Sprintf("ROLE %s: %s", r.(object)["name"], r.(object)["description"]))
	}
	for _, p := range user["permissions"].([]any) {
		all = append(all, fmt.Sprintf("PERMISSION %s: %s", p.(object)["key"], p.(object)["description"]))
	}
	return all
}

// add makes a user who can sign in at once, as an operator of the platform may.
func (d *dialog) add(t *testing.T, email, first, last string, roles ...string) object {
	t.Helper()
	return d.do(t, "POST", "/v1/users", object{
		"email": email, "firstName": first, "lastName": last, "roleIds": roles, "confirmed": true,
	})
}

// posted waits for a message to somebody and returns what a pattern finds in it.
func (d *dialog) posted(t *testing.T, to, pattern string) string {
	t.Helper()
	find := regexp.MustCompile(pattern)
	for range 200 {
		files, err := filepath.Glob(filepath.Join(d.posts, "*"))
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(files)
		slices.Reverse(files)
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				continue // it was being written
			}
			plain := strings.NewReplacer("=\r\n", "", "=\n", "", "=3D", "=").Replace(string(text))
			if m := find.FindStringSubmatch(plain); m != nil && strings.Contains(plain, to) {
				return m[len(m)-1]
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("nothing like %s was sent to %s", pattern, to)
	return ""
}

func number(v any) int { return int(v.(float64)) }

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestDialog_UsersTab(t *testing.T) {
	d := openDialog(t)
	ann := d.add(t, "ann@example.com", "Ann", "Ng", monitoringUser)
	bob := d.add(t, "bob@example.com", "Bob", "Öztürk", developer)
	d.do(t, "POST", "/v1/users", object{"email": "cy@example.com", "firstName": "Cy", "lastName": "Annan", "roleIds": []string{monitoringUser}})
	t.Run("lists all users registered under the current organization, with their columns", func(t *testing.T) {
		page := d.list(t, "")
		same(t, "emails", emails(page), []string{"admin@example.com", "ann@example.com", "bob@example.com", "cy@example.com"})
		row := page["users"].([]any)[1].(object)
		same(t, "email", row["email"], "ann@example.com")
		same(t, "name", row["displayName"], "Ann Ng")
		same(t, "role badges", badges(row), []string{"ROLE Monitoring User: Looks at what is observed"})
		same(t, "confirmed", row["confirmed"], true)
		same(t, "enabled", row["enabled"], true)
		pending := page["users"].([]any)[3].(object)
		same(t, "invited", []any{pending["confirmed"], pending["enabled"]}, []bool{false, true})
		if at, err := time.Parse(time.RFC3339, row["createTime"].(string)); err != nil || time.Since(at) > time.Hour {
			t.Errorf("created %v", row["createTime"])
		}
	})
	t.Run("Name is a free-text filter on the display name", func(t *testing.T) {
		same(t, "ann", emails(d.list(t, "filter.name=ANN")), []string{"ann@example.com", "cy@example.com"})
		same(t, "other scripts and cases", emails(d.list(t, "filter.name="+url.QueryEscape("öZT"))), []string{"bob@example.com"})
	})
	t.Run("Email is a free-text filter on the address", func(t *testing.T) {
		same(t, "bob@", emails(d.list(t, "filter.email=BOB%40")), []string{"bob@example.com"})
	})
	t.Run("Status filters by account state", func(t *testing.T) {
		same(t, "active", emails(d.list(t, "filter.state=ACTIVE")), []string{"admin@example.com", "ann@example.com", "bob@example.com"})
		same(t, "pending activation", emails(d.list(t, "filter.state=PENDING")), []string{"cy@example.com"})
		same(t, "disabled", d.list(t, "filter.state=DISABLED")["totalSize"], 0)
		d.do(t, "POST", "/v1/users/"+bob["id"].(string)+":disable", object{})
		same(t, "bob, disabled", emails(d.list(t, "filter.state=DISABLED")), []string{"bob@example.com"})
		same(t, "active without him", emails(d.list(t, "filter.state=ACTIVE")), []string{"admin@example.com", "ann@example.com"})
		d.do(t, "POST", "/v1/users/"+bob["id"].(string)+":enable", object{})
	})
	t.Run("filters narrow together, and Clear resets them", func(t *testing.T) {
		same(t, "both", emails(d.list(t, "filter.name=ann&filter.state=PENDING")), []string{"cy@example.com"})
		same(t, "none", d.list(t, "")["totalSize"], 4)
	})
	t.Run("Sort By orders by e-mail, age and name, each way", func(t *testing.T) {
		admin, ann, bob, cy := "admin@example.com", "ann@example.com", "bob@example.com", "cy@example.com"
		for order, want := range map[string][]string{
			"email": {admin, ann, bob, cy}, "email desc": {cy, bob, ann, admin}, "create_time": {admin, ann, bob, cy},
			"create_time desc": {cy, bob, ann, admin}, "display_name": {ann, bob, cy, admin}, "display_name desc": {admin, cy, bob, ann},
		} {
			same(t, order, emails(d.list(t, "orderBy="+url.QueryEscape(order))), want)
		}
	})
	t.Run("Summary badges count the result set", func(t *testing.T) {
		all := d.list(t, "")["summary"].(object)
		same(t, "badges", []any{all["active"], all["pending"], all["disabled"], all["total"]}, []int{3, 1, 0, 4})
		some := d.list(t, "filter.name=ann")["summary"].(object)
		same(t, "filtered badges", []any{some["active"], some["pending"], some["total"]}, []int{1, 1, 2})
	})
	t.Run("Per page, previous and next, Page 1 of N", func(t *testing.T) {
		first := d.list(t, "pageSize=3")
		same(t, "per page", emails(first), []string{"admin@example.com", "ann@example.com", "bob@example.com"})
		same(t, "pages", (number(first["totalSize"])+2)/3, 2)
		second := d.list(t, "pageSize=3&pageToken="+url.QueryEscape(first["nextPageToken"].(string)))
		same(t, "next", emails(second), []string{"cy@example.com"})
		same(t, "no page after the last", second["nextPageToken"], "")
		same(t, "a jump by number", emails(d.list(t, "pageSize=3&skip=3")), []string{"cy@example.com"})
	})
	t.Run("previous: the page keeps the tokens it came by, or counts", func(t *testing.T) {
		came, want := []string{""}, []string{"admin@example.com", "ann@example.com", "bob@example.com", "cy@example.com"}
		turn := func() object { return d.list(t, "pageSize=1&pageToken="+url.QueryEscape(came[len(came)-1])) }
		for n := range want {
			shown := turn()
			same(t, "forth", emails(shown), want[n:n+1])
			came = append(came, shown["nextPageToken"].(string))
		}
		came = came[:len(came)-1] // there is no page after the last
		for n := len(want) - 2; n >= 0; n-- {
			came = came[:len(came)-1]
			same(t, "back by tokens", emails(turn()), want[n:n+1])
			same(t, "back by number", emails(d.list(t, fmt.Sprint("pageSize=1&skip=", n))), want[n:n+1])
		}
	})
	t.Run("Disable All and Enable All change every user who matches the filter, and say how many", func(t *testing.T) {
		filter := object{"name": "ann"}
		preview := d.do(t, "POST", "/v1/users:bulkDisable", object{"filter": filter, "validateOnly": true})
		same(t, "preview", []any{preview["matched"], preview["changed"]}, []int{2, 2})
		same(t, "a preview changes nothing", d.list(t, "filter.state=DISABLED")["totalSize"], 0)
		done := d.do(t, "POST", "/v1/users:bulkDisable", object{"filter": filter, "matchToken": preview["matchToken"]})
		same(t, "disabled", []any{done["changed"], d.list(t, "filter.state=DISABLED")["totalSize"]}, []int{2, 2})
		done = d.do(t, "POST", "/v1/users:bulkEnable", object{"filter": object{"state": "DISABLED"}})
		same(t, "enabled", []any{done["changed"], d.list(t, "filter.state=DISABLED")["totalSize"]}, []int{2, 0})
	})
	t.Run("Disable All leaves whoever presses it", func(t *testing.T) {
		done := d.do(t, "POST", "/v1/users:bulkDisable", object{"filter": object{}})
		same(t, "skipped", done["skipped"].([]any)[0].(object)["reason"], "SELF")
		d.do(t, "POST", "/v1/users:bulkEnable", object{"filter": object{}})
	})
	t.Run("Enabled tells whether access is active; the toggle shuts out and lets in", func(t *testing.T) {
		same(t, "off", d.do(t, "POST", "/v1/users/"+ann["id"].(string)+":disable", object{})["state"], "DISABLED")
		same(t, "on", d.do(t, "POST", "/v1/users/"+ann["id"].(string)+":enable", object{})["state"], "ACTIVE")
	})
	t.Run("the list is exported as CSV", func(t *testing.T) {
		r, err := http.NewRequestWithContext(t.Context(), "GET", d.rest+"/v1/users:export?format=CSV&filter.name=ann", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+d.token)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || strings.Count(string(text), "\n") != 3 || !strings.Contains(string(text), "ann@example.com") {
			t.Errorf("%s %v\n%s", resp.Status, err, text)
		}
	})
	t.Run("a user is deleted, and can be brought back", func(t *testing.T) {
		path := "/v1/users/" + ann["id"].(string)
		d.do(t, "DELETE", path, nil)
		same(t, "gone", emails(d.list(t, "filter.email=ann%40")), []string{})
		same(t, "back, disabled", d.do(t, "POST", path+":undelete", object{})["state"], "DISABLED")
	})
	t.Run("the last administrator can be neither disabled nor deleted", func(t *testing.T) {
		me := d.do(t, "GET", "/v1/me", nil)["user"].(object)["id"].(string)
		d.refused(t, "POST", "/v1/users/"+me+":disable", object{}, "LAST_ADMINISTRATOR")
		d.refused(t, "DELETE", "/v1/users/"+me, nil, "LAST_ADMINISTRATOR")
		d.refused(t, "PATCH", "/v1/users/"+me, object{"roleIds": []string{monitoringUser}}, "LAST_ADMINISTRATOR")
		second := d.add(t, "second@example.com", "Second", "Admin", superUser)
		d.do(t, "PATCH", "/v1/users/"+second["id"].(string), object{"password": "Harbour#93quartzPlum"})
		d.do(t, "POST", "/v1/users/"+me+":disable", object{}) // another user is administrator now
	})
}

func TestDialog_AdministratorAccessRequired(t *testing.T) {
	d := openDialog(t)
	d.do(t, "POST", "/v1/users", object{
		"email": "watcher@example.com", "firstName": "Wat", "lastName": "Cher", "roleIds": []string{monitoringUser},
		"confirmed": true, "password": "Harbour#93quartzPlum",
	})
	d.token = d.firstSignIn(t, "watcher@example.com", "Harbour#93quartzPlum", "Quartz@harbour27plum")
	d.refused(t, "GET", "/v1/users", nil, "PERMISSION_DENIED")
	d.refused(t, "POST", "/v1/users", object{"email": "x@example.com"}, "PERMISSION_DENIED")
	d.refused(t, "POST", "/v1/users:bulkDisable", object{"filter": object{}}, "PERMISSION_DENIED")
	t.Run("the user menu learns from what one may do whether to show the dialog and its tabs", func(t *testing.T) {
		mayOpen := func() []any {
			may := d.do(t, "GET", "/v1/me", nil)["effectivePermissions"].([]any)
			return []any{slices.Contains(may, any("platform.users.write")), slices.Contains(may, any("platform.roles.read")), slices.Contains(may, any("platform.serviceaccounts.read"))}
		}
		same(t, "a user", mayOpen(), []bool{false, false, false})
		d.token = d.signIn(t, "admin@example.com", d.password)
		same(t, "an administrator", mayOpen(), []bool{true, true, true})
		for _, tab := range []string{"/v1/users", "/v1/roles", "/v1/serviceAccounts"} {
			d.do(t, "GET", tab, nil)
		}
	})
}

// firstSignIn replaces an initial password and returns the access token.
func (d *dialog) firstSignIn(t *testing.T, email, initial, password string) string {
	t.Helper()
	answer := d.do(t, "POST", "/v1/sessions", object{"email": email, "password": initial})
	change, ok := answer["passwordChange"].(object)
	if !ok {
		t.Fatalf("no change of the password is asked for: %v", answer)
	}
	answer = d.do(t, "POST", "/v1/sessions:changePassword", object{"token": change["token"], "newPassword": password})
	return answer["tokens"].(object)["accessToken"].(string)
}
