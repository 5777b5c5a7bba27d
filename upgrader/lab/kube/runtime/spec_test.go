package runtime

import (
	"slices"
	"syscall"
	"testing"

	"a.upgrader.dev/pid1"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func specOf(t *testing.T, config *rt.ContainerConfig, program Program) pid1.Spec {
	t.Helper()
	s := &sandbox{config: &rt.PodSandboxConfig{Hostname: "web-0", PortMappings: []*rt.PortMapping{
		{ContainerPort: 8080}, {ContainerPort: 53, Protocol: rt.Protocol_UDP}, {ContainerPort: 9090}}, DnsConfig: &rt.DNSConfig{
		Servers: []string{"10.244.0.1"}, Searches: []string{"a.svc", "svc"}, Options: []string{"ndots:5"},
	}}}
	made, err := newSpec(s, config, program, "/root-of-container")
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestACommandReplacesTheEntrypointAndArgumentsFollowEither(t *testing.T) {
	program := Program{Entrypoint: []string{"/envoy", "--from-image"}}
	for _, c := range []struct {
		name                string
		command, args, want []string
	}{
		{"neither", nil, nil, []string{"/envoy", "--from-image"}},
		{"arguments", nil, []string{"-c", "x"}, []string{"/envoy", "--from-image", "-c", "x"}},
		{"command", []string{"sh"}, nil, []string{"sh"}},
		{"both", []string{"sh"}, []string{"-c", "x"}, []string{"sh", "-c", "x"}},
	} {
		got := specOf(t, &rt.ContainerConfig{Command: c.command, Args: c.args}, program).Command
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestAContainerWithNothingToRunIsRefused(t *testing.T) {
	s := &sandbox{config: &rt.PodSandboxConfig{}}
	if _, err := newSpec(s, &rt.ContainerConfig{}, Program{}, "/r"); err == nil {
		t.Fatal("no error")
	}
}

func TestTheContainersEnvironmentWinsOverTheImages(t *testing.T) {
	config := &rt.ContainerConfig{Envs: []*rt.KeyValue{{Key: "B", Value: []byte("pod")}, {Key: "PATH", Value: []byte("/p")}}}
	got := specOf(t, config, Program{Entrypoint: []string{"x"}, Env: map[string]string{"A": "image", "B": "image"}}).Env
	want := []string{"A=image", "B=pod", "HOME=/root", "HOSTNAME=web-0", "PATH=/p", "UPGRADER_LAB_PORTS=8080 9090"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestOuterMountsComeBeforeInnerOnes(t *testing.T) {
	config := &rt.ContainerConfig{Mounts: []*rt.Mount{
		{HostPath: "/h/inner", ContainerPath: "/data/sub", Readonly: true}, {HostPath: "/h/outer", ContainerPath: "data"},
	}}
	got := specOf(t, config, Program{Entrypoint: []string{"x"}}).Volumes
	want := []pid1.Bind{{Host: "/h/outer", Container: "/data"}, {Host: "/h/inner", Container: "/data/sub", Readonly: true}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestImageFilesAreReadOnly(t *testing.T) {
	got := specOf(t, &rt.ContainerConfig{}, Program{Entrypoint: []string{"x"}, Files: map[string]string{"/app": "/srv/app"}}).Files
	if !slices.Equal(got, []pid1.Bind{{Host: "/srv/app", Container: "/app", Readonly: true}}) {
		t.Errorf("got %v", got)
	}
}

func TestTheWorkingDirectoryOfThePodWinsOverTheImages(t *testing.T) {
	program := Program{Entrypoint: []string{"x"}, Dir: "/image"}
	for given, want := range map[string]string{"": "/image", "/pod": "/pod"} {
		if got := specOf(t, &rt.ContainerConfig{WorkingDir: given}, program).Dir; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := specOf(t, &rt.ContainerConfig{}, Program{Entrypoint: []string{"x"}}).Dir; got != "/" {
		t.Errorf("got %q", got)
	}
}

func TestResolvConfFollowsThePodsSettings(t *testing.T) {
	got := specOf(t, &rt.ContainerConfig{}, Program{Entrypoint: []string{"x"}}).ResolvConf
	if got != "nameserver 10.244.0.1\nsearch a.svc svc\noptions ndots:5\n" {
		t.Errorf("got %q", got)
	}
}

func TestTheStopSignalIsThePodsElseTerm(t *testing.T) {
	for given, want := range map[rt.Signal]syscall.Signal{
		rt.Signal_SIGNAL_RUNTIME_DEFAULT: syscall.SIGTERM, rt.Signal_SIGNAL_SIGUSR1: syscall.SIGUSR1, rt.Signal_SIGNAL_SIGINT: syscall.SIGINT,
	} {
		if got := stopSignal(&rt.ContainerConfig{StopSignal: given}); got != want {
			t.Errorf("%s: got %s", given, got)
		}
	}
}
