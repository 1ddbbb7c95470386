package user

import (
	"strings"

	"google.golang.org/protobuf/proto"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/contact"
	"github.com/bizmetry/identity/service/phone"
	"github.com/bizmetry/identity/service/table"
)

// checkPeople has the door check what the field rules of the contract cannot
// say about people: addresses and numbers that are none, and nothing assigned.
func (s *Users) checkPeople() {
	all := func(string) bool { return true }
	s.door.CheckFurther(&identityv1.CreateUserRequest{}, func(found *answer.Refusal, msg proto.Message) {
		u := msg.(*identityv1.CreateUserRequest).GetUser()
		checkPerson(found, "user.", u, all)
		checkAssigned(found, "user.role_ids", len(u.GetRoleIds())+len(u.GetPermissionKeys()))
	})
	s.door.CheckFurther(&identityv1.ExportUsersRequest{}, func(found *answer.Refusal, msg proto.Message) {
		checkListed(found, msg)
		if req := msg.(*identityv1.ExportUsersRequest); req.GetBom() && formatOf(req.GetFormat()) != table.CSV {
			found.Add("bom", "csv_only", "JSON lines have no byte order mark")
		}
	})
	s.door.CheckFurther(&identityv1.CreateOrganizationRequest{}, func(found *answer.Refusal, msg proto.Message) {
		founder := msg.(*identityv1.CreateOrganizationRequest).GetAdministrator()
		checkPerson(found, "administrator.", founder, all)
		if founder.Enabled != nil && !founder.GetEnabled() {
			found.Add("administrator.enabled", "enabled", "must not be false: an organization begins with somebody who may sign in")
		}
	})
	s.door.CheckFurther(&identityv1.UpdateUserRequest{}, func(found *answer.Refusal, msg proto.Message) {
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
	s.door.CheckFurther(&identityv1.BulkEnableUsersRequest{}, checkListed)
	s.door.CheckFurther(&identityv1.BulkDisableUsersRequest{}, checkListed)
}

// checkListed refuses deleted users where a request is about all who match a filter.
func checkListed(found *answer.Refusal, msg proto.Message) {
	req, ok := msg.(interface {
		GetFilter() *identityv1.ListUsersRequest_Filter
	})
	if ok && req.GetFilter().GetState() == identityv1.User_DELETED {
		found.Add("filter.state", "not_listed", "must be ACTIVE, PENDING or DISABLED: deleted users are only listed")
	}
}

// checkPerson checks the fields that are asked for. That one is missing is said already.
func checkPerson(found *answer.Refusal, prefix string, u *identityv1.User, asked func(field string) bool) {
	if address := u.GetEmail(); asked("email") && strings.TrimSpace(address) != "" {
		if _, ok := contact.ParseEmail(address); !ok {
			found.Add(prefix+"email", "email", "must be an e-mail address")
		}
	}
	if number := u.GetPhone(); asked("phone") && number != "" && !strings.Contains(number, contact.PhoneMask) { // the masked one: compared with the row
		if _, ok := contact.ParsePhone(number); !ok {
			found.Add(prefix+"phone", "phone", phone.Wanted)
		}
	}
}

func checkAssigned(found *answer.Refusal, field string, n int) {
	if n == 0 {
		found.Add(field, "at_least_one", "at least one role or permission must be assigned")
	}
}
