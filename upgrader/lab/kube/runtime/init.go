package runtime

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

// InitName is the argv[0] under which the program that holds the runtime has to call ContainerMain.
const InitName = "container-init"

// What container-init inherits beside the container's streams.
const (
	specFile   = 3 // read: the spec as JSON
	statusFile = 4 // write: why the start failed; closed without a word by a successful exec
)

// startFailed is the exit code of a container whose program never ran, as containerd reports it.
const startFailed = 128

// ContainerMain is the first process of a container, in PID, mount, UTS and IPC namespaces of its own. It joins the
// pod's network, builds the root and becomes the container's program. It returns never.
func ContainerMain() {
	goruntime.LockOSThread()
	unix.CloseOnExec(statusFile)
	failure := becomeContainer(os.NewFile(specFile, "spec"))
	_, _ = io.WriteString(os.NewFile(statusFile, "status"), failure.Error()) // a reader that is gone needs no answer
	os.Exit(startFailed)
}

// becomeContainer returns only if it fails.
func becomeContainer(from *os.File) error {
	var s spec
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
func execute(s spec) error {
	if err := os.Chdir(s.Dir); err != nil {
		return fmt.Errorf("working directory: %w", err)
	}
	program, err := findProgram(s.Command[0], s.Env, s.Dir)
	if err != nil {
		return err
	}
	return fmt.Errorf("exec %s: %w", program, syscall.Exec(program, s.Command, s.Env))
}

// errNotExecutable is said in the words of other runtimes, which people and tools search for.
var errNotExecutable = errors.New("executable file not found in $PATH")

// findProgram looks a command up in the PATH of the environment, as seen by the calling thread.
func findProgram(name string, env []string, dir string) (string, error) {
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
	return "", fmt.Errorf("exec: %q: %w", name, errNotExecutable)
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
