package pid1

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	securejoin "github.com/cyphar/filepath-securejoin"
	"golang.org/x/sys/unix"
)

// Directories of the machine that every container sees, read-only, so that the machine's programs run in it.
var (
	sharedDirs  = []string{"/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32", "/opt", "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/alternatives"}
	ownDirs     = []string{"dev", "etc", "home", "mnt", "proc", "root", "run", "srv", "sys", "var", "var/cache", "var/lib", "var/log", "var/spool"}
	scratchDirs = []string{"tmp", "var/tmp"}
	copiedFiles = []string{"passwd", "group", "services", "protocols", "ld.so.cache", "localtime"}
	devices     = []string{"null", "zero", "full", "random", "urandom", "tty"}
	deviceLinks = map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx"}
)

// nameServices is /etc/nsswitch.conf: the machine's own may ask services that are not in the container.
const nameServices = "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n"

// hidden is where the machine's view of a covered directory stays reachable.
const hidden = ".host"

// root is a container's file system under construction.
type root struct {
	path string
	// covered counts directories of the machine that were given a writable cover.
	covered int
	// volumes are the mount points of the pod's volumes placed so far.
	volumes []string
}

// buildRoot makes the container's file system: a tmpfs (overlayfs on the machine's root fails in a user namespace:
// locked mounts), the machine's programs read-only, small /etc and /dev of its own, the image's files, the volumes.
func buildRoot(s Spec) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("root", s.Root, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("root: %w", err)
	}
	r := &root{path: s.Root}
	for _, step := range []func(Spec) error{r.makeDirs, r.shareDirs, r.writeEtc, r.mountKernel, r.makeDevices, r.placeFiles, r.placeVolumes, r.makeWorkingDir} {
		if err := step(s); err != nil {
			return err
		}
	}
	if s.ReadonlyRoot {
		return setReadonly(s.Root, 0)
	}
	return nil
}

func (r *root) at(path string) string { return filepath.Join(r.path, path) }

func (r *root) makeDirs(s Spec) error {
	for _, dir := range ownDirs {
		if err := os.MkdirAll(r.at(dir), 0o755); err != nil {
			return err
		}
	}
	for _, dir := range scratchDirs {
		if err := os.Mkdir(r.at(dir), 0o755); err != nil {
			return err
		}
		if err := os.Chmod(r.at(dir), 0o777|os.ModeSticky); err != nil {
			return err
		}
	}
	// Relative, so that what is made below /var/run from outside stays in this root.
	return os.Symlink("../run", r.at("var/run"))
}

func (r *root) shareDirs(Spec) error {
	for _, dir := range sharedDirs {
		info, err := os.Lstat(dir)
		switch {
		case errors.Is(err, os.ErrNotExist):
			continue
		case err != nil:
			return err
		case info.Mode()&os.ModeSymlink != 0:
			target, err := os.Readlink(dir)
			if err != nil {
				return err
			}
			if err := os.Symlink(target, r.at(dir)); err != nil {
				return err
			}
			continue
		}
		if err := os.MkdirAll(r.at(dir), 0o755); err != nil {
			return err
		}
		if err := bindMount(dir, r.at(dir), true); err != nil {
			return err
		}
	}
	return nil
}

