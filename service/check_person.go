package service

import (
	"strings"

	"google.golang.org/protobuf/proto"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
)

// checkPeople has the door check what the field rules of the contract cannot
// say about people: addresses and numbers that are none, and nothing assigned.
func (s *Service) checkPeople() {
	all := func(string) bool { return true }
	s.checkFurther(&identityv1.CreateUserRequest{}, func(found *refusal, msg proto.Message) {
		u := msg.(*identityv1.CreateUserRequest).GetUser()
		checkPerson(found, "user.", u, all)
		checkAssigned(found, "user.role_ids", len(u.GetRoleIds())+len(u.GetPermissionKeys()))
	})
	s.checkFurther(&identityv1.CreateOrganizationRequest{}, func(found *refusal, msg proto.Message) {
		checkPerson(found, "administrator.", msg.(*identityv1.CreateOrganizationRequest).GetAdministrator(), all)
	})
	s.checkFurther(&identityv1.UpdateUserRequest{}, func(found *refusal, msg proto.Message) {
		req := msg.(*identityv1.UpdateUserRequest)
		masked := map[string]bool{}
		for _, path := range req.GetUpdateMask().GetPaths() {
			masked[path] = true
		}
		checkPerson(found, "user.", req.GetUser(), func(field string) bool { return masked[field] })
		if masked["role_ids"] && masked["permission_keys"] { // else it depends on what is assigned
			checkAssigned(found, "user.role_ids", len(req.GetUser().GetRoleIds())+len(req.GetUser().GetPermissionKeys()))
		}
	})
}

// checkPerson checks the fields that are asked for. That one is missing is said already.
func checkPerson(found *refusal, prefix string, u *identityv1.User, asked func(field string) bool) {
	if address := u.GetEmail(); asked("email") && strings.TrimSpace(address) != "" {
		if _, ok := parseEmail(address); !ok {
			found.add(prefix+"email", "email", "must be an e-mail address")
		}
	}
	if phone := u.GetPhone(); asked("phone") && phone != "" && !strings.Contains(phone, masking) { // the masked one: compared with the row
		if _, ok := parsePhone(phone); !ok {
			found.add(prefix+"phone", "phone", wantPhone)
		}
	}
}

func checkAssigned(found *refusal, field string, n int) {
	if n == 0 {
		found.add(field, "at_least_one", "at least one role or permission must be assigned")
	}
}
