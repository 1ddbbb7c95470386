package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
)

type loginCmd struct {
	connection
	Email string `placeholder:"ADDRESS" help:"E-mail address; asked for where it is not given."`
}

// Help says where what it does is kept.
func (loginCmd) Help() string {
	return `Signs in and keeps the tokens in the user's configuration folder, readable by
nobody else; the other commands renew them. The password is asked for on a
terminal without showing it, and otherwise read from standard input: first the
e-mail address where --email is missing, then the password, then the new one
where the service wants an initial password replaced.

IDENTITY_TOKEN in the environment holds an access token that is used instead.
`
}

// Run signs in.
func (c *loginCmd) Run(ctx context.Context, o output) error {
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	in := newPrompt(o)
	if c.Email == "" {
		if c.Email, err = in.line("E-mail: "); err != nil {
			return err
		}
	}
	password, err := in.secret("Password: ")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	sessions := identityv1.NewSessionServiceClient(conn)
	all, err := readKept()
	if err != nil {
		return err
	}
	resp, err := sessions.SignIn(ctx, &identityv1.SignInRequest{
		Email: c.Email, Password: password, DeviceToken: all[c.Addr.hostPort].Device, // somebody else's counts as none
	})
	if err != nil {
		return readable(err)
	}
	tokens, device := resp.GetTokens(), resp.GetDeviceToken()
	if due := resp.GetPasswordChange(); due != nil {
		changed, err := changePassword(ctx, o, in, sessions, due.GetToken())
		if err != nil {
			return err
		}
		tokens, device = changed.GetTokens(), changed.GetDeviceToken()
	}
	if tokens == nil {
		return errors.New("the service asks for another factor, which this command does not know")
	}
	if err := c.keep(tokens, device); err != nil {
		return err
	}
	_, err = fmt.Fprintf(o.out, "signed in to %s as %s\n", c.Addr.hostPort, c.Email)
	return err
}

// changePassword replaces an initial password, which somebody else knows.
func changePassword(ctx context.Context, o output, in *prompt, sessions identityv1.SessionServiceClient, token string) (*identityv1.ChangePasswordResponse, error) {
	fmt.Fprintln(o.err, "The password was set by somebody else and has to be replaced.")
	password, err := in.secret("New password: ")
	if err != nil {
		return nil, err
	}
	if in.terminal {
		again, err := in.secret("Once more: ")
		if err != nil {
			return nil, err
		}
		if again != password {
			return nil, errors.New("the two are not the same")
		}
	}
	resp, err := sessions.ChangePassword(ctx, &identityv1.ChangePasswordRequest{Token: token, NewPassword: password})
	return resp, readable(err)
}

// prompt asks on a terminal, and reads lines where there is none.
type prompt struct {
	out      io.Writer
	in       *bufio.Reader
	file     *os.File // the terminal
	terminal bool
}

func newPrompt(o output) *prompt {
	p := &prompt{out: o.err, in: bufio.NewReader(o.in)}
	p.file, p.terminal = terminal(o.in)
	return p
}

// terminal tells whether a stream is one that a person looks at.
func terminal(stream any) (*os.File, bool) {
	file, ok := stream.(*os.File)
	return file, ok && term.IsTerminal(int(file.Fd()))
}

func (p *prompt) line(question string) (string, error) {
	if p.terminal {
		fmt.Fprint(p.out, question)
	}
	text, err := p.in.ReadString('\n')
	if text = strings.TrimRight(text, "\r\n"); text == "" {
		return "", errors.Join(errors.New("nothing was entered"), notEOF(err))
	}
	return text, notEOF(err)
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// secret reads a line that is not shown.
func (p *prompt) secret(question string) (string, error) {
	if !p.terminal {
		return p.line(question)
	}
	fmt.Fprint(p.out, question)
	text, err := term.ReadPassword(int(p.file.Fd()))
	fmt.Fprintln(p.out)
	return string(text), err
}
