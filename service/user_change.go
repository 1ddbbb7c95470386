package service

import (
	"context"
	"slices"
	"strings"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/store"
)

// UpdateUser changes the fields of the mask together or not at all.
func (s *Service) UpdateUser(ctx context.Context, req *identityv1.UpdateUserRequest) (*identityv1.User, error) {
	edit, err := s.readEdit(ctx, req)
	if err != nil {
		return nil, err
	}
	var resp *identityv1.User
	err = s.change(ctx, func(ch *change) error {
		former, err := ch.User(ctx, ch.org.ID, req.GetUser().GetId())
		if err != nil {
			return err
		}
		if err := checkEtag(req.GetUser().GetEtag(), former.Version); err != nil {
			return err
		}
		u := former
		err = ch.keepingAdministrator(ctx, func() error { return ch.updateUser(ctx, former, &u, edit) })
		if err != nil {
			return err
		}
		resp, err = ch.userAnswer(ctx, u)
		return err
	})
	return resp, err
}

// edit is what an update asks for; nil is left as it is.
type edit struct {
	email       *email
	first, last *string
	confirmed   *bool
	hash        string // of the new password
	roles, keys *[]string
	phone       phoneEdit
}

// readEdit reads the fields of the mask. It hashes the password, so it is
// called before the lock is taken.
func (s *Service) readEdit(ctx context.Context, req *identityv1.UpdateUserRequest) (e edit, err error) {
	in := req.GetUser()
	newPassword := ""
	for _, path := range req.GetUpdateMask().GetPaths() {
		switch path {
		case "email":
			address, _ := parseEmail(in.GetEmail()) // the door saw that it is one
			e.email = &address
		case "first_name":
			e.first = in.FirstName
		case "last_name":
			e.last = in.LastName
		case "confirmed":
			confirmed := in.GetConfirmed()
			e.confirmed = &confirmed
		case "role_ids":
			e.roles = &in.RoleIds
		case "permission_keys":
			e.keys = &in.PermissionKeys
		case "phone":
			e.phone.read(or(in.Phone, ""), "user.phone")
		case "phone_proof":
			e.phone.proof = in.GetPhoneProof()
		case "password":
			newPassword = in.GetPassword() // empty: keep the present one
		}
	}
	if e.email != nil || e.confirmed != nil {
		if err := s.mayLearn(ctx); err != nil {
			return e, err
		}
	}
	if newPassword != "" {
		e.hash, err = s.hashPasswordOf(ctx, in, e, newPassword)
	}
	return e, err
}

// hashPasswordOf hashes a new password of a person, as they will be after the
// edit, unless it is known already that the edit will be refused.
func (s *Service) hashPasswordOf(ctx context.Context, in *identityv1.User, e edit, password string) (string, error) {
	look, err := s.look(ctx)
	if err != nil {
		return "", err
	}
	u, err := s.store.User(ctx, look.org.ID, in.GetId())
	if err != nil {
		return "", err
	}
	if err := checkEtag(in.GetEtag(), u.Version); err != nil {
		return "", err
	}
	if err := s.mayEdit(ctx, look, &u, e); err != nil {
		return "", err
	}
	setName(&u, or(e.first, u.FirstName), or(e.last, u.LastName))
	if err := acceptPassword(look.org, u, password); err != nil {
		return "", err
	}
	err = s.setPassword(ctx, look, &u, password)
	return u.PasswordHash, err
}

// updateUser applies an edit to a person: u begins as the former row and is
// left as it was written. Every part checks its own right.
func (ch *change) updateUser(ctx context.Context, former store.User, u *store.User, e edit) error {
	var changed []string
	if e.first != nil || e.last != nil {
		setName(u, or(e.first, u.FirstName), or(e.last, u.LastName))
		if u.DisplayName != former.DisplayName {
			changed = append(changed, "name")
		}
	}
	login, err := ch.editLogin(ctx, former, u, e)
	if err != nil {
		return err
	}
	changed = append(changed, login...)
	data := store.Data{}
	if e.roles != nil || e.keys != nil {
		granted, err := ch.replaceGrants(ctx, u.ID, e.roles, e.keys)
		if err != nil {
			return err
		}
		if len(granted) > 0 {
			changed, data = append(changed, "grants"), granted
		}
	}
	if len(changed) == 0 {
		return nil
	}
	u.Version, u.Updated = u.Version+1, ch.now
	if err := ch.SaveUser(ctx, former, *u); err != nil {
		return emailTaken(err)
	}
	if err := ch.tell(ctx, former, *u, changed); err != nil {
		return err
	}
	data["fields"] = strings.Join(changed, ",")
	ch.record("user.updated", u.ID, data)
	return nil
}

