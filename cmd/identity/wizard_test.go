package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// The wizard of a new user, and the dialog that edits one.

func TestDialog_Wizard(t *testing.T) {
	d := openDialog(t)
	draft := object{"email": "zoë@example.com", "firstName": "Zoë-Ann", "lastName": "O’Brien 王", "roleIds": []string{monitoringUser}}
	t.Run("First Name, Last Name and e-mail are required", func(t *testing.T) {
		for field, name := range map[string]string{"email": "user.email", "firstName": "user.first_name", "lastName": "user.last_name"} {
			d.invalid(t, without(draft, field), name)
			d.invalid(t, with(draft, field, " "), name)
		}
		d.invalid(t, with(draft, "email", "no address"), "user.email")
	})
	t.Run("Email is available when it clears", func(t *testing.T) {
		free := d.do(t, "GET", "/v1/users:checkEmail?email="+url.QueryEscape("zoë@example.com"), nil)
		taken := d.do(t, "GET", "/v1/users:checkEmail?email=ADMIN%40example.com", nil)
		same(t, "free and taken", []any{free["available"], taken["available"]}, []bool{true, false})
	})
	t.Run("a strength indicator is shown as you type", func(t *testing.T) {
		weak := d.do(t, "POST", "/v1/passwords:check", object{"password": "Password1!"})
		strong := d.do(t, "POST", "/v1/passwords:check", object{"password": "Harbour#93quartzPlum"})
		same(t, "acceptable", []any{weak["acceptable"], strong["acceptable"]}, []bool{false, true})
		if number(weak["score"]) >= number(strong["score"]) || len(weak["advice"].([]any)) == 0 {
			t.Errorf("weak %v, strong %v", weak, strong)
		}
	})
	t.Run("minimum 8 characters, 1 uppercase, 1 number, 1 special character", func(t *testing.T) {
		for password, rule := range map[string]string{
			"Ha#93qu": "too_short", "harbour#93quartz": "no_upper", "Harbour#quartz": "no_digit", "Harbour93quartz": "no_special",
		} {
			unmet := d.do(t, "POST", "/v1/passwords:check", object{"password": password})["unmet"]
			same(t, password, unmet, []string{rule})
			d.refused(t, "POST", "/v1/users", with(draft, "password", password), "WEAK_PASSWORD")
		}
		for _, special := range "#@_!$" {
			same(t, string(special), d.do(t, "POST", "/v1/passwords:check", object{"password": "Hzqxvb9" + string(special)})["unmet"], []string{})
		}
		same(t, "another one", d.do(t, "POST", "/v1/passwords:check", object{"password": "Hzqxvb9%"})["unmet"], []string{"no_special"})
	})
	var password string
	t.Run("Auto-Generate makes a secure password that satisfies all requirements, shown once", func(t *testing.T) {
		password = d.do(t, "POST", "/v1/passwords:generate", object{})["password"].(string)
		same(t, "acceptable", d.do(t, "POST", "/v1/passwords:check", object{"password": password})["acceptable"], true)
	})
	t.Run("a mobile number must be validated before the user can be created", func(t *testing.T) {
		d.refused(t, "POST", "/v1/users", with(draft, "phone", "+41791234567"), "PHONE_NOT_VERIFIED")
	})
	var proof string
	t.Run("Validate sends a code by SMS; the number is registered once the code is confirmed", func(t *testing.T) {
		started := d.do(t, "POST", "/v1/phoneVerifications", object{"phone": "+41 79 123 45 67"})
		code := d.posted(t, "+41791234567", `\b([0-9]{6})\b`)
		path := "/v1/phoneVerifications/" + started["id"].(string)
		d.refused(t, "POST", path+":confirm", object{"code": other(code)}, "CODE_INVALID")
		proof = d.do(t, "POST", path+":confirm", object{"code": code})["phoneProof"].(string)
	})
	t.Run("at least one role must be assigned, or one permission", func(t *testing.T) {
		d.invalid(t, without(draft, "roleIds"), "user.role_ids")
		one := with(with(without(draft, "roleIds"), "permissionKeys", []string{"agents.read"}), "email", "one@example.com")
		made := d.do(t, "POST", "/v1/users", one)
		same(t, "assigned", badges(made), []string{"PERMISSION agents.read: See agents and their state"})
		d.do(t, "DELETE", "/v1/users/"+made["id"].(string), nil)
	})
	t.Run("Cancel leaves nothing: before Create User there is no user and the address is free", func(t *testing.T) {
		same(t, "users", emails(d.list(t, "")), []string{"admin@example.com"})
		same(t, "free", d.do(t, "GET", "/v1/users:checkEmail?email="+url.QueryEscape("zoë@example.com"), nil)["available"], true)
	})
	var made object
	t.Run("Create User makes the account of all three tabs", func(t *testing.T) {
		made = d.do(t, "POST", "/v1/users", with(with(draft, "password", password), "phoneProof", proof))
		same(t, "state", []any{made["state"], made["confirmed"], made["email"], made["displayName"]}, []any{"PENDING", false, "zoë@example.com", "Zoë-Ann O’Brien 王"})
		same(t, "roles", badges(made), []string{"ROLE Monitoring User: Looks at what is observed"})
		same(t, "phone", []any{made["phoneVerified"], strings.HasSuffix(made["phone"].(string), "67")}, []bool{true, true})
		if strings.Contains(made["phone"].(string), "123") || made["password"] != nil && made["password"] != "" {
			t.Errorf("too much is answered: %v", made)
		}
		d.refused(t, "POST", "/v1/users", draft, "EMAIL_TAKEN")
		shown, err := json.Marshal([]any{made, d.do(t, "GET", "/v1/users/"+made["id"].(string), nil), d.list(t, "")})
		if err != nil || strings.Contains(string(shown), password) {
			t.Errorf("the password is shown again: %s, %v", shown, err)
		}
	})
	t.Run("the user receives a confirmation email to activate their access", func(t *testing.T) {
		same(t, "before", d.signInStatus(t, "zoë@example.com", password), http.StatusUnauthorized)
		link := d.posted(t, "To: zoë@example.com\n", `/activate\?token=([A-Za-z0-9_-]+)`)
		d.follow(t, link)
		after := d.do(t, "GET", "/v1/users/"+made["id"].(string), nil)
		same(t, "after", []any{after["state"], after["confirmed"]}, []any{"ACTIVE", true})
		fresh := d.firstSignIn(t, "ZOË@example.com", password, "Quartz@harbour27plum")
		if fresh == "" {
			t.Error("no token")
		}
	})
}

