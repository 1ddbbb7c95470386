package secret

import (
	"context"

	"github.com/bizmetry/identity/service/fair"
)

// Occupy holds a slot of the gate until the returned function is called.
func Occupy(p *Passwords) (leave func()) {
	place, err := p.all.Enter(context.Background(), fair.Payer{Group: "occupied"}, 1)
	if err != nil {
		panic(err)
	}
	return place.Leave
}

// SlotsOf tells how many slots of the gate a stored hash takes.
func SlotsOf(p *Passwords, phc string) (int, error) {
	h, err := p.read(phc)
	return p.slotsFor(h.memoryKiB), err
}

// Read gives the text of a stored hash as it would be run.
func Read(p *Passwords, phc string) (string, error) {
	h, err := p.read(phc)
	if err != nil {
		return "", err
	}
	return h.digest.Encode(), nil
}

// Takes tells whether a stored hash would be run for a password.
func Takes(p *Passwords, phc, password string) (bool, error) {
	h, err := p.read(phc)
	return h.takes(password), err
}

// Affordable tells whether Verify takes a stored hash.
func (p *Passwords) Affordable(phc string) error {
	_, err := p.read(phc)
	return err
}
