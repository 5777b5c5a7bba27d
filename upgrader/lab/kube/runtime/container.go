package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"a.upgrader.dev/pid1"
	"golang.org/x/sys/unix"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// container is a process and what is known of it. The fields up to done are fixed when it is made or started; the
// rest changes under Runtime.mu.
type container struct {
	id      string
	sandbox *sandbox
	config  *rt.ContainerConfig
	image   string
	created int64
	log     *containerLog
	streams *ioStreams
	env     []string
	dir     string
	// done is closed when the process has ended and its log is complete.
	done chan struct{}

	process  *os.Process
	state    rt.ContainerState
	started  int64
	finished int64
	exitCode int32
	reason   string
	message  string
}

// CreateContainer implements the CRI. Nothing runs yet.
func (r *Runtime) CreateContainer(_ context.Context, sandboxID string, config *rt.ContainerConfig, pod *rt.PodSandboxConfig) (string, error) {
	s, err := r.sandbox(sandboxID)
	if err != nil {
		return "", err
	}
	image := config.GetImage().GetUserSpecifiedImage()
	if image == "" {
		image = stripDigest(config.GetImage().GetImage())
	}
	log, err := openLog(filepath.Join(pod.GetLogDirectory(), config.LogPath), r.now)
	if err != nil {
		return "", err
	}
	c := &container{
		id: newID(), sandbox: s, config: config, image: image, created: r.now().UnixNano(),
		log: log, done: make(chan struct{}), state: rt.ContainerState_CONTAINER_CREATED,
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.containers[c.id] = c
	return c.id, nil
}

// StartContainer implements the CRI. It returns when the program runs, or with the reason why it can't.
func (r *Runtime) StartContainer(_ context.Context, id string) error {
	c, err := r.container(id)
	if err != nil {
		return err
	}
	r.mu.Lock()
	state := c.state
	r.mu.Unlock()
	if state != rt.ContainerState_CONTAINER_CREATED {
		return fmt.Errorf("container %s: can't start, it is %s", id, state)
	}
	if err := r.launch(c); err != nil {
		r.finish(c, pid1.StartFailed, "StartError", err.Error())
		return fmt.Errorf("container %s: %w", c.config.GetMetadata().GetName(), err)
	}
	return nil
}

func (r *Runtime) launch(c *container) error {
	program, err := r.config.Images.Lookup(c.image)
	if err != nil {
		return err
	}
	s, err := newSpec(c.sandbox, c.config, program, r.rootMountpoint())
	if err != nil {
		return err
	}
	streams, err := newStreams(c.log, c.config)
	if err != nil {
		return err
	}
	process, err := r.startInit(s, streams)
	streams.closeChildEnds()
	if err != nil {
		return errors.Join(err, streams.drain())
	}
	r.mu.Lock()
	c.streams, c.env, c.dir, c.process = streams, s.Env, s.Dir, process
	c.state, c.started = rt.ContainerState_CONTAINER_RUNNING, r.now().UnixNano()
	r.mu.Unlock()
	go r.await(c)
	return nil
}

// startInit starts container-init and waits until it has become the container's program.
func (r *Runtime) startInit(s pid1.Spec, streams *ioStreams) (*os.Process, error) {
	specReader, specWriter, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	statusReader, statusWriter, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = statusReader.Close() }()
	command := &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{pid1.Name}, Env: []string{}, Dir: "/",
		ExtraFiles: []*os.File{specReader, statusWriter}, SysProcAttr: &syscall.SysProcAttr{
			Setsid: true, Setctty: streams.terminal != nil, Pdeathsig: syscall.SIGKILL,
			Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		},
	}
	streams.attachTo(command)
	err = r.launcher.start(command)
	for _, file := range []*os.File{specReader, statusWriter} {
		_ = file.Close() // the child has its own
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start container-init: %w", err), specWriter.Close())
	}
	encoded := json.NewEncoder(specWriter).Encode(s)
	failure, err := io.ReadAll(statusReader)
	if err := errors.Join(encoded, specWriter.Close(), err); err != nil {
		return nil, errors.Join(fmt.Errorf("speak to container-init: %w", err), stopProcess(command.Process))
	}
	if len(failure) > 0 {
		return nil, errors.Join(errors.New(string(failure)), stopProcess(command.Process))
	}
	return command.Process, nil
}

func stopProcess(process *os.Process) error {
	if err := process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	_, err := process.Wait()
	return err
}

// await records the end of a container. The kernel has killed all of its PID namespace by the time Wait returns.
func (r *Runtime) await(c *container) {
	state, err := c.process.Wait()
	code, message := exitCode(state), ""
	if err != nil {
		code, message = pid1.StartFailed, err.Error()
	}
	if err := c.streams.drain(); err != nil {
		message = strings.TrimSpace(message + " log incomplete: " + err.Error())
	}
	reason := "Completed"
	if code != 0 {
		reason = "Error"
	}
	r.finish(c, code, reason, message)
}