// editLogin changes what a person signs in with: address, confirmation,
// password and phone. Whoever changes it could become that person.
func (ch *change) editLogin(ctx context.Context, former store.User, u *store.User, e edit) (changed []string, err error) {
	if changed, err = editAddress(&ch.decision, former, u, e); err != nil {
		return nil, err
	}
	if e.hash != "" {
		u.PasswordHash, u.PasswordInitial = e.hash, true
		changed = append(changed, "password")
	}
	number, phone, err := ch.s.editPhone(ctx, &ch.decision, ch.TakePhoneProof, u.ID, *u, e.phone)
	if err != nil {
		return nil, err
	}
	if phone {
		changed = append(changed, "phone")
	}
	if len(changed) == 0 {
		return nil, nil
	}
	if err := ch.mustOutlive(ctx, ch.principal(store.KindUser, u.ID), 0); err != nil {
		return nil, err
	}
	if phone {
		if err := ch.writePhone(ctx, u, number); err != nil {
			return nil, err
		}
	}
	return changed, ch.applyLogin(ctx, former, u, e.hash != "")
}

// editAddress changes address and confirmation in the row.
func editAddress(d *decision, former store.User, u *store.User, e edit) (changed []string, err error) {
	if e.email != nil && *e.email != (email{u.Email, u.EmailKey}) {
		u.Email, u.EmailKey = e.email.text, e.email.key
		changed = append(changed, "email")
		if u.EmailKey != former.EmailKey && !d.mayConfirm() {
			u.Confirmed = false // the new address is not proven
		}
	}
	if e.confirmed != nil && *e.confirmed != former.Confirmed {
		if !d.mayConfirm() {
			return nil, errConfirmNotAllowed
		}
		u.Confirmed = *e.confirmed
		changed = append(changed, "confirmed")
	}
	return changed, nil
}

// applyLogin moves the address in the directory, and ends what was issued
// before a new password, the loss of confirmation or an address that is not
// proven: links to the former one are void, also if it comes back.
func (ch *change) applyLogin(ctx context.Context, former store.User, u *store.User, newPassword bool) error {
	if former.EmailKey != u.EmailKey || former.Confirmed != u.Confirmed {
		if former.Confirmed {
			if err := ch.Delist(ctx, store.ConfirmedEmail, former.EmailKey, former.ID); err != nil {
				return err
			}
		}
		if err := ch.claimEmail(ctx, *u); err != nil {
			return err
		}
	}
	if newPassword || (!u.Confirmed && (former.Confirmed || former.EmailKey != u.EmailKey)) {
		u.Epoch = ch.nextEpoch(u.Epoch)
		return ch.EndSessions(ctx, u.Org, u.ID, "login changed", ch.now)
	}
	return nil
}

// replaceGrants makes roles and permissions those that are wanted (nil: as
// they are). What stays keeps its expiry; what comes never expires.
func (ch *change) replaceGrants(ctx context.Context, id string, roles, keys *[]string) (store.Data, error) {
	present, err := ch.Grants(ctx, ch.org.ID, id)
	if err != nil {
		return nil, err
	}
	add, drop, err := replaced(present, roles, keys, ch.now)
	if err != nil {
		return nil, err
	}
	if err := ch.grant(ctx, id, add); err != nil {
		return nil, err
	}
	if err := ch.revoke(ctx, ch.principal(store.KindUser, id), drop); err != nil {
		return nil, err
	}
	data := add.data()
	for name, value := range drop.data() {
		data["dropped_"+name] = value
	}
	return data, nil
}

