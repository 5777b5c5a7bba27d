// Package netns makes and enters network namespaces by the names that ip-netns(8) uses.
package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// Dir is where ip-netns(8) looks, so that `ip netns exec` works in a room.
const Dir = "/run/netns"

// Path is where the namespace of a name is.
func Path(name string) string { return filepath.Join(Dir, name) }

// OnOwnThread runs the function on a thread that ends with it: namespaces entered there leak nowhere.
func OnOwnThread(run func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked, so the thread is thrown away
		done <- run()
	}()
	return <-done
}

// Create makes a namespace.
func Create(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, nil, 0o444); err != nil {
		return err
	}
	return OnOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("new network namespace: %w", err)
		}
		return unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, "")
	})
}

// Remove unnames a namespace; it ends with the last process in it. One that is gone already is no error.
func Remove(path string) error {
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Join moves the calling thread, which has to be locked, into a namespace.
func Join(path string) error {
	namespace, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("network namespace %s: %w", path, err)
	}
	defer func() { _ = unix.Close(namespace) }()
	if err := unix.Setns(namespace, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", path, err)
	}
	return nil
}

// Do runs the function inside a namespace. Only system calls made by the function itself, not by goroutines it starts,
// happen there.
func Do(path string, run func() error) error {
	return OnOwnThread(func() error {
		if err := Join(path); err != nil {
			return err
		}
		return run()
	})
}
