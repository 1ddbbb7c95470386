package secret

// Occupy holds a slot of the gate until the returned function is called.
func Occupy(p *Passwords) (leave func()) {
	p.slots <- struct{}{}
	return func() { <-p.slots }
}

// Read gives the text of a stored hash as it would be run.
func Read(p *Passwords, phc string) (string, error) {
	h, err := p.read(phc)
	if err != nil {
		return "", err
	}
	return h.digest.Encode(), nil
}
