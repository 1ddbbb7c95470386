package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// child is a server that this process started and that ends with it.
type child struct {
	cmd *exec.Cmd
	pid int
	// Addresses it printed.
	grpc, rest, admin string
}

// startChild starts a program and waits until it prints "ready".
func startChild(ctx context.Context, log string, stdin io.Reader, env []string, program string, args ...string) (*child, error) {
	errors, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer errors.Close()
	cmd := exec.CommandContext(context.WithoutCancel(ctx), program, args...) //nolint:gosec // ours
	cmd.Stdin, cmd.Stderr, cmd.Env = stdin, errors, append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{cmd: cmd, pid: cmd.Process.Pid}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		value = strings.TrimSpace(value)
		switch name {
		case "gRPC":
			c.grpc = value
		case "REST":
			c.rest = value
		case "admin":
			c.admin = strings.TrimSuffix(value, "/metrics")
		case "ready":
			return c, nil
		}
	}
	c.stop()
	text, _ := os.ReadFile(log)
	return nil, fmt.Errorf("%s %s did not start:\n%s", filepath.Base(program), strings.Join(args, " "), text)
}

// stop asks the child to end, and makes it end where it does not.
func (c *child) stop() {
	if c == nil {
		return
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(5*time.Second, func() { _ = c.cmd.Process.Kill() })
	defer timer.Stop()
	_ = c.cmd.Wait() // how it ends is of no interest
}

// call runs a program to its end.
func call(ctx context.Context, env []string, stdin io.Reader, program string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // ours
	cmd.Env, cmd.Stdin = append(os.Environ(), env...), stdin
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", filepath.Base(program), strings.Join(args, " "), err, log.Bytes())
	}
	return out.Bytes(), nil
}

// spent is the CPU time of a process so far, to the nanosecond: that of all its
// threads, ended ones too. It is what clock_getcpuclockid(3) is about.
func spent(pid int) time.Duration {
	const scheduled = 2
	var t syscall.Timespec
	clock := ^pid<<3 | scheduled
	_, _, failed := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, uintptr(clock), uintptr(unsafe.Pointer(&t)), 0) //nolint:gosec // the only way without another module
	if failed != 0 {
		return 0
	}
	return time.Duration(t.Nano())
}

// spentByAll is the CPU time of a process and its children, ended ones too.
func spentByAll(pid int) time.Duration {
	total := spent(pid)
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		other, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		fields := statOf(other)
		switch {
		case len(fields) < 15:
		case fields[1] == strconv.Itoa(pid):
			total += spent(other)
		case other == pid:
			for _, field := range fields[13:15] { // user and system time of children that ended
				n, _ := strconv.ParseInt(field, 10, 64)
				total += time.Duration(n) * (time.Second / 100) // the unit that programs see is fixed
			}
		}
	}
	return total
}

// statOf is what the kernel tells of a process behind its name: state, parent and so on.
func statOf(pid int) []string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}

// resident is how much memory a process holds now, in bytes.
func resident(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			return n << 10, err
		}
	}
	return 0, errors.New("the kernel does not tell how much memory a process holds")
}
