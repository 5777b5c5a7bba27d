package runtime

import (
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"

	"a.upgrader.dev/pid1"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// defaultPath is the search path of a container whose image and pod set none.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// PortsVariable tells a program which TCP ports its pod's containers declare, separated by blanks: a stand-in for an
// image that nobody has here serves them all.
const PortsVariable = "UPGRADER_LAB_PORTS"

// newSpec combines what the pod, the container and the image say. It fails where nothing says what to run.
func newSpec(s *sandbox, config *rt.ContainerConfig, program Program, root string) (pid1.Spec, error) {
	command := slices.Clone(config.Command)
	if len(command) == 0 {
		command = slices.Clone(program.Entrypoint)
	}
	command = append(command, config.Args...)
	if len(command) == 0 {
		return pid1.Spec{}, fmt.Errorf("container %q: neither the pod nor the image table says what to run", config.GetMetadata().GetName())
	}
	hostname := s.config.Hostname
	dir := config.WorkingDir
	if dir == "" {
		dir = program.Dir
	}
	return pid1.Spec{
		Root: root, NetworkNamespace: s.network.path, Hostname: hostname, ResolvConf: resolvConf(s.config.DnsConfig),
		Shm: s.shm, Files: imageFiles(program), Volumes: volumes(config), Command: command,
		Env: environment(s.config, program.Env, config.Envs), Dir: path.Join("/", dir),
		ReadonlyRoot: config.GetLinux().GetSecurityContext().GetReadonlyRootfs(),
	}, nil
}

// environment merges defaults, the image's variables and the container's, each winning over the one before.
func environment(pod *rt.PodSandboxConfig, image map[string]string, container []*rt.KeyValue) []string {
	merged := map[string]string{"PATH": defaultPath, "HOME": "/root", "HOSTNAME": pod.Hostname}
	if declared := ports(pod); declared != "" {
		merged[PortsVariable] = declared
	}
	for key, value := range image {
		merged[key] = value
	}
	for _, pair := range container {
		merged[pair.Key] = string(pair.Value)
	}
	lines := make([]string, 0, len(merged))
	for key, value := range merged {
		lines = append(lines, key+"="+value)
	}
	sort.Strings(lines)
	return lines
}

func ports(pod *rt.PodSandboxConfig) string {
	declared := []string{}
	for _, mapping := range pod.PortMappings {
		if mapping.Protocol == rt.Protocol_TCP {
			declared = append(declared, fmt.Sprint(mapping.ContainerPort))
		}
	}
	return strings.Join(declared, " ")
}

func imageFiles(program Program) []pid1.Bind {
	files := []pid1.Bind{}
	for inside, outside := range program.Files {
		files = append(files, pid1.Bind{Host: outside, Container: path.Join("/", inside), Readonly: true})
	}
	return outerFirst(files)
}

func volumes(config *rt.ContainerConfig) []pid1.Bind {
	mounts := []pid1.Bind{}
	for _, m := range config.Mounts {
		mounts = append(mounts, pid1.Bind{Host: m.HostPath, Container: path.Join("/", m.ContainerPath), Readonly: m.Readonly})
	}
	return outerFirst(mounts)
}

func outerFirst(binds []pid1.Bind) []pid1.Bind {
	sort.SliceStable(binds, func(i, j int) bool { return binds[i].Container < binds[j].Container })
	return binds
}

// resolvConf renders /etc/resolv.conf; it is empty where the pod has no DNS settings.
func resolvConf(config *rt.DNSConfig) string {
	var text strings.Builder
	for _, server := range config.GetServers() {
		fmt.Fprintf(&text, "nameserver %s\n", server)
	}
	if searches := config.GetSearches(); len(searches) > 0 {
		fmt.Fprintf(&text, "search %s\n", strings.Join(searches, " "))
	}
	if options := config.GetOptions(); len(options) > 0 {
		fmt.Fprintf(&text, "options %s\n", strings.Join(options, " "))
	}
	return text.String()
}
