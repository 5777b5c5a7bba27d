package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"a.upgrader.dev/pid1"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
	utilexec "k8s.io/utils/exec"

	"upgrader.dev/lab/room"
)

// insideRoom is set for the test binary that TestMain starts in namespaces of its own.
const insideRoom = "LAB_TEST_ROOM"

// TestMain moves the tests into a room where the kernel allows one.
func TestMain(m *testing.M) {
	if os.Getenv(insideRoom) != "" {
		if err := room.Up(1); err != nil {
			fmt.Fprintln(os.Stderr, "room:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	command := exec.Command("/proc/self/exe", os.Args[1:]...)
	command.Env = append(os.Environ(), insideRoom+"=1")
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	if err := command.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "no room, tests with real processes are skipped:", err)
		os.Exit(m.Run())
	}
	if err := command.Wait(); err != nil {
		os.Exit(1)
	}
}

// pod is a runtime with one pod in it.
type pod struct {
	*testing.T
	runtime *Runtime
	id      string
	config  *rt.PodSandboxConfig
}

func newPod(t *testing.T, table string) *pod {
	t.Helper()
	if os.Getenv(insideRoom) == "" {
		t.Skip("the kernel allows no user namespaces here")
	}
	node, err := room.NodeAddress(0)
	if err != nil {
		t.Fatal(err)
	}
	pods, err := room.PodsOf(0)
	if err != nil {
		t.Fatal(err)
	}
	// Names of links are the runtime's own; the process is what tells the runtimes of two tests apart.
	runtime, err := New(Config{Dir: t.TempDir(), Images: tableOf(t, table), Node: node, Pods: pods, Index: os.Getpid() % 1000})
	if err != nil {
		t.Fatal(err)
	}
	p := &pod{T: t, runtime: runtime}
	p.id, p.config = p.sandbox("web-0")
	return p
}

func (p *pod) sandbox(name string) (string, *rt.PodSandboxConfig) {
	p.Helper()
	config := &rt.PodSandboxConfig{
		Metadata: &rt.PodSandboxMetadata{Name: name}, Hostname: name, LogDirectory: p.TempDir(),
		DnsConfig: &rt.DNSConfig{Servers: []string{"10.244.0.1"}},
	}
	id, err := p.runtime.RunPodSandbox(context.Background(), config, "")
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() {
		if err := p.runtime.RemovePodSandbox(context.Background(), id); err != nil {
			p.Error(err)
		}
	})
	return id, config
}

func (p *pod) create(config *rt.ContainerConfig) string {
	p.Helper()
	config.Metadata, config.LogPath = &rt.ContainerMetadata{Name: "c"}, "c.log"
	if config.Image == nil {
		config.Image = &rt.ImageSpec{Image: "sh:1"}
	}
	id, err := p.runtime.CreateContainer(context.Background(), p.id, config, p.config)
	if err != nil {
		p.Fatal(err)
	}
	return id
}

func (p *pod) start(config *rt.ContainerConfig) string {
	p.Helper()
	id := p.create(config)
	if err := p.runtime.StartContainer(context.Background(), id); err != nil {
		p.Fatal(err)
	}
	return id
}

func (p *pod) status(id string) *rt.ContainerStatus {
	p.Helper()
	response, err := p.runtime.ContainerStatus(context.Background(), id, false)
	if err != nil {
		p.Fatal(err)
	}
	return response.Status
}

// end waits for a container's own end.
func (p *pod) end(id string) *rt.ContainerStatus {
	p.Helper()
	c, err := p.runtime.container(id)
	if err != nil {
		p.Fatal(err)
	}
	select {
	case <-c.done:
	case <-time.After(10 * time.Second):
		p.Fatal("the container does not end")
	}
	return p.status(id)
}

func (p *pod) log() string {
	p.Helper()
	text, err := os.ReadFile(filepath.Join(p.config.LogDirectory, "c.log"))
	if err != nil {
		p.Fatal(err)
	}
	return string(text)
}

// sh runs a script in a container and returns its output.
func (p *pod) sh(id, script string) string {
	p.Helper()
	stdout, stderr, err := p.runtime.ExecSync(context.Background(), id, []string{"sh", "-c", script}, 10*time.Second)
	if err != nil {
		p.Fatalf("%v: %s", err, stderr)
	}
	return strings.TrimSpace(string(stdout))
}

const shell = `{"sh:": {"entrypoint": ["/bin/sh", "-c"]}}`

// forever is a first process that ends at once when it is told to.
var forever = []string{"trap 'exit 7' TERM; while :; do sleep 0.01; done"}

func TestAProgramsExitCodeAndOutputAreKept(t *testing.T) {
	p := newPod(t, shell)
	status := p.end(p.start(&rt.ContainerConfig{Args: []string{"echo out; echo err >&2; exit 3"}}))
	if status.State != rt.ContainerState_CONTAINER_EXITED || status.ExitCode != 3 || status.Reason != "Error" {
		t.Errorf("got %v", status)
	}
	if log := p.log(); !strings.Contains(log, " stdout F out\n") || !strings.Contains(log, " stderr F err\n") {
		t.Errorf("got %q", log)
	}
}

