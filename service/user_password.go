package service

import (
	"context"
	"time"

	"github.com/bizmetry/identity/store"
)

// look is a change that only looks, on plain reads: it has no transaction. What
// it refuses is spared the hash of a password; the change itself decides again,
// under the lock.
func (s *Service) look(ctx context.Context) (*change, error) {
	look := &change{s: s, c: callOf(ctx), now: store.At(s.now())}
	return look, look.begin(ctx, s.store.Reads)
}

// Hashes that calls of administrators ask for hold up the sign-in of everybody.
// The budgets are far above what a script with people in it does, and keep a
// caller who does nothing else from taking more than a fifth of a processor.
var (
	passwordsByCaller       = budget{"passwords set: caller", 3000, 10 * time.Minute}
	passwordsOfOrganization = budget{"passwords set: organization", 6000, 10 * time.Minute}
)

// setPassword gives a person the password that an administrator chose. It
// hashes, so it is called before the lock is taken, when everything that is
// cheap to refuse has been.
func (look *change) setPassword(ctx context.Context, u *store.User, password string) error {
	err := look.s.spend(ctx, charge{passwordsByCaller, look.by.ID, 1}, charge{passwordsOfOrganization, look.by.Org, 1})
	if err != nil {
		return err
	}
	u.PasswordHash, err = look.s.passwords.Hash(ctx, password)
	u.PasswordInitial = true
	return err
}

// givePassword is the password of a new person of look.org.
func (look *change) givePassword(ctx context.Context, u *store.User, add assignment, phone phoneEdit, password string) error {
	if err := acceptPassword(look.org, *u, password); err != nil {
		return err
	}
	if err := look.mayAdd(ctx, *u, add, phone); err != nil {
		return err
	}
	return look.setPassword(ctx, u, password)
}

// mayAdd refuses what is known to be wrong with a new person of look.org.
func (look *change) mayAdd(ctx context.Context, u store.User, add assignment, phone phoneEdit) error {
	if u.Confirmed && !look.mayConfirm() {
		return errConfirmNotAllowed
	}
	if err := look.mustGrant(add); err != nil {
		return err
	}
	if _, _, err := look.editPhone(ctx, "", u, phone); err != nil {
		return err
	}
	return look.free(ctx, u)
}

// mayEdit refuses what is known to be wrong with an edit that has a new
// password. It leaves the person as they will be.
func (look *change) mayEdit(ctx context.Context, u *store.User, e edit) error {
	former := *u
	if _, err := look.editAddress(former, u, e); err != nil {
		return err
	}
	if _, _, err := look.editPhone(ctx, u.ID, *u, e.phone); err != nil {
		return err
	}
	if err := look.s.mustOutlive(ctx, look.s.store.Reads, look.cat, look.by, look.principal(store.KindUser, u.ID), 0); err != nil {
		return err
	}
	if e.roles != nil || e.keys != nil {
		present, err := look.s.store.Grants(ctx, look.org.ID, u.ID)
		if err != nil {
			return err
		}
		add, _, err := replaced(present, e.roles, e.keys, look.now)
		if err != nil {
			return err
		}
		if err := look.mustGrant(add); err != nil { // control over what goes follows from mustOutlive
			return err
		}
	}
	if u.EmailKey == former.EmailKey && u.Confirmed == former.Confirmed {
		return nil
	}
	return look.free(ctx, *u)
}

// free tells whether the address of a person is free, here and elsewhere.
func (look *change) free(ctx context.Context, u store.User) error {
	taken, err := look.s.store.EmailTaken(ctx, u.Org, u.EmailKey, u.ID)
	if err == nil && taken {
		err = look.s.tellTaken(ctx, errEmailTaken)
	}
	return err
}
