package user

import (
	"context"
	"slices"
	"strings"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/change"
	"github.com/bizmetry/identity/service/contact"
	"github.com/bizmetry/identity/service/password"
	"github.com/bizmetry/identity/service/phone"
	"github.com/bizmetry/identity/service/wire"
	"github.com/bizmetry/identity/store"
)

// UpdateUser changes the fields of the mask together or not at all.
func (s *Users) UpdateUser(ctx context.Context, req *identityv1.UpdateUserRequest) (*identityv1.User, error) {
	edit := &edit{}
	resp, err := s.update(ctx, req, edit)
	return resp, s.availability.Taken(ctx, err, edit.newKey, req.GetUser().GetId())
}

func (s *Users) update(ctx context.Context, req *identityv1.UpdateUserRequest, edit *edit) (resp *identityv1.User, err error) {
	if err := s.mustProve(ctx, req); err != nil {
		return nil, err
	}
	if err := s.readEdit(ctx, req, edit); err != nil {
		return nil, err
	}
	var changed store.User
	err = s.changes.Run(ctx, func(tx *change.Tx) error {
		former, err := tx.User(ctx, tx.Org.ID, req.GetUser().GetId())
		if err != nil {
			return err
		}
		if err := change.CheckEtag(req.GetUser().GetEtag(), former.Version); err != nil {
			return err
		}
		u := former
		err = tx.KeepAdministrator(ctx, func() error { return s.updateUser(ctx, tx, former, &u, edit) })
		if err != nil {
			return err
		}
		changed = u
		resp, err = s.Answer(ctx, tx, u)
		return err
	})
	if err == nil && edit.hash != "" {
		s.limits.Lifted(changed)
	}
	return resp, err
}

// edit is what an update asks for; nil is left as it is.
type edit struct {
	email       *contact.Email
	newKey      string // of the address, once it is known to be another one
	first, last *string
	confirmed   *bool
	enabled     *bool  // as it is: an update does not change it
	hash        string // of the new password
	roles, keys *[]string
	phone       phone.Edit
}

// readEdit reads the fields of the mask. It hashes the password, so it is
// called before the lock is taken.
func (s *Users) readEdit(ctx context.Context, req *identityv1.UpdateUserRequest, e *edit) (err error) {
	in := req.GetUser()
	newPassword := ""
	for _, path := range req.GetUpdateMask().GetPaths() {
		switch path {
		case "email":
			address, _ := contact.ParseEmail(in.GetEmail()) // the door saw that it is one
			e.email = &address
		case "first_name":
			e.first = in.FirstName
		case "last_name":
			e.last = in.LastName
		case "confirmed":
			confirmed := in.GetConfirmed()
			e.confirmed = &confirmed
		case "enabled":
			e.enabled = in.Enabled
		case "role_ids":
			e.roles = &in.RoleIds
		case "permission_keys":
			e.keys = &in.PermissionKeys
		case "phone":
			e.phone.Read(or(in.Phone, ""), "user.phone")
		case "phone_proof":
			e.phone.Proof = in.GetPhoneProof()
		case "password":
			newPassword = in.GetPassword() // empty: keep the present one
		}
	}
	if newPassword != "" {
		e.hash, err = s.hashPasswordOf(ctx, in, e, newPassword)
	}
	return err
}

// hashPasswordOf hashes a new password of a person, as they will be after the
// edit, unless it is known already that the edit will be refused.
func (s *Users) hashPasswordOf(ctx context.Context, in *identityv1.User, e *edit, chosen string) (string, error) {
	look, err := s.changes.Look(ctx)
	if err != nil {
		return "", err
	}
	u, err := s.store.User(ctx, look.Org.ID, in.GetId())
	if err != nil {
		return "", err
	}
	if err := change.CheckEtag(in.GetEtag(), u.Version); err != nil {
		return "", err
	}
	if err := s.mayEdit(ctx, look, &u, e); err != nil {
		return "", err
	}
	SetName(&u, or(e.first, u.FirstName), or(e.last, u.LastName))
	if err := password.Accept(look.Org, u, chosen); err != nil {
		return "", err
	}
	err = s.setPassword(ctx, look, &u, chosen)
	return u.PasswordHash, err
}

// ofUser begins the path of a field of the user in a request.
const ofUser = "user."

