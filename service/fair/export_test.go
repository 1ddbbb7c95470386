package fair

// Known counts the members that there are records of.
func (g *Gate) Known() (n int) {
	for _, gr := range g.groups {
		n += len(gr.members)
	}
	return n
}
