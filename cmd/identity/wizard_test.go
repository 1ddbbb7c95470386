package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// The wizard of a new user, and the dialog that edits one.

func TestDialog_Wizard(t *testing.T) {
	d := openDialog(t)
	draft := object{"email": "zoë@example.com", "firstName": "Zoë-Ann", "lastName": "O’Brien 王", "roleIds": []string{monitoringUser}}
	t.Run("First Name, Last Name and e-mail are required", func(t *testing.T) {
		for _, field := range []string{"email", "firstName", "lastName"} {
			d.refused(t, "POST", "/v1/users", without(draft, field), "INVALID_FIELDS")
		}
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
	t.Run("at least one role must be assigned", func(t *testing.T) {
		d.refused(t, "POST", "/v1/users", without(draft, "roleIds"), "INVALID_FIELDS")
	})
	var made object
	t.Run("Create User makes the account of all three tabs", func(t *testing.T) {
		made = d.do(t, "POST", "/v1/users", with(with(draft, "password", password), "phoneProof", proof))
		same(t, "state", made["state"], "PENDING")
		same(t, "phone", []any{made["phoneVerified"], strings.HasSuffix(made["phone"].(string), "67")}, []bool{true, true})
		if strings.Contains(made["phone"].(string), "123") || made["password"] != nil && made["password"] != "" {
			t.Errorf("too much is answered: %v", made)
		}
		d.refused(t, "POST", "/v1/users", draft, "EMAIL_TAKEN")
	})
	t.Run("the user receives a confirmation email to activate their access", func(t *testing.T) {
		same(t, "before", d.signInStatus(t, "zoë@example.com", password), http.StatusUnauthorized)
		link := d.posted(t, "example.com", `/activate\?token=([A-Za-z0-9_-]+)`)
		d.follow(t, link)
		same(t, "after", d.do(t, "GET", "/v1/users/"+made["id"].(string), nil)["state"], "ACTIVE")
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
		edited := d.do(t, "PATCH", path, object{"roleIds": []string{developer}, "permissionKeys": []string{"agents.restart"}})
		same(t, "role", edited["roles"].([]any)[0].(object)["name"], "Developer")
		same(t, "permission", edited["permissions"].([]any)[0].(object)["key"], "agents.restart")
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
