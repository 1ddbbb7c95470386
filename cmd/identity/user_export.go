package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/grpc"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
)

type usersExportCmd struct {
	connection
	userFilter
	fileFormat
	BOM   *bool  `name:"bom" negatable:"" help:"Begin with a byte order mark, by which spreadsheets know UTF-8 (default: in CSV)."`
	Force bool   `help:"Replace the file if it is there."`
	File  string `arg:"" optional:"" default:"-" help:"The file; - is standard output."`
}

// Run writes the file. Whether it can be is found before anybody is asked.
func (c *usersExportCmd) Run(ctx context.Context, o output) error {
	if c.File == "-" {
		return c.export(ctx, o, o.out)
	}
	file, err := createTarget(c.File, c.Force)
	if err != nil {
		return err
	}
	return file.end(c.export(ctx, o, file))
}

func (c *usersExportCmd) export(ctx context.Context, o output, out io.Writer) error {
	return c.as(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		format := c.of(c.File)
		req := &identityv1.ExportUsersRequest{
			OrganizationId: c.Organization, Filter: c.filter(), Format: format, Bom: format == identityv1.UserFile_CSV,
		}
		if c.BOM != nil {
			req.Bom = *c.BOM
		}
		stream, err := identityv1.NewUserServiceClient(conn).ExportUsers(ctx, req)
		if err != nil {
			return err
		}
		bar := newProgress(o, 0)
		defer bar.end()
		return receive(stream, out, bar)
	})
}

func receive(stream identityv1.UserService_ExportUsersClient, out io.Writer, bar *progress) error {
	for {
		resp, err := stream.Recv()
		if err != nil {
			return notEOF(err)
		}
		if _, err := out.Write(resp.GetData()); err != nil {
			return err
		}
		bar.add(int64(strings.Count(string(resp.GetData()), "\n")), int64(len(resp.GetData())))
	}
}

// target is the file of an export. It gets its name when it is whole: until
// then, and if that never comes, there is nothing under the name.
type target struct {
	*os.File
	name  string // "": it is written in its place
	force bool
}

func createTarget(name string, force bool) (*target, error) {
	switch info, err := os.Stat(name); {
	case err == nil && info.IsDir():
		return nil, fmt.Errorf("%s is a folder: name a file in it", name)
	case err == nil && !info.Mode().IsRegular(): // a pipe or a device, which holds nothing that could be lost
		file, err := os.OpenFile(name, os.O_WRONLY, 0)
		return &target{File: file}, err
	case err == nil && !force:
		return nil, isThere(name)
	case err == nil: // the file that a link leads to is replaced, not the link
		if name, err = filepath.EvalSymlinks(name); err != nil {
			return nil, err
		}
	case !errors.Is(err, fs.ErrNotExist) || name == "":
		return nil, err
	default:
		if _, err := os.Lstat(name); err == nil {
			return nil, fmt.Errorf("%s is a link that leads nowhere", name)
		}
	}
	part, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*.part")
	if err != nil {
		return nil, err
	}
	return &target{part, name, force}, nil
}

func isThere(name string) error {
	return fmt.Errorf("%s is there already: --force replaces it", name)
}

// end names the file, or removes what was written of it.
func (t *target) end(err error) error {
	err = errors.Join(err, t.Close())
	if t.name == "" {
		return err
	}
	if err == nil {
		err = t.rename()
	}
	if err != nil {
		return errors.Join(err, os.Remove(t.Name()))
	}
	return nil
}

// rename gives the file its name, which somebody may have taken meanwhile: a
// link, unlike a rename, replaces nothing.
func (t *target) rename() error {
	if t.force {
		return os.Rename(t.Name(), t.name)
	}
	err := os.Link(t.Name(), t.name)
	if err == nil {
		return os.Remove(t.Name())
	}
	if _, there := os.Lstat(t.name); there == nil {
		return isThere(t.name)
	}
	return os.Rename(t.Name(), t.name) // a file system without links
}