// follow opens the link of an activation mail as a browser without JavaScript does.
func (d *dialog) follow(t *testing.T, token string) {
	t.Helper()
	page, err := http.Get(d.rest + "/activate?token=" + token) //nolint:noctx // a server of this test
	if err != nil {
		t.Fatal(err)
	}
	page.Body.Close()
	same(t, "the page", page.StatusCode, http.StatusOK)
	done, err := http.PostForm(d.rest+"/activate", url.Values{"token": {token}}) //nolint:noctx // as above
	if err != nil {
		t.Fatal(err)
	}
	done.Body.Close()
	same(t, "the form", done.StatusCode, http.StatusOK)
}

func (d *dialog) signInStatus(t *testing.T, email, password string) int {
	t.Helper()
	status, _ := d.try(t, "POST", "/v1/sessions", object{"email": email, "password": password})
	return status
}

func TestDialog_Edit(t *testing.T) {
	d := openDialog(t)
	ann := d.add(t, "ann@example.com", "Ann", "Ng", monitoringUser)
	path := "/v1/users/" + ann["id"].(string)
	t.Run("roles and single permissions are toggled on and off", func(t *testing.T) {
		d.do(t, "PATCH", path, object{"roleIds": []string{monitoringUser, developer}, "permissionKeys": []string{"agents.restart"}})
		dev, restart := "ROLE Developer: Writes templates", "PERMISSION agents.restart: Restart agents"
		same(t, "on", badges(d.do(t, "GET", path, nil)), []string{dev, "ROLE Monitoring User: Looks at what is observed", restart})
		d.do(t, "PATCH", path, object{"roleIds": []string{developer}})
		same(t, "the ✕ of one leaves the others", badges(d.do(t, "GET", path, nil)), []string{dev, restart})
		d.do(t, "PATCH", path, object{"permissionKeys": []string{}})
		same(t, "off", badges(d.do(t, "GET", path, nil)), []string{dev})
		d.refused(t, "PATCH", path, object{"roleIds": []string{}, "permissionKeys": []string{}}, "INVALID_FIELDS")
	})
	t.Run("all tabs are applied together or not at all", func(t *testing.T) {
		d.refused(t, "PATCH", path, object{"firstName": "Anna", "roleIds": []string{monitoringUser}, "phone": "+41791234567"}, "PHONE_NOT_VERIFIED")
		same(t, "name", d.do(t, "GET", path, nil)["displayName"], "Ann Ng")
		edited := d.do(t, "PATCH", path, object{"firstName": "Anna", "roleIds": []string{monitoringUser}})
		same(t, "name", edited["displayName"], "Anna Ng")
	})
	t.Run("an empty password keeps the present one", func(t *testing.T) {
		d.do(t, "PATCH", path, object{"password": "Harbour#93quartzPlum"})
		d.do(t, "PATCH", path, object{"password": "", "lastName": "Nguyen"})
		d.firstSignIn(t, "ann@example.com", "Harbour#93quartzPlum", "Quartz@harbour27plum")
	})
	t.Run("an administrator resends the confirmation e-mail while it is pending", func(t *testing.T) {
		bob := d.do(t, "POST", "/v1/users", object{"email": "bob@example.com", "firstName": "Bob", "lastName": "Li", "roleIds": []string{monitoringUser}})
		first := d.posted(t, "bob@example.com", `/activate\?token=([A-Za-z0-9_-]+)`)
		d.do(t, "POST", "/v1/users/"+bob["id"].(string)+":sendActivation", object{})
		d.refused(t, "POST", "/v1/users:activate", object{"token": first, "password": "Harbour#93quartzPlum"}, "LINK_INVALID")
		d.refused(t, "POST", path+":sendActivation", object{}, "ALREADY_CONFIRMED")
	})
}