func (r *Runtime) finish(c *container, code int32, reason, message string) {
	if err := c.log.close(); err != nil && message == "" {
		message = err.Error()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c.finished = r.now().UnixNano()
	if c.started == 0 {
		c.started = c.finished
	}
	c.state, c.exitCode, c.reason, c.message = rt.ContainerState_CONTAINER_EXITED, code, reason, message
	close(c.done)
}

// exitCode is 128 plus the signal's number for a process that a signal ended, as shells and runtimes count.
func exitCode(state *os.ProcessState) int32 {
	if state == nil {
		return pid1.StartFailed
	}
	if wait, ok := state.Sys().(syscall.WaitStatus); ok && wait.Signaled() {
		return int32(128 + wait.Signal())
	}
	return int32(state.ExitCode())
}

// StopContainer implements the CRI: the stop signal, the grace period in seconds, SIGKILL for the whole PID namespace.
func (r *Runtime) StopContainer(ctx context.Context, id string, graceSeconds int64) error {
	c, err := r.container(id)
	if err != nil {
		return err
	}
	r.mu.Lock()
	process, running := c.process, c.state == rt.ContainerState_CONTAINER_RUNNING
	r.mu.Unlock()
	if !running {
		return nil
	}
	if graceSeconds > 0 {
		if err := signalProcess(process, stopSignal(c.config)); err != nil {
			return err
		}
		grace := time.NewTimer(time.Duration(graceSeconds) * time.Second)
		defer grace.Stop()
		select {
		case <-c.done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-grace.C:
		}
	}
	if err := signalProcess(process, syscall.SIGKILL); err != nil {
		return err
	}
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func signalProcess(process *os.Process, signal syscall.Signal) error {
	if err := process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %s: %w", signal, err)
	}
	return nil
}

// stopSignal is the pod's lifecycle.stopSignal, else SIGTERM.
func stopSignal(config *rt.ContainerConfig) syscall.Signal {
	if number := unix.SignalNum(strings.TrimPrefix(config.GetStopSignal().String(), "SIGNAL_")); number != 0 {
		return number
	}
	return syscall.SIGTERM
}

// RemoveContainer implements the CRI; a running container is killed. It may be called twice.
func (r *Runtime) RemoveContainer(ctx context.Context, id string) error {
	c, err := r.container(id)
	if err != nil {
		return nil
	}
	if err := r.StopContainer(ctx, id, 0); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.state == rt.ContainerState_CONTAINER_CREATED {
		_ = c.log.close() // nothing was written
	}
	delete(r.containers, id)
	return nil
}

// ReopenContainerLog implements the CRI, for log rotation.
func (r *Runtime) ReopenContainerLog(_ context.Context, id string) error {
	c, err := r.container(id)
	if err != nil {
		return err
	}
	r.mu.Lock()
	running := c.state == rt.ContainerState_CONTAINER_RUNNING
	r.mu.Unlock()
	if !running {
		return fmt.Errorf("container %s is not running", id)
	}
	return c.log.reopen()
}

// ListContainers implements the CRI, newest first.
func (r *Runtime) ListContainers(_ context.Context, filter *rt.ContainerFilter) ([]*rt.Container, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := []*rt.Container{}
	for _, c := range r.containers {
		if c.passes(filter) {
			found = append(found, &rt.Container{
				Id: c.id, PodSandboxId: c.sandbox.id, Metadata: c.config.Metadata, Image: c.config.Image,
				ImageRef: imageID(c.image), ImageId: imageID(c.image), State: c.state, CreatedAt: c.created,
				Labels: c.config.Labels, Annotations: c.config.Annotations,
			})
		}
	}
	slices.SortFunc(found, func(a, b *rt.Container) int {
		if a.CreatedAt != b.CreatedAt {
			return int(b.CreatedAt - a.CreatedAt)
		}
		return strings.Compare(a.Id, b.Id)
	})
	return found, nil
}

func (c *container) passes(filter *rt.ContainerFilter) bool {
	if filter == nil {
		return true
	}
	if filter.Id != "" && filter.Id != c.id {
		return false
	}
	if filter.PodSandboxId != "" && filter.PodSandboxId != c.sandbox.id {
		return false
	}
	if filter.State != nil && filter.State.State != c.state {
		return false
	}
	return matches(c.config.Labels, filter.LabelSelector)
}

// ContainerStatus implements the CRI.
func (r *Runtime) ContainerStatus(_ context.Context, id string, _ bool) (*rt.ContainerStatusResponse, error) {
	c, err := r.container(id)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return &rt.ContainerStatusResponse{Status: &rt.ContainerStatus{
		Id: c.id, Metadata: c.config.Metadata, State: c.state,
		CreatedAt: c.created, StartedAt: c.started, FinishedAt: c.finished,
		ExitCode: c.exitCode, Reason: c.reason, Message: c.message,
		Image: &rt.ImageSpec{Image: c.image, UserSpecifiedImage: c.image}, ImageRef: imageID(c.image), ImageId: imageID(c.image),
		Labels: c.config.Labels, Annotations: c.config.Annotations, Mounts: c.config.Mounts,
		LogPath: c.log.path, StopSignal: c.config.StopSignal,
	}}, nil
}