// replaced is what has to come and to go, so that roles and permissions become
// those that are wanted.
func replaced(present []store.Grant, roles, keys *[]string, now store.Micros) (add, drop assignment, err error) {
	kept := 0
	for _, g := range present {
		switch {
		case ended(g.Expires, now):
		case g.Role != "" && roles != nil && !slices.Contains(*roles, g.Role):
			drop.roles = append(drop.roles, g.Role)
		case g.Permit != "" && keys != nil && !slices.Contains(*keys, g.Permit):
			drop.keys = append(drop.keys, g.Permit)
		default:
			kept++
		}
	}
	add.roles = without(roles, present, func(g store.Grant) string { return g.Role }, now)
	add.keys = without(keys, present, func(g store.Grant) string { return g.Permit }, now)
	if kept+len(add.roles)+len(add.keys) == 0 {
		return add, drop, invalid("user.role_ids", "at_least_one", "at least one role or permission must stay assigned")
	}
	return add, drop, nil
}

// without lists the wanted names that no present grant gives.
func without(wanted *[]string, present []store.Grant, name func(store.Grant) string, now store.Micros) (missing []string) {
	if wanted == nil {
		return nil
	}
	for _, want := range *wanted {
		if !slices.ContainsFunc(present, func(g store.Grant) bool { return name(g) == want && !ended(g.Expires, now) }) {
			missing = append(missing, want)
		}
	}
	return missing
}

func or(value *string, otherwise string) string {
	if value == nil {
		return otherwise
	}
	return *value
}

// EnableUser lets a disabled person in again.
func (s *Service) EnableUser(ctx context.Context, req *identityv1.EnableUserRequest) (*identityv1.User, error) {
	return s.switchUser(ctx, req.GetId(), req.GetEtag(), "user.enabled", func(u *store.User) bool {
		done := !u.Enabled
		u.Enabled = true
		return done
	})
}

// DisableUser shuts a person out.
func (s *Service) DisableUser(ctx context.Context, req *identityv1.DisableUserRequest) (*identityv1.User, error) {
	return s.switchUser(ctx, req.GetId(), req.GetEtag(), "user.disabled", func(u *store.User) bool {
		done := u.Enabled
		u.Enabled = false
		return done
	})
}

// switchUser changes the state of a person. The flip tells whether it changed
// anything; if not, the answer is the person as they are.
func (s *Service) switchUser(ctx context.Context, id, etag, event string, flip func(*store.User) bool) (*identityv1.User, error) {
	var resp *identityv1.User
	err := s.change(ctx, func(ch *change) error {
		former, err := ch.User(ctx, ch.org.ID, id)
		if err != nil {
			return err
		}
		if err := checkEtag(etag, former.Version); err != nil {
			return err
		}
		if err := ch.mustControl(ctx, ch.principal(store.KindUser, id)); err != nil {
			return err
		}
		u := former
		if flip(&u) {
			if err := ch.keepingAdministrator(ctx, func() error { return ch.saveSwitched(ctx, former, &u) }); err != nil {
				return err
			}
			ch.record(event, id, nil)
		}
		resp, err = ch.userAnswer(ctx, u)
		return err
	})
	return resp, err
}

// saveSwitched writes a new state. It moves the epoch each way, so that a link
// which was sent while somebody was disabled is void when they are enabled.
func (ch *change) saveSwitched(ctx context.Context, former store.User, u *store.User) error {
	u.Version, u.Updated, u.Epoch = u.Version+1, ch.now, ch.nextEpoch(u.Epoch)
	if !u.Enabled || u.Deleted != 0 {
		if err := ch.EndSessions(ctx, u.Org, u.ID, "disabled", ch.now); err != nil {
			return err
		}
	}
	if u.Deleted != 0 && u.Confirmed {
		if err := ch.Delist(ctx, store.ConfirmedEmail, u.EmailKey, u.ID); err != nil {
			return err
		}
	}
	return ch.SaveUser(ctx, former, *u)
}
