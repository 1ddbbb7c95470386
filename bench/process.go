package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

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