// updateUser applies an edit to a person: u begins as the former row and is
// left as it was written. Every part checks its own right.
func (s *Users) updateUser(ctx context.Context, tx *change.Tx, former store.User, u *store.User, e *edit) error {
	if e.enabled != nil && *e.enabled != former.Enabled {
		return answer.Invalid(ofUser+"enabled", "switched", "is not changed by an update: use EnableUser or DisableUser (:enable, :disable)")
	}
	var changed []string
	if e.first != nil || e.last != nil {
		SetName(u, or(e.first, u.FirstName), or(e.last, u.LastName))
		if u.DisplayName != former.DisplayName {
			changed = append(changed, "name")
			if err := tx.MustControl(ctx, tx.PrincipalOf(store.KindUser, u.ID)); err != nil {
				return err
			}
		}
	}
	login, err := s.editLogin(ctx, tx, former, u, e)
	if err != nil {
		return err
	}
	changed = append(changed, login...)
	data := store.Data{}
	if e.roles != nil || e.keys != nil {
		granted, err := replaceGrants(ctx, tx, u.ID, e.roles, e.keys)
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
	u.Version, u.Updated = u.Version+1, tx.Now
	if err := tx.SaveUser(ctx, former, *u); err != nil {
		return emailTaken(err)
	}
	if e.hash != "" {
		if err := tx.DeleteDevices(ctx, u.Org, u.ID); err != nil {
			return err
		}
	}
	if err := s.letters.Tell(ctx, tx, former, *u, changed); err != nil {
		return err
	}
	data["fields"] = strings.Join(changed, ",")
	tx.Note(store.EventUserUpdated, u.ID, data)
	return nil
}

// editLogin changes what a person signs in with: address, confirmation,
// password and phone. Whoever changes it could become that person.
func (s *Users) editLogin(ctx context.Context, tx *change.Tx, former store.User, u *store.User, e *edit) (changed []string, err error) {
	if changed, err = editAddress(ctx, s.availability, &tx.Decision, former, u, e); err != nil {
		return nil, err
	}
	if e.hash != "" {
		u.PasswordHash, u.PasswordInitial = e.hash, true
		changed = append(changed, "password")
	}
	number, given, err := s.phones.Edit(ctx, &tx.Decision, tx.TakePhoneProof, u.ID, *u, e.phone)
	if err != nil {
		return nil, err
	}
	if given {
		changed = append(changed, "phone")
	}
	if len(changed) == 0 {
		return nil, nil
	}
	if err := tx.MustOutlive(ctx, tx.PrincipalOf(store.KindUser, u.ID), 0); err != nil {
		return nil, err
	}
	if given {
		if err := s.phones.Write(ctx, tx, u, number); err != nil {
			return nil, err
		}
	}
	if e.hash != "" {
		if err := s.limits.Lift(ctx, tx, *u); err != nil { // who waits has guessed a password that is gone
			return nil, err
		}
	}
	return changed, applyLogin(ctx, tx, former, u, e.hash != "")
}

// editAddress changes address and confirmation in the row.
func editAddress(ctx context.Context, a *Availability, d *change.Decision, former store.User, u *store.User, e *edit) (changed []string, err error) {
	if e.email != nil && *e.email != (contact.Email{Text: u.Email, Key: u.EmailKey}) {
		u.Email, u.EmailKey = e.email.Text, e.email.Key
		changed = append(changed, "email")
		if u.EmailKey != former.EmailKey {
			if err := a.MayLearn(ctx); err != nil {
				return nil, err
			}
			e.newKey, u.Confirmed = u.EmailKey, u.Confirmed && d.MayConfirm() // who may not vouch for it has to have it proven
		}
	}
	if e.confirmed != nil && *e.confirmed != former.Confirmed {
		if !d.MayConfirm() {
			return nil, answer.ErrConfirmNotAllowed
		}
		u.Confirmed = *e.confirmed
		changed = append(changed, "confirmed")
	}
	return changed, nil
}

// applyLogin moves the address in the directory, and ends what was issued
// before a new password, the loss of confirmation or an address that is not
// proven: links to the former one are void, also if it comes back.
func applyLogin(ctx context.Context, tx *change.Tx, former store.User, u *store.User, newPassword bool) error {
	if former.EmailKey != u.EmailKey || former.Confirmed != u.Confirmed {
		if err := moveEmail(ctx, tx, former, *u); err != nil {
			return err
		}
	}
	if newPassword || (!u.Confirmed && (former.Confirmed || former.EmailKey != u.EmailKey)) {
		u.Epoch = tx.NextEpoch(u.Epoch)
		return tx.EndSessions(ctx, u.Org, u.ID, "login changed", tx.Now)
	}
	return nil
}

// moveEmail gives an address up and claims another, in the order of their keys, so that
// two users who swap addresses never wait for each other crosswise.
func moveEmail(ctx context.Context, tx *change.Tx, former, u store.User) error {
	if former.Confirmed && former.EmailKey <= u.EmailKey {
		if err := tx.Delist(ctx, store.ConfirmedEmail, former.EmailKey, former.ID); err != nil {
			return err
		}
	}
	if err := claimEmail(ctx, tx, u); err != nil {
		return err
	}
	if former.Confirmed && former.EmailKey > u.EmailKey {
		return tx.Delist(ctx, store.ConfirmedEmail, former.EmailKey, former.ID)
	}
	return nil
}

// replaceGrants makes roles and permissions those that are wanted (nil: as
// they are). What stays keeps its expiry; what comes never expires.
func replaceGrants(ctx context.Context, tx *change.Tx, id string, roles, keys *[]string) (store.Data, error) {
	present, err := tx.Grants(ctx, tx.Org.ID, id)
	if err != nil {
		return nil, err
	}
	add, drop, err := replaced(present, roles, keys, tx.Now)
	if err != nil {
		return nil, err
	}
	if err := tx.Grant(ctx, id, add); err != nil {
		return nil, err
	}
	if err := tx.Revoke(ctx, tx.PrincipalOf(store.KindUser, id), drop); err != nil {
		return nil, err
	}
	data := add.Data()
	for name, value := range drop.Data() {
		data["dropped_"+name] = value
	}
	return data, nil
}

// replaced is what has to come and to go, so that roles and permissions become
// those that are wanted.
func replaced(present []store.Grant, roles, keys *[]string, now store.Micros) (add, drop change.Assignment, err error) {
	kept := 0
	for _, g := range present {
		switch {
		case wire.Ended(g.Expires, now):
		case g.Role != "" && roles != nil && !slices.Contains(*roles, g.Role):
			drop.Roles = append(drop.Roles, g.Role)
		case g.Permit != "" && keys != nil && !slices.Contains(*keys, g.Permit):
			drop.Keys = append(drop.Keys, g.Permit)
		default:
			kept++
		}
	}
	add.Roles = without(roles, present, func(g store.Grant) string { return g.Role }, now)
	add.Keys = without(keys, present, func(g store.Grant) string { return g.Permit }, now)
	if kept+len(add.Roles)+len(add.Keys) == 0 {
		return add, drop, answer.Invalid("user.role_ids", "at_least_one", "at least one role or permission must stay assigned")
	}
	return add, drop, nil
}

// without lists the wanted names that no present grant gives.
func without(wanted *[]string, present []store.Grant, name func(store.Grant) string, now store.Micros) (missing []string) {
	if wanted == nil {
		return nil
	}
	for _, want := range *wanted {
		if !slices.ContainsFunc(present, func(g store.Grant) bool { return name(g) == want && !wire.Ended(g.Expires, now) }) {
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
func (s *Users) EnableUser(ctx context.Context, req *identityv1.EnableUserRequest) (*identityv1.User, error) {
	return s.switchUser(ctx, req.GetId(), req.GetEtag(), store.EventUserEnabled, nil, func(u *store.User) bool {
		done := !u.Enabled
		u.Enabled = true
		return done
	})
}

// DisableUser shuts a person out.
func (s *Users) DisableUser(ctx context.Context, req *identityv1.DisableUserRequest) (*identityv1.User, error) {
	return s.switchUser(ctx, req.GetId(), req.GetEtag(), store.EventUserDisabled, nil, func(u *store.User) bool {
		done := u.Enabled
		u.Enabled = false
		return done
	})
}

// switchUser changes the state of a person.
func (s *Users) switchUser(ctx context.Context, id, etag, event string, data func(store.User) store.Data, flip func(*store.User) bool) (*identityv1.User, error) {
	return change.Switch(ctx, s.changes, change.Switched[store.User, identityv1.User]{
		Kind: store.KindUser, ID: id, Etag: etag, Event: event, Flip: flip, Data: data,
		Read:    func(ctx context.Context, tx *change.Tx) (store.User, error) { return tx.User(ctx, tx.Org.ID, id) },
		Version: func(u store.User) int64 { return u.Version },
		Save: func(ctx context.Context, tx *change.Tx, former store.User, u *store.User) error {
			if err := tx.KeepAdministrator(ctx, func() error { return saveSwitched(ctx, tx, former, u) }); err != nil {
				return err
			}
			if former.Enabled || !u.Enabled {
				return nil
			}
			return s.letters.InviteEnabled(ctx, tx, *u)
		},
		Answer: s.Answer,
	})
}

// saveSwitched writes a new state. It moves the epoch each way, so that a link
// which was sent while somebody was disabled is void when they are enabled.
func saveSwitched(ctx context.Context, tx *change.Tx, former store.User, u *store.User) error {
	u.Version, u.Updated, u.Epoch = u.Version+1, tx.Now, tx.NextEpoch(u.Epoch)
	if !u.Enabled || u.Deleted != 0 {
		if err := tx.EndSessions(ctx, u.Org, u.ID, "disabled", tx.Now); err != nil {
			return err
		}
	}
	if u.Deleted != 0 && u.Confirmed {
		if err := tx.Delist(ctx, store.ConfirmedEmail, u.EmailKey, u.ID); err != nil {
			return err
		}
	}
	return tx.SaveUser(ctx, former, *u)
}
