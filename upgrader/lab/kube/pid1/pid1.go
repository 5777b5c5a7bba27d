// Package pid1 is the first process of a container. It joins the pod's network, builds the root and becomes the
// container's program.
//
// It is a module of its own because packages are initialised in the order of their import paths: under a path that comes
// first it does its work, and is gone, before the rest of a binary that holds all of Kubernetes begins to initialise
// itself (60 ms and 100 MB for each container). Source: The Go Programming Language Specification, package
// initialization, go1.21 and later.
package pid1

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Name is the argv[0] that makes a program with this package in it a container.
const Name = "container-init"

// What the process inherits beside the container's streams.
const (
	specFile   = 3 // read: the Spec as JSON
	statusFile = 4 // write: why the start failed; closed without a word by a successful exec
)

// StartFailed is the exit code of a container whose program never ran, as containerd reports it.
const StartFailed = 128

// Spec is all that the process has to know; it is handed over through a pipe, so that secrets touch no disk.
type Spec struct {
	// Root is an empty directory to mount the container's root on.
	Root string
	// NetworkNamespace is the path of the pod's network, empty for the node's.
	NetworkNamespace string
	Hostname         string
	ResolvConf       string
	// Shm is shown as /dev/shm.
	Shm string
	// Files are the image's, Volumes the pod's; in both, outer directories come before inner ones.
	Files        []Bind
	Volumes      []Bind
	Command      []string
	Env          []string
	Dir          string
	ReadonlyRoot bool
}

// Bind shows a file or directory of the machine in the container.
type Bind struct {
	Host      string
	Container string
	Readonly  bool
}

func init() {
	if os.Args[0] == Name {
		Main()
	}
}

// Main returns never. It has to be called in PID, mount, UTS and IPC namespaces of the container's own.
func Main() {
	goruntime.LockOSThread()
	unix.CloseOnExec(statusFile)
	failure := becomeContainer(os.NewFile(specFile, "spec"))
	_, _ = io.WriteString(os.NewFile(statusFile, "status"), failure.Error()) // a reader that is gone needs no answer
	os.Exit(StartFailed)
}

// becomeContainer returns only if it fails.
func becomeContainer(from *os.File) error {
	var s Spec
	if err := json.NewDecoder(from).Decode(&s); err != nil {
		return fmt.Errorf("read container spec: %w", err)
	}
	if err := from.Close(); err != nil {
		return fmt.Errorf("read container spec: %w", err)
	}
	if s.NetworkNamespace != "" {
		if err := joinNetwork(s.NetworkNamespace); err != nil {
			return err
		}
	}
	if err := unix.Sethostname([]byte(s.Hostname)); err != nil {
		return fmt.Errorf("hostname %q: %w", s.Hostname, err)
	}
	unix.Umask(0) // modes of what is made here are meant as written
	if err := buildRoot(s); err != nil {
		return err
	}
	if err := enterRoot(s.Root); err != nil {
		return err
	}
	unix.Umask(0o022)
	return execute(s)
}

func joinNetwork(path string) error {
	namespace, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("network namespace %s: %w", path, err)
	}
	if err := unix.Setns(namespace, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", path, err)
	}
	return unix.Close(namespace)
}

// enterRoot makes the directory the root of the mount namespace and leaves the old root behind.
func enterRoot(root string) error {
	if err := os.Chdir(root); err != nil {
		return fmt.Errorf("enter root: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave old root: %w", err)
	}
	return os.Chdir("/")
}

// execute replaces this process by the container's program.
func execute(s Spec) error {
	if err := os.Chdir(s.Dir); err != nil {
		return fmt.Errorf("working directory: %w", err)
	}
	program, err := FindProgram(s.Command[0], s.Env, s.Dir)
	if err != nil {
		return err
	}
	return fmt.Errorf("exec %s: %w", program, syscall.Exec(program, s.Command, s.Env))
}

// ErrNotExecutable is said in the words of other runtimes, which people and tools search for.
var ErrNotExecutable = errors.New("executable file not found in $PATH")

// FindProgram looks a command up in the PATH of the environment, as seen by the calling thread.
func FindProgram(name string, env []string, dir string) (string, error) {
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		return name, executable(name)
	}
	for _, line := range env {
		if list, ok := strings.CutPrefix(line, "PATH="); ok {
			for _, place := range filepath.SplitList(list) {
				if candidate := filepath.Join(place, name); executable(candidate) == nil {
					return candidate, nil
				}
			}
		}
	}
	return "", fmt.Errorf("exec: %q: %w", name, ErrNotExecutable)
}

func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return fmt.Errorf("exec: %w", err)
	case info.IsDir():
		return fmt.Errorf("exec: %q is a directory", path)
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("exec: %q: %w", path, os.ErrPermission)
	}
	return nil
}
