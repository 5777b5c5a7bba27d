package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"

	"upgrader.dev/lab/netns"
)

// sandbox is one pod: a network and the memory its containers share. State changes under Runtime.mu.
type sandbox struct {
	id      string
	config  *rt.PodSandboxConfig
	network podNetwork
	// shm is the directory that every container of the pod sees as /dev/shm.
	shm     string
	created int64
	state   rt.PodSandboxState
}

func (s *sandbox) onNodeNetwork() bool {
	return s.config.GetLinux().GetSecurityContext().GetNamespaceOptions().GetNetwork() == rt.NamespaceMode_NODE
}

// RunPodSandbox implements the CRI: it makes the pod's network and its shared memory.
func (r *Runtime) RunPodSandbox(_ context.Context, config *rt.PodSandboxConfig, _ string) (string, error) {
	s := &sandbox{id: newID(), config: config, created: r.now().UnixNano(), state: rt.PodSandboxState_SANDBOX_READY}
	s.shm = filepath.Join(r.config.Dir, "sandboxes", s.id, "shm")
	if err := mountShared(s.shm); err != nil {
		return "", fmt.Errorf("shared memory of pod %s: %w", config.GetMetadata().GetName(), err)
	}
	if !s.onNodeNetwork() {
		network, err := r.connect()
		if err != nil {
			return "", errors.Join(err, unmountShared(s.shm))
		}
		s.network = network
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sandboxes[s.id] = s
	return s.id, nil
}

// connect gives a pod an address and a link.
func (r *Runtime) connect() (podNetwork, error) {
	address, err := r.addresses.take()
	if err != nil {
		return podNetwork{}, err
	}
	r.mu.Lock()
	r.links++
	name := fmt.Sprintf("pod%dx%d", r.config.Index, r.links)
	r.mu.Unlock()
	network, err := newPodNetwork(netns.Path(name), name, address, r.config.Node)
	if err != nil {
		r.addresses.give(address)
	}
	return network, err
}

func mountShared(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	return unix.Mount("shm", path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777")
}

func unmountShared(path string) error {
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	return os.RemoveAll(filepath.Dir(path))
}

// StopPodSandbox implements the CRI: containers still running are killed, the network goes.
func (r *Runtime) StopPodSandbox(ctx context.Context, id string) error {
	s, err := r.sandbox(id)
	if err != nil {
		return err
	}
	for _, c := range r.containersOf(id) {
		if err := r.StopContainer(ctx, c.id, 0); err != nil {
			return err
		}
	}
	r.mu.Lock()
	stopped := s.state == rt.PodSandboxState_SANDBOX_NOTREADY
	s.state = rt.PodSandboxState_SANDBOX_NOTREADY
	r.mu.Unlock()
	if stopped {
		return nil
	}
	err = errors.Join(s.network.remove(), unmountShared(s.shm))
	if s.network.address.IsValid() {
		r.addresses.give(s.network.address)
	}
	return err
}

func (r *Runtime) containersOf(sandboxID string) []*container {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := []*container{}
	for _, c := range r.containers {
		if c.sandbox.id == sandboxID {
			found = append(found, c)
		}
	}
	return found
}

// RemovePodSandbox implements the CRI: the sandbox and its containers are stopped and forgotten. It may be called twice.
func (r *Runtime) RemovePodSandbox(ctx context.Context, id string) error {
	if _, err := r.sandbox(id); err != nil {
		return nil
	}
	if err := r.StopPodSandbox(ctx, id); err != nil {
		return err
	}
	for _, c := range r.containersOf(id) {
		if err := r.RemoveContainer(ctx, c.id); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.sandboxes, id)
	return nil
}

// PodSandboxStatus implements the CRI.
func (r *Runtime) PodSandboxStatus(_ context.Context, id string, _ bool) (*rt.PodSandboxStatusResponse, error) {
	s, err := r.sandbox(id)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	network := &rt.PodSandboxNetworkStatus{}
	if s.network.address.IsValid() {
		network.Ip = s.network.address.String()
	}
	return &rt.PodSandboxStatusResponse{Status: &rt.PodSandboxStatus{
		Id: s.id, Metadata: s.config.Metadata, State: s.state, CreatedAt: s.created, Network: network,
		Labels: s.config.Labels, Annotations: s.config.Annotations,
		Linux: &rt.LinuxPodSandboxStatus{Namespaces: &rt.Namespace{
			Options: s.config.GetLinux().GetSecurityContext().GetNamespaceOptions(),
		}},
	}}, nil
}

// ListPodSandbox implements the CRI, newest first.
func (r *Runtime) ListPodSandbox(_ context.Context, filter *rt.PodSandboxFilter) ([]*rt.PodSandbox, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := []*rt.PodSandbox{}
	for _, s := range r.sandboxes {
		if s.passes(filter) {
			found = append(found, &rt.PodSandbox{
				Id: s.id, Metadata: s.config.Metadata, State: s.state, CreatedAt: s.created,
				Labels: s.config.Labels, Annotations: s.config.Annotations,
			})
		}
	}
	slices.SortFunc(found, func(a, b *rt.PodSandbox) int {
		if a.CreatedAt != b.CreatedAt {
			return int(b.CreatedAt - a.CreatedAt)
		}
		return strings.Compare(a.Id, b.Id)
	})
	return found, nil
}

func (s *sandbox) passes(filter *rt.PodSandboxFilter) bool {
	if filter == nil {
		return true
	}
	if filter.Id != "" && filter.Id != s.id {
		return false
	}
	if filter.State != nil && filter.State.State != s.state {
		return false
	}
	return matches(s.config.Labels, filter.LabelSelector)
}
