package service

import (
	"context"
	"time"

	"github.com/bizmetry/identity/store"
)

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
func (s *Service) setPassword(ctx context.Context, l *look, u *store.User, password string) error {
	err := s.spend(ctx, passwordsByCaller.one(l.by.ID), passwordsOfOrganization.one(l.by.Org))
	if err != nil {
		return err
	}
	u.PasswordHash, err = s.passwords.Hash(ctx, password)
	u.PasswordInitial = true
	return err
}

// givePassword is the password of a new person of the organization looked at.
func (s *Service) givePassword(ctx context.Context, l *look, u *store.User, add assignment, phone phoneEdit, password string) error {
	if err := acceptPassword(l.org, *u, password); err != nil {
		return err
	}
	if err := s.mayAdd(ctx, l, *u, add, phone); err != nil {
		return err
	}
	return s.setPassword(ctx, l, u, password)
}

// mayAdd refuses what is known to be wrong with a new person of the organization looked at.
func (s *Service) mayAdd(ctx context.Context, l *look, u store.User, add assignment, phone phoneEdit) error {
	if u.Confirmed && !l.mayConfirm() {
		return errConfirmNotAllowed
	}
	if err := l.mustGrant(add); err != nil {
		return err
	}
	if _, _, err := s.editPhone(ctx, &l.decision, s.peekPhoneProof, "", u, phone); err != nil {
		return err
	}
	return s.free(ctx, u)
}

// mayEdit refuses what is known to be wrong with an edit that has a new
// password. It leaves the person as they will be.
func (s *Service) mayEdit(ctx context.Context, l *look, u *store.User, e edit) error {
	former := *u
	if _, err := editAddress(&l.decision, former, u, e); err != nil {
		return err
	}
	if _, _, err := s.editPhone(ctx, &l.decision, s.peekPhoneProof, u.ID, *u, e.phone); err != nil {
		return err
	}
	if err := l.mustOutlive(ctx, l.principal(store.KindUser, u.ID), 0); err != nil {
		return err
	}
	if e.roles != nil || e.keys != nil {
		present, err := l.reads.Grants(ctx, l.org.ID, u.ID)
		if err != nil {
			return err
		}
		add, _, err := replaced(present, e.roles, e.keys, l.now)
		if err != nil {
			return err
		}
		if err := l.mustGrant(add); err != nil { // control over what goes follows from mustOutlive
			return err
		}
	}
	if u.EmailKey == former.EmailKey && u.Confirmed == former.Confirmed {
		return nil
	}
	return s.free(ctx, *u)
}

// free tells whether the address of a person is free, here and elsewhere.
func (s *Service) free(ctx context.Context, u store.User) error {
	taken, err := s.store.EmailTaken(ctx, u.Org, u.EmailKey, u.ID)
	if err == nil && taken {
		err = s.tellTaken(ctx, errEmailTaken)
	}
	return err
}
