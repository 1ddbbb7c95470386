package user

import (
	"context"
	"time"

	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/change"
	"github.com/bizmetry/identity/service/limit"
	"github.com/bizmetry/identity/service/password"
	"github.com/bizmetry/identity/service/phone"
	"github.com/bizmetry/identity/store"
)

// Hashes that calls of administrators ask for hold up the sign-in of everybody.
// The budgets are far above what a script with people in it does, and keep a
// caller who does nothing else from taking more than a fifth of a processor.
var (
	passwordsByCaller       = limit.Budget{Name: "passwords set: caller", Limit: 3000, Window: 10 * time.Minute}
	passwordsOfOrganization = limit.Budget{Name: "passwords set: organization", Limit: 6000, Window: 10 * time.Minute}
)

// setPassword gives a person the password that an administrator chose. It
// hashes, so it is called before the lock is taken, when everything that is
// cheap to refuse has been.
func (s *Users) setPassword(ctx context.Context, l *change.Look, u *store.User, chosen string) error {
	err := s.limits.Spend(ctx, passwordsByCaller.One(l.By.ID), passwordsOfOrganization.One(l.By.Org))
	if err != nil {
		return err
	}
	u.PasswordHash, err = s.hasher.Hash(ctx, chosen)
	u.PasswordInitial = true
	return err
}

// GivePassword checks a new user and the chosen password against the
// organization looked at, and hashes the password into u.
func (s *Users) GivePassword(ctx context.Context, l *change.Look, u *store.User, add change.Assignment, number phone.Edit, chosen string) error {
	if err := password.Accept(l.Org, *u, chosen); err != nil {
		return err
	}
	if err := s.mayAdd(ctx, l, *u, add, number); err != nil {
		return err
	}
	return s.setPassword(ctx, l, u, chosen)
}

// mayAdd refuses what is known to be wrong with a new person of the organization looked at.
func (s *Users) mayAdd(ctx context.Context, l *change.Look, u store.User, add change.Assignment, number phone.Edit) error {
	if u.Confirmed && !l.MayConfirm() {
		return answer.ErrConfirmNotAllowed
	}
	if err := l.MustGrant(add); err != nil {
		return err
	}
	if _, _, err := s.phones.Edit(ctx, &l.Decision, s.phones.PeekProof, "", u, number); err != nil {
		return err
	}
	return s.free(ctx, u)
}

// mayEdit refuses what is known to be wrong with an edit that has a new
// password. It leaves the person as they will be.
func (s *Users) mayEdit(ctx context.Context, l *change.Look, u *store.User, e *edit) error {
	former := *u
	if _, err := editAddress(ctx, s.availability, &l.Decision, former, u, e); err != nil {
		return err
	}
	if _, _, err := s.phones.Edit(ctx, &l.Decision, s.phones.PeekProof, u.ID, *u, e.phone); err != nil {
		return err
	}
	if err := l.MustOutlive(ctx, l.PrincipalOf(store.KindUser, u.ID), 0); err != nil {
		return err
	}
	if e.roles != nil || e.keys != nil {
		present, err := l.Reads.Grants(ctx, l.Org.ID, u.ID)
		if err != nil {
			return err
		}
		add, _, err := replaced(present, e.roles, e.keys, l.Now)
		if err != nil {
			return err
		}
		if err := l.MustGrant(add); err != nil { // control over what goes follows from MustOutlive
			return err
		}
	}
	if u.EmailKey == former.EmailKey && u.Confirmed == former.Confirmed {
		return nil
	}
	return s.free(ctx, *u)
}

// free tells whether the address of a person is free, here and elsewhere.
func (s *Users) free(ctx context.Context, u store.User) error {
	holder, err := s.store.EmailHolder(ctx, u.Org, u.EmailKey, u.ID)
	if err == nil && holder.Taken() {
		err = answer.ErrEmailTaken
	}
	return err
}