// The picker reads both lists whole, in pages or at once, and looks for what
// was typed in what it has: the two are a catalogue, not a list of people.
func TestDialog_Picker(t *testing.T) {
	d := openDialog(t)
	ann := d.add(t, "ann@example.com", "Ann", "Ng", monitoringUser)
	path := "/v1/users/" + ann["id"].(string)
	roles, permissions := d.browse(t, "/v1/roles", "roles", "id"), d.browse(t, "/v1/permissions", "permissions", "key")
	t.Run("browse all available roles", func(t *testing.T) {
		for _, id := range []string{monitoringUser, developer, superUser} {
			if roles[id]["name"] == "" || roles[id]["description"] == "" || roles[id] == nil {
				t.Errorf("%s: %v", id, roles[id])
			}
		}
	})
	t.Run("browse all individual permissions", func(t *testing.T) {
		for _, key := range d.do(t, "GET", "/v1/me", nil)["effectivePermissions"].([]any) {
			if p := permissions[key.(string)]; p == nil || p["name"] == "" || p["description"] == "" {
				t.Errorf("%s: %v", key, p)
			}
		}
	})
	t.Run("what was typed is looked for in names and descriptions", func(t *testing.T) {
		same(t, "role", search(roles, "looks at"), []string{monitoringUser})
		same(t, "permission", search(permissions, "RESTART"), []string{"agents.restart"})
		same(t, "nothing", search(roles, "no such thing"), []string{})
	})
	t.Run("toggle what was found on and off", func(t *testing.T) {
		role, key := search(roles, "looks at")[0], search(permissions, "restart")[0]
		d.do(t, "PATCH", path, object{"roleIds": []string{role, developer}, "permissionKeys": []string{key}})
		on := d.do(t, "GET", path, nil)
		same(t, "on", []any{len(on["roleIds"].([]any)), on["permissionKeys"]}, []any{2, []string{key}})
		d.do(t, "PATCH", path, object{"roleIds": []string{role}, "permissionKeys": []string{}})
		off := d.do(t, "GET", path, nil)
		same(t, "off", []any{off["roleIds"], off["permissionKeys"]}, []any{[]string{role}, []string{}})
	})
	t.Run("what is not in the lists cannot be assigned", func(t *testing.T) {
		d.refused(t, "PATCH", path, object{"permissionKeys": []string{"agents.none"}}, "UNKNOWN_PERMISSION")
		d.refused(t, "PATCH", path, object{"roleIds": []string{"00000000-0000-7000-8000-0000000000ff"}}, "NOT_FOUND")
	})
}

// browse reads a list to its end, five at a time, and once more at once.
func (d *dialog) browse(t *testing.T, path, list, key string) map[string]object {
	t.Helper()
	all, token, n := map[string]object{}, "", 0
	for {
		page := d.do(t, "GET", path+"?pageSize=5&pageToken="+url.QueryEscape(token), nil)
		for _, entry := range page[list].([]any) {
			all[entry.(object)[key].(string)] = entry.(object)
			n++
		}
		if token = page["nextPageToken"].(string); token == "" {
			same(t, path+" in pages", []int{len(all), n}, []int{number(page["totalSize"]), number(page["totalSize"])})
			break
		}
	}
	same(t, path+" at once", len(d.do(t, "GET", path+"?pageSize=1000", nil)[list].([]any)), len(all))
	return all
}

// search is what the page does with what is typed into the picker.
func search(entries map[string]object, typed string) (keys []string) {
	for key, e := range entries {
		if strings.Contains(strings.ToLower(fmt.Sprint(e["name"], "\n", e["description"])), strings.ToLower(typed)) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// invalid makes a user who must be refused for one field.
func (d *dialog) invalid(t *testing.T, user object, field string) {
	t.Helper()
	status, answer := d.try(t, "POST", "/v1/users", user)
	var named []string
	for _, detail := range answer["details"].([]any) {
		violations, _ := detail.(object)["fieldViolations"].([]any)
		for _, v := range violations {
			named = append(named, v.(object)["field"].(string))
		}
	}
	if status != http.StatusBadRequest || !slices.Equal(slices.Compact(named), []string{field}) {
		t.Errorf("%v: %d, fields %v, want %s", user, status, named, field)
	}
}

func with(o object, name string, value any) object {
	changed := object{name: value}
	for k, v := range o {
		if k != name {
			changed[k] = v
		}
	}
	return changed
}

func without(o object, name string) object {
	changed := with(o, name, nil)
	delete(changed, name)
	return changed
}

// other is another code than the right one.
func other(code string) string {
	if code == "000000" {
		return "000001"
	}
	return "000000"
}
