// Package password says what a user's password must be, and checks, generates
// and hashes passwords. It stores none, and must not know how users change.
package password

import (
	"context"
	"strings"
	"time"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/authority"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/kit"
	"github.com/bizmetry/identity/service/limit"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/store"
)

// Passwords answers what a password must be. It is a part of UserService.
type Passwords struct {
	kit.Kit

	hasher    *secret.Passwords
	authority *authority.Authority
	limits    *limit.Limits
}

// New returns the part of UserService that is about passwords.
func New(k kit.Kit, hasher *secret.Passwords, a *authority.Authority, limits *limit.Limits) *Passwords {
	return &Passwords{Kit: k, hasher: hasher, authority: a, limits: limits}
}

// product is a word that no password may be made of.
const product = "BizMetry"

// Hash holds a new password of a person against the policy of their
// organization, and hashes it. It is slow: call it before the lock is taken.
// ErrWeakPassword lists the unmet rules.
func (s *Passwords) Hash(ctx context.Context, org store.Organization, u store.User, password string) (string, error) {
	if err := Accept(org, u, password); err != nil {
		return "", err
	}
	return s.hasher.Hash(ctx, password)
}

// Accept is the part of Hash before the hash.
func Accept(org store.Organization, u store.User, password string) error {
	return Weak(secret.UnmetRules(org.PasswordPolicy, password, Avoided(org, u)...))
}

// Weak refuses a password for rules that it does not meet.
func Weak(unmet []string) error {
	if len(unmet) == 0 {
		return nil
	}
	return answer.Refuse(answer.ErrWeakPassword, "unmet", strings.Join(unmet, ","))
}

// Avoided is what a person's password must not be made of.
func Avoided(org store.Organization, u store.User) []string {
	local, _, _ := strings.Cut(u.Email, "@")
	return []string{product, org.DisplayName, u.FirstName, u.LastName, local}
}

// passwordChecks bounds what a caller's typing costs: a person who types is
// far below it.
var passwordChecks = limit.Budget{Name: "password check", Limit: 300, Window: 5 * time.Minute}

// CheckPassword tells how strong a password is. Nothing is kept of it.
func (s *Passwords) CheckPassword(ctx context.Context, req *identityv1.CheckPasswordRequest) (*identityv1.CheckPasswordResponse, error) {
	c := door.CallOf(ctx)
	if err := s.limits.Spend(ctx, passwordChecks.One(c.Caller.ID)); err != nil {
		return nil, err
	}
	org, _, err := s.authority.Organization(ctx, c.Org)
	if err != nil {
		return nil, err
	}
	avoid := Avoided(org, store.User{Email: req.GetEmail(), FirstName: req.GetFirstName(), LastName: req.GetLastName()})
	resp := &identityv1.CheckPasswordResponse{Unmet: secret.UnmetRules(org.PasswordPolicy, req.GetPassword(), avoid...)}
	resp.Acceptable = len(resp.GetUnmet()) == 0
	score, patterns := secret.Strength(req.GetPassword(), avoid)
	resp.Score = int32(score) //nolint:gosec // 0 to 4
	resp.Advice = adviceOn(resp.GetUnmet(), score, patterns)
	return resp, nil
}

// advice says in words what an unmet rule or a found pattern asks for.
var advice = map[string]string{
	"too_short":  "Use more characters.",
	"too_long":   "Use at most 256 characters and 1,024 bytes.",
	"no_upper":   "Add an upper-case letter.",
	"no_digit":   "Add a digit.",
	"no_special": "Add one of # @ _ ! $.",
	"common":     "This password is among the first that are tried: choose another.",
	"context":    "Leave out your name, your address, your organization and the name of this product.",
	"dictionary": "Avoid single common words and names; several that have nothing to do with each other are better.",
	"spatial":    "Avoid rows of keys on the keyboard.",
	"repeat":     "Avoid repeated characters.",
	"sequence":   "Avoid sequences such as abc or 6543.",
	"date":       "Avoid dates and years.",
}

// wellHidden is the score from which on patterns need no advice.
const wellHidden = 3

func adviceOn(unmet []string, score int, patterns []string) (words []string) {
	for _, rule := range unmet {
		words = append(words, advice[rule])
	}
	if score >= wellHidden {
		return words
	}
	for _, pattern := range patterns {
		words = append(words, advice[pattern])
	}
	return words
}

// GeneratePassword makes a password that meets every policy. It is answered
// and kept nowhere.
func (s *Passwords) GeneratePassword(ctx context.Context, _ *identityv1.GeneratePasswordRequest) (*identityv1.GeneratePasswordResponse, error) {
	org, _, err := s.authority.Organization(ctx, door.CallOf(ctx).Org)
	if err != nil {
		return nil, err
	}
	password, err := secret.Generate(s.Rand, Avoided(org, store.User{})...)
	return &identityv1.GeneratePasswordResponse{Password: password}, err
}