func (r *root) writeEtc(s Spec) error {
	for _, name := range copiedFiles {
		text, err := os.ReadFile(filepath.Join("/etc", name))
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			continue
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(r.at("etc/"+name), text, 0o644); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{"hostname": s.Hostname + "\n", "resolv.conf": s.ResolvConf, "nsswitch.conf": nameServices} {
		if err := os.WriteFile(r.at("etc/"+name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (r *root) mountKernel(Spec) error {
	if err := unix.Mount("proc", r.at("proc"), "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("/proc: %w", err)
	}
	return bindMount("/sys", r.at("sys"), true)
}

func (r *root) makeDevices(s Spec) error {
	if err := unix.Mount("dev", r.at("dev"), "tmpfs", unix.MS_NOSUID, "mode=755"); err != nil {
		return fmt.Errorf("/dev: %w", err)
	}
	for _, name := range devices {
		if err := os.WriteFile(r.at("dev/"+name), nil, 0o666); err != nil {
			return err
		}
		if err := bindMount("/dev/"+name, r.at("dev/"+name), false); err != nil {
			return err
		}
	}
	for name, target := range deviceLinks {
		if err := os.Symlink(target, r.at("dev/"+name)); err != nil {
			return err
		}
	}
	for _, dir := range []string{"dev/shm", "dev/pts"} {
		if err := os.Mkdir(r.at(dir), 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("devpts", r.at("dev/pts"), "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"); err != nil {
		return fmt.Errorf("/dev/pts: %w", err)
	}
	return bindMount(s.Shm, r.at("dev/shm"), false)
}

func (r *root) placeFiles(s Spec) error {
	for _, file := range s.Files {
		if _, err := r.place(file); err != nil {
			return fmt.Errorf("image file: %w", err)
		}
	}
	return nil
}

func (r *root) placeVolumes(s Spec) error {
	for _, volume := range s.Volumes {
		target, err := r.place(volume)
		if err != nil {
			return fmt.Errorf("volume: %w", err)
		}
		r.volumes = append(r.volumes, target)
	}
	return nil
}

func (r *root) place(b Bind) (string, error) {
	info, err := os.Stat(b.Host)
	if err != nil {
		return "", fmt.Errorf("%s: %w", b.Container, err)
	}
	target, err := r.mountpoint(b.Container, info.IsDir())
	if err != nil {
		return "", fmt.Errorf("%s: %w", b.Container, err)
	}
	return target, bindMount(b.Host, target, b.Readonly)
}

// makeWorkingDir makes a working directory that is missing, as other runtimes do.
func (r *root) makeWorkingDir(s Spec) error {
	if _, err := r.mountpoint(s.Dir, true); err != nil {
		return fmt.Errorf("working directory: %w", err)
	}
	return nil
}

// mountpoint returns where a path of the container is now, made as a directory or an empty file where it is missing.
func (r *root) mountpoint(path string, isDir bool) (string, error) {
	target, err := securejoin.SecureJoin(r.path, path)
	if err != nil {
		return "", err
	}
	if info, err := os.Stat(target); err == nil {
		if info.IsDir() != isDir {
			return "", fmt.Errorf("%s: a directory on one side and a file on the other", path)
		}
		return target, nil
	}
	if err := r.makeWritable(filepath.Dir(target)); err != nil {
		return "", err
	}
	if isDir {
		return target, os.MkdirAll(target, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return "", err
	}
	return target, os.WriteFile(target, nil, 0o644)
}

// makeWritable covers the nearest directory above that exists, where it is one of the machine's: by a tmpfs with a
// link for each entry that was there.
func (r *root) makeWritable(dir string) error {
	for {
		if _, err := os.Stat(dir); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	var system unix.Statfs_t
	if err := unix.Statfs(dir, &system); err != nil {
		return fmt.Errorf("statfs %s: %w", dir, err)
	}
	if system.Flags&unix.ST_RDONLY == 0 || r.inVolume(dir) {
		return nil
	}
	kept := filepath.Join("/", hidden, fmt.Sprint(r.covered))
	r.covered++
	if err := os.MkdirAll(r.at(kept), 0o755); err != nil {
		return err
	}
	if err := bindMount(dir, r.at(kept), true); err != nil {
		return err
	}
	if err := unix.Mount("cover", dir, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("cover %s: %w", dir, err)
	}
	return linkEntries(r.at(kept), kept, dir)
}

// inVolume keeps volumes as they are: a mount point missing in a read-only one is an error, as in other runtimes.
func (r *root) inVolume(dir string) bool {
	for _, volume := range r.volumes {
		if dir == volume || strings.HasPrefix(dir, volume+"/") {
			return true
		}
	}
	return false
}

// linkEntries fills a directory with what is in another, which the container knows by a different name.
func linkEntries(from, known, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		target := filepath.Join(known, entry.Name())
		if entry.Type()&os.ModeSymlink != 0 {
			if target, err = os.Readlink(filepath.Join(from, entry.Name())); err != nil {
				return err
			}
		}
		if err := os.Symlink(target, filepath.Join(to, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

func bindMount(from, to string, readonly bool) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s on %s: %w", from, to, err)
	}
	if readonly {
		return setReadonly(to, unix.AT_RECURSIVE)
	}
	return nil
}

// setReadonly needs Linux 5.12; the older remount fails on mounts that a user namespace has locked.
func setReadonly(path string, flags uint) error {
	if err := unix.MountSetattr(unix.AT_FDCWD, path, flags, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return fmt.Errorf("make %s read-only: %w", path, err)
	}
	return nil
}
