// Package runtime is a container runtime without containers: a pod is a network namespace, a container is a process in
// namespaces of its own, an image name stands for a program of this machine. It implements the CRI for a kubelet in the
// same process. Users, capabilities, seccomp and limits are not honoured.
package runtime

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"
)

// Name is what the runtime calls itself; container IDs in pod statuses begin with it.
const Name = "process"

// Config is what a runtime needs to know; every field is required.
type Config struct {
	// Dir holds what belongs to pods and containers while they live.
	Dir string
	// Images maps image names to programs.
	Images *ImageTable
	// Node is the address of the node; pods route through it.
	Node netip.Addr
	// Pods is the range of pod addresses; its first address is the node's.
	Pods netip.Prefix
	// Index numbers the nodes of one room, from 0; it keeps their links and namespaces apart.
	Index int
}

// Runtime implements the CRI's RuntimeService. All methods may be called concurrently.
type Runtime struct {
	config    Config
	addresses *addressPool
	launcher  *launcher
	streams   streaming.Server
	now       func() time.Time

	mu         sync.Mutex
	sandboxes  map[string]*sandbox
	containers map[string]*container
	links      int
}

// New prepares the directory and starts the streaming server on a loopback port of its own.
func New(config Config) (*Runtime, error) {
	addresses, err := newAddressPool(config.Pods)
	if err != nil {
		return nil, err
	}
	r := &Runtime{
		config: config, addresses: addresses, launcher: newLauncher(), now: time.Now,
		sandboxes: map[string]*sandbox{}, containers: map[string]*container{},
	}
	for _, dir := range []string{r.rootMountpoint(), filepath.Join(config.Dir, "sandboxes")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("runtime directory: %w", err)
		}
	}
	if r.streams, err = serveStreams(r); err != nil {
		return nil, err
	}
	return r, nil
}

// rootMountpoint is where every container mounts its root, each in a mount namespace of its own.
func (r *Runtime) rootMountpoint() string { return filepath.Join(r.config.Dir, "root") }

func (r *Runtime) sandbox(id string) (*sandbox, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok := r.sandboxes[id]; ok {
		return s, nil
	}
	return nil, status.Errorf(codes.NotFound, "pod sandbox %q not found", id)
}

func (r *Runtime) container(id string) (*container, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.containers[id]; ok {
		return c, nil
	}
	return nil, status.Errorf(codes.NotFound, "container %q not found", id)
}

func newID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(id[:])
}

// matches tells whether labels carry all pairs of a selector.
func matches(labels, selector map[string]string) bool {
	for key, value := range selector {
		if labels[key] != value {
			return false
		}
	}
	return true
}

// Version implements the CRI.
func (r *Runtime) Version(context.Context, string) (*rt.VersionResponse, error) {
	return &rt.VersionResponse{Version: "0.1.0", RuntimeName: Name, RuntimeVersion: "1.0.0", RuntimeApiVersion: "v1"}, nil
}

// Status implements the CRI: a runtime that answers is ready.
func (r *Runtime) Status(context.Context, bool) (*rt.StatusResponse, error) {
	return &rt.StatusResponse{Status: &rt.RuntimeStatus{Conditions: []*rt.RuntimeCondition{
		{Type: rt.RuntimeReady, Status: true},
		{Type: rt.NetworkReady, Status: true},
	}}}, nil
}

// Close implements the CRI; the runtime ends with its process.
func (r *Runtime) Close(context.Context) error { return nil }