func TestAProgramThatEndsWellIsCompleted(t *testing.T) {
	p := newPod(t, shell)
	if status := p.end(p.start(&rt.ContainerConfig{Args: []string{"true"}})); status.ExitCode != 0 || status.Reason != "Completed" {
		t.Errorf("got %v", status)
	}
}

func TestAProgramThatIsNotThereIsAStartError(t *testing.T) {
	p := newPod(t, shell)
	id := p.create(&rt.ContainerConfig{Command: []string{"nonesuch"}})
	err := p.runtime.StartContainer(context.Background(), id)
	if !strings.Contains(fmt.Sprint(err), pid1.ErrNotExecutable.Error()) {
		t.Errorf("got %v", err)
	}
	if status := p.status(id); status.ExitCode != pid1.StartFailed || status.Reason != "StartError" {
		t.Errorf("got %v", status)
	}
}

func TestStoppingAsksFirst(t *testing.T) {
	p := newPod(t, shell)
	id := p.start(&rt.ContainerConfig{Args: forever})
	p.sh(id, "until grep -q SigCgt.*4... /proc/1/status; do sleep 0.01; done") // the trap is set
	if err := p.runtime.StopContainer(context.Background(), id, 10); err != nil {
		t.Fatal(err)
	}
	if status := p.status(id); status.ExitCode != 7 {
		t.Errorf("got %v", status)
	}
}

func TestWhoDoesNotListenIsKilledAfterTheGracePeriod(t *testing.T) {
	p := newPod(t, shell)
	id := p.start(&rt.ContainerConfig{Args: []string{"trap '' TERM; sleep 100 & sleep 100"}})
	if err := p.runtime.StopContainer(context.Background(), id, 1); err != nil {
		t.Fatal(err)
	}
	if status := p.status(id); status.ExitCode != 137 || status.Reason != "Error" {
		t.Errorf("got %v", status)
	}
}

func TestACommandsExitCodeIsReturned(t *testing.T) {
	p := newPod(t, shell)
	id := p.start(&rt.ContainerConfig{Args: forever, Envs: []*rt.KeyValue{{Key: "COLOUR", Value: []byte("blue")}}, WorkingDir: "/made/for/it"})
	stdout, stderr, err := p.runtime.ExecSync(context.Background(), id, []string{"sh", "-c", "echo $COLOUR $PWD; echo no >&2; exit 4"}, 0)
	var exit utilexec.CodeExitError
	if !errors.As(err, &exit) || exit.Code != 4 {
		t.Errorf("got %v", err)
	}
	if string(stdout) != "blue /made/for/it\n" || string(stderr) != "no\n" {
		t.Errorf("got %q, %q", stdout, stderr)
	}
}

func TestACommandThatTakesTooLongIsKilledWithItsChildren(t *testing.T) {
	p := newPod(t, shell)
	id := p.start(&rt.ContainerConfig{Args: forever})
	_, _, err := p.runtime.ExecSync(context.Background(), id, []string{"sh", "-c", "sleep 99.5 & sleep 99.5"}, 100*time.Millisecond)
	if !errors.Is(err, ErrExecTimeout) {
		t.Errorf("got %v", err)
	}
	if left := p.sh(id, "grep -l '[9]9.5' /proc/[0-9]*/cmdline 2>/dev/null || true"); left != "" {
		t.Errorf("still there: %s", left)
	}
}

func TestAContainerSeesItsOwnWorldOnly(t *testing.T) {
	p := newPod(t, shell)
	id := p.start(&rt.ContainerConfig{Args: forever})
	for script, want := range map[string]string{
		"hostname":             "web-0",
		"cat /etc/resolv.conf": "nameserver 10.244.0.1",
		"ls /tmp /run":         "/run:\n\n/tmp:",
		"cat /proc/1/comm":     "sh",
		"readlink /var/run":    "../run",
		"echo x > /dev/null; echo y > /dev/shm/a; cat /dev/shm/a":   "y",
		"test -c /dev/ptmx && echo pty":                             "pty",
		"touch /usr/x 2>/dev/null || echo read-only":                "read-only",
		"umask; touch /var/lib/x && echo writable":                  "0022\nwritable",
		"cat /proc/self/mountinfo | grep -c ' /run/netns/' || true": "0",
	} {
		if got := p.sh(id, script); got != want {
			t.Errorf("%s: got %q, want %q", script, got, want)
		}
	}
}

