package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"a.upgrader.dev/pid1"
	"golang.org/x/sys/unix"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
	utilexec "k8s.io/utils/exec"

	"upgrader.dev/lab/netns"
)

// ErrExecTimeout says that a command in a container was killed because its time was over.
var ErrExecTimeout = errors.New("command timed out")

// outputPatience is how long output of children that a command left behind is waited for.
const outputPatience = time.Second

// containerNamespaces are those a command in a container joins.
const containerNamespaces = unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWPID

// ExecSync implements the CRI. A command that fails is a utilexec.CodeExitError; one that takes longer than a positive
// timeout is killed with its children and is an ErrExecTimeout.
func (r *Runtime) ExecSync(ctx context.Context, id string, command []string, timeout time.Duration) ([]byte, []byte, error) {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, ErrExecTimeout)
		defer cancel()
	}
	var stdout, stderr bytes.Buffer
	err := r.run(ctx, id, command, func(c *exec.Cmd) error {
		c.Stdout, c.Stderr = &stdout, &stderr
		return nil
	})
	return stdout.Bytes(), stderr.Bytes(), err
}

// run executes a command in a running container. Streams are connected on the thread that has joined the container's
// namespaces, so that a terminal is the container's own.
func (r *Runtime) run(ctx context.Context, id string, command []string, connect func(*exec.Cmd) error) error {
	process, c, err := r.running(id)
	if err != nil {
		return err
	}
	if len(command) == 0 {
		return errors.New("exec: no command")
	}
	var started *exec.Cmd
	err = netns.OnOwnThread(func() error {
		if err := join(process); err != nil {
			return fmt.Errorf("enter container %s: %w", id, err)
		}
		started, err = startInside(ctx, c, command, connect)
		return err
	})
	if err != nil {
		return err
	}
	return outcome(ctx, command, started.Wait())
}

func (r *Runtime) running(id string) (*os.Process, *container, error) {
	c, err := r.container(id)
	if err != nil {
		return nil, nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.state != rt.ContainerState_CONTAINER_RUNNING {
		return nil, nil, fmt.Errorf("container %s is not running", id)
	}
	return c.process, c, nil
}

// join moves the calling thread into the namespaces of a container; what it starts becomes the container's.
func join(process *os.Process) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil { // a thread that shares its root can't change it
		return fmt.Errorf("unshare: %w", err)
	}
	var joined error
	if err := process.WithHandle(func(handle uintptr) { joined = unix.Setns(int(handle), containerNamespaces) }); err != nil {
		return err
	}
	return joined
}

func startInside(ctx context.Context, c *container, command []string, connect func(*exec.Cmd) error) (*exec.Cmd, error) {
	program, err := pid1.FindProgram(command[0], c.env, c.dir)
	if err != nil {
		return nil, err
	}
	started := exec.CommandContext(ctx, program)
	started.Args, started.Env, started.Dir = command, c.env, c.dir
	started.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	started.Cancel = func() error { return syscall.Kill(-started.Process.Pid, syscall.SIGKILL) }
	started.WaitDelay = outputPatience
	if err := connect(started); err != nil {
		return nil, err
	}
	return started, started.Start()
}

// outcome translates the end of a command for the kubelet.
func outcome(ctx context.Context, command []string, err error) error {
	if errors.Is(context.Cause(ctx), ErrExecTimeout) {
		return fmt.Errorf("%w: %q", ErrExecTimeout, strings.Join(command, " "))
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		return nil // it ended well; only a child that it left behind still holds the output
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code := int(exitCode(exit.ProcessState))
		return utilexec.CodeExitError{Err: fmt.Errorf("command %q exited with %d", strings.Join(command, " "), code), Code: code}
	}
	return err
}
