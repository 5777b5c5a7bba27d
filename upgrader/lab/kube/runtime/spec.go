package runtime

import (
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"

	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// spec is all that container-init has to know; it is handed over through a pipe, so that secrets touch no disk.
type spec struct {
	// Root is an empty directory to mount the container's root on.
	Root string
	// NetworkNamespace is the path of the pod's network, empty for the node's.
	NetworkNamespace string
	Hostname         string
	ResolvConf       string
	Shm              string
	// Files are the image's, Volumes the pod's; in both, outer directories come before inner ones.
	Files        []bind
	Volumes      []bind
	Command      []string
	Env          []string
	Dir          string
	ReadonlyRoot bool
}

// bind shows a file or directory of the machine in the container.
type bind struct {
	Host      string
	Container string
	Readonly  bool
}

// defaultPath is the search path of a container whose image and pod set none.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// newSpec combines what the pod, the container and the image say. It fails where nothing says what to run.
func newSpec(s *sandbox, config *rt.ContainerConfig, program Program, root string) (spec, error) {
	command := slices.Clone(config.Command)
	if len(command) == 0 {
		command = slices.Clone(program.Entrypoint)
	}
	command = append(command, config.Args...)
	if len(command) == 0 {
		return spec{}, fmt.Errorf("container %q: neither the pod nor the image table says what to run", config.GetMetadata().GetName())
	}
	hostname := s.config.Hostname
	dir := config.WorkingDir
	if dir == "" {
		dir = program.Dir
	}
	return spec{
		Root: root, NetworkNamespace: s.network.path, Hostname: hostname, ResolvConf: resolvConf(s.config.DnsConfig),
		Shm: s.shm, Files: imageFiles(program), Volumes: volumes(config), Command: command,
		Env: environment(hostname, program.Env, config.Envs), Dir: path.Join("/", dir),
		ReadonlyRoot: config.GetLinux().GetSecurityContext().GetReadonlyRootfs(),
	}, nil
}

// environment merges defaults, the image's variables and the container's, each winning over the one before.
func environment(hostname string, image map[string]string, container []*rt.KeyValue) []string {
	merged := map[string]string{"PATH": defaultPath, "HOME": "/root", "HOSTNAME": hostname}
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

func imageFiles(program Program) []bind {
	files := []bind{}
	for inside, outside := range program.Files {
		files = append(files, bind{Host: outside, Container: path.Join("/", inside), Readonly: true})
	}
	return outerFirst(files)
}

func volumes(config *rt.ContainerConfig) []bind {
	mounts := []bind{}
	for _, m := range config.Mounts {
		mounts = append(mounts, bind{Host: m.HostPath, Container: path.Join("/", m.ContainerPath), Readonly: m.Readonly})
	}
	return outerFirst(mounts)
}

func outerFirst(binds []bind) []bind {
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
