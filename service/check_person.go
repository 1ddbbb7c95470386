package service

import (
	"strings"

	"google.golang.org/protobuf/proto"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
)

// meaning adds what the field rules of the contract cannot say about people:
// addresses and numbers that are none, and nothing assigned. It stands in the
// door, so that a caller hears of everything at once.
func (r *refusal) meaning(msg proto.Message) {
	switch req := msg.(type) {
	case *identityv1.CreateUserRequest:
		r.person("user.", req.GetUser(), func(string) bool { return true })
		r.assigned("user.role_ids", len(req.GetUser().GetRoleIds())+len(req.GetUser().GetPermissionKeys()))
	case *identityv1.CreateOrganizationRequest:
		r.person("administrator.", req.GetAdministrator(), func(string) bool { return true })
	case *identityv1.UpdateUserRequest:
		masked := map[string]bool{}
		for _, path := range req.GetUpdateMask().GetPaths() {
			masked[path] = true
		}
		r.person("user.", req.GetUser(), func(field string) bool { return masked[field] })
		if masked["role_ids"] && masked["permission_keys"] { // else it depends on what is assigned
			r.assigned("user.role_ids", len(req.GetUser().GetRoleIds())+len(req.GetUser().GetPermissionKeys()))
		}
	}
}

// person checks the fields that are asked for. That one is missing is said already.
func (r *refusal) person(prefix string, u *identityv1.User, asked func(field string) bool) {
	if email := u.GetEmail(); asked("email") && strings.TrimSpace(email) != "" {
		if _, ok := parseEmail(email); !ok {
			r.add(prefix+"email", "email", "must be an e-mail address")
		}
	}
	if phone := u.GetPhone(); asked("phone") && phone != "" && !strings.Contains(phone, masking) { // the masked one: compared with the row
		if _, ok := parsePhone(phone); !ok {
			r.add(prefix+"phone", "phone", wantPhone)
		}
	}
}

func (r *refusal) assigned(field string, n int) {
	if n == 0 {
		r.add(field, "at_least_one", "at least one role or permission must be assigned")
	}
}
