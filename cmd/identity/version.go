package main

import "fmt"

type versionCmd struct{}

func (versionCmd) Run(o output) error {
	_, err := fmt.Fprintln(o.out, "identity", version)
	return err
}