func TestContainersOfAPodShareMemory(t *testing.T) {
	p := newPod(t, shell)
	one, two := p.start(&rt.ContainerConfig{Args: forever}), p.start(&rt.ContainerConfig{Args: forever})
	p.sh(one, "echo shared > /dev/shm/x")
	if got := p.sh(two, "cat /dev/shm/x"); got != "shared" {
		t.Errorf("got %q", got)
	}
}

func TestVolumesAndImageFilesAreWhereTheyAreWanted(t *testing.T) {
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "f"), []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newPod(t, fmt.Sprintf(`{"sh:": {"entrypoint": ["/bin/sh", "-c"], "files": {"/usr/bin/mine": "%[1]s/f", "/usr/share/dir": "%[1]s"}}}`, data))
	id := p.start(&rt.ContainerConfig{Args: forever, Mounts: []*rt.Mount{
		{HostPath: data, ContainerPath: "/data"},
		{HostPath: data, ContainerPath: "/usr/lib/not-there/vol", Readonly: true},
		{HostPath: filepath.Join(data, "f"), ContainerPath: "/etc/app/conf"},
	}})
	for script, want := range map[string]string{
		"cat /usr/bin/mine /usr/share/dir/f":                                     "contentcontent",
		"touch /usr/share/dir/g 2>/dev/null || echo read-only":                   "read-only",
		"cat /etc/app/conf /usr/lib/not-there/vol/f":                             "contentcontent",
		"touch /usr/lib/not-there/vol/g 2>/dev/null || echo read-only":           "read-only",
		"touch /data/g && ls /data":                                              "f\ng",
		"ls /usr/bin/env /usr/lib/os-release | wc -l":                            "2",
		"test -L /usr/bin/awk -o -x /usr/bin/awk && echo 'covered, yet working'": "covered, yet working",
	} {
		if got := p.sh(id, script); got != want {
			t.Errorf("%s: got %q, want %q", script, got, want)
		}
	}
}

func TestAReadOnlyRootLeavesVolumesAndDevicesWritable(t *testing.T) {
	p := newPod(t, shell)
	id := p.start(&rt.ContainerConfig{
		Args: forever, Mounts: []*rt.Mount{{HostPath: t.TempDir(), ContainerPath: "/data"}},
		Linux: &rt.LinuxContainerConfig{SecurityContext: &rt.LinuxContainerSecurityContext{ReadonlyRootfs: true}},
	})
	script := "for d in / /tmp /data /dev/shm; do touch $d/x 2>/dev/null && echo $d; done; true"
	if got := p.sh(id, script); got != "/data\n/dev/shm" {
		t.Errorf("got %q", got)
	}
}

// answer is a server for one connection, on a pod's address or its loopback.
func (p *pod) serve(sandboxID, address, answer string) {
	p.Helper()
	s, err := p.runtime.sandbox(sandboxID)
	if err != nil {
		p.Fatal(err)
	}
	var listener net.Listener
	if err := s.network.do(func() (err error) { listener, err = net.Listen("tcp", address); return err }); err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(connection, answer)
			_ = connection.Close()
		}
	}()
}

func (p *pod) address(id string) string {
	p.Helper()
	response, err := p.runtime.PodSandboxStatus(context.Background(), id, false)
	if err != nil {
		p.Fatal(err)
	}
	return response.Status.Network.Ip
}

func TestEveryPodHasItsOwnPorts(t *testing.T) {
	p := newPod(t, shell)
	other, _ := p.sandbox("web-1")
	for _, id := range []string{p.id, other} {
		p.serve(id, "0.0.0.0:8080", id)
		connection, err := net.DialTimeout("tcp", p.address(id)+":8080", 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(connection)
		if err != nil || string(got) != id {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

// client is a user's side of a forwarded port: it sends nothing and takes everything.
type client struct{ taken bytes.Buffer }

func (c *client) Read([]byte) (int, error)    { return 0, io.EOF }
func (c *client) Write(p []byte) (int, error) { return c.taken.Write(p) }
func (c *client) Close() error                { return nil }

func TestPortForwardReachesThePodsLoopback(t *testing.T) {
	p := newPod(t, shell)
	p.serve(p.id, "127.0.0.1:19000", "admin")
	if connection, err := net.DialTimeout("tcp", p.address(p.id)+":19000", 5*time.Second); err == nil {
		_ = connection.Close()
		t.Error("the server is not on loopback only")
	}
	var user client
	if err := (streamBackend{p.runtime}).PortForward(context.Background(), p.id, 19000, &user); err != nil {
		t.Fatal(err)
	}
	if user.taken.String() != "admin" {
		t.Errorf("got %q", user.taken.String())
	}
}

func TestAnAddressComesBackWithItsPod(t *testing.T) {
	p := newPod(t, shell)
	id, _ := p.sandbox("short-lived")
	if err := p.runtime.StopPodSandbox(context.Background(), id); err != nil {
		t.Fatal(err)
	}
	if left := len(p.runtime.addresses.taken); left != 1 {
		t.Errorf("%d addresses in use, want 1", left)
	}
}
