package rig

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Process is a program that this one started and that ends with it.
type Process struct {
	PID int
	// Exited is closed when it has ended and been waited for.
	Exited chan struct{}
	cmd    *exec.Cmd
}

// begin starts a command whose SysProcAttr names a death signal.
func begin(cmd *exec.Cmd) (*Process, error) {
	p := &Process{Exited: make(chan struct{}), cmd: cmd}
	started := make(chan error, 1)
	go func() {
		// The death signal comes with the end of the thread that forked, not
		// of the process: hold on to that thread for as long as the child runs.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.Exited)
		err := cmd.Start()
		if err == nil {
			p.PID = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			_ = cmd.Wait() // ExitCode tells how it ended
		}
	}()
	return p, <-started
}

// Running tells whether the process has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.Exited:
		return false
	default:
		return true
	}
}

// Signal sends a signal; to a process that has ended it does nothing.
func (p *Process) Signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// Kill ends the process at once and waits for that.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.Exited
}

// Stop asks the process to end, and makes it end where it does not.
func (p *Process) Stop() {
	if p == nil {
		return
	}
	p.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(15*time.Second, func() { p.Signal(syscall.SIGKILL) })
	defer timer.Stop()
	<-p.Exited
}

// ExitCode is how the process ended, -1 by a signal or not yet.
func (p *Process) ExitCode() int {
	if p.Running() {
		return -1
	}
	return p.cmd.ProcessState.ExitCode()
}

// Server is a process that serves, and the addresses it printed.
type Server struct {
	*Process
	GRPC, REST, Admin string
}

// StartServer starts a program and waits until it prints "ready". What it logs
// is appended to a file.
func StartServer(ctx context.Context, log string, stdin io.Reader, env []string, program string, args ...string) (*Server, error) {
	errors, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer errors.Close()
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	defer out.Close()                                                        // it prints nothing after "ready"
	cmd := exec.CommandContext(context.WithoutCancel(ctx), program, args...) //nolint:gosec // ours
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = stdin, in, errors, append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p, err := begin(cmd)
	if err != nil {
		return nil, err
	}
	_ = in.Close() // the child's end alone keeps the pipe open
	s := &Server{Process: p}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if s.read(lines.Text()) {
			return s, nil
		}
	}
	s.Stop()
	text, _ := os.ReadFile(log)
	return nil, fmt.Errorf("%s %s did not start:\n%s", filepath.Base(program), strings.Join(args, " "), text[max(0, len(text)-4096):])
}

// read takes a line that the server printed.
func (s *Server) read(line string) (ready bool) {
	name, value, _ := strings.Cut(line, " ")
	value = strings.TrimSpace(value)
	switch name {
	case "gRPC":
		s.GRPC = value
	case "REST":
		s.REST = value
	case "admin":
		s.Admin = strings.TrimSuffix(value, "/metrics")
	}
	return name == "ready"
}

// Call runs a program to its end and returns what it printed.
func Call(ctx context.Context, env []string, stdin io.Reader, program string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // ours
	cmd.Env, cmd.Stdin = append(os.Environ(), env...), stdin
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", filepath.Base(program), strings.Join(args, " "), err, log.Bytes())
	}
	return out.Bytes(), nil
}
