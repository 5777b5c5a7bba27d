package runtime

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// What follows is the part of the CRI that has no meaning without cgroups, events or checkpoints. The kubelet accepts
// empty statistics, and "unimplemented" for the rest.

func unimplemented(what string) error {
	return status.Errorf(codes.Unimplemented, "%s: unimplemented by the process runtime", what)
}

// RuntimeConfig is unimplemented: there is no cgroup driver.
func (r *Runtime) RuntimeConfig(context.Context) (*rt.RuntimeConfigResponse, error) {
	return nil, unimplemented("RuntimeConfig")
}

// UpdateRuntimeConfig ignores the pod range, which is set at the start.
func (r *Runtime) UpdateRuntimeConfig(context.Context, *rt.RuntimeConfig) error { return nil }

// UpdateContainerResources accepts any limits and honours none.
func (r *Runtime) UpdateContainerResources(context.Context, string, *rt.ContainerResources) error {
	return nil
}

// UpdatePodSandboxResources accepts any limits and honours none.
func (r *Runtime) UpdatePodSandboxResources(context.Context, *rt.UpdatePodSandboxResourcesRequest) (*rt.UpdatePodSandboxResourcesResponse, error) {
	return &rt.UpdatePodSandboxResourcesResponse{}, nil
}

// CheckpointContainer is unimplemented.
func (r *Runtime) CheckpointContainer(context.Context, *rt.CheckpointContainerRequest) error {
	return unimplemented("CheckpointContainer")
}

// CheckpointPod is unimplemented.
func (r *Runtime) CheckpointPod(context.Context, *rt.CheckpointPodRequest) error {
	return unimplemented("CheckpointPod")
}

// RestorePod is unimplemented.
func (r *Runtime) RestorePod(context.Context, *rt.RestorePodRequest) (*rt.RestorePodResponse, error) {
	return nil, unimplemented("RestorePod")
}

// GetContainerEvents is unimplemented: the kubelet lists once a second instead.
func (r *Runtime) GetContainerEvents(context.Context, chan *rt.ContainerEventResponse, func(rt.RuntimeService_GetContainerEventsClient)) error {
	return unimplemented("GetContainerEvents")
}

// ContainerStats is empty for a container that exists.
func (r *Runtime) ContainerStats(_ context.Context, id string) (*rt.ContainerStats, error) {
	c, err := r.container(id)
	if err != nil {
		return nil, err
	}
	return &rt.ContainerStats{Attributes: &rt.ContainerAttributes{Id: id, Metadata: c.config.Metadata, Labels: c.config.Labels}}, nil
}

// ListContainerStats is empty.
func (r *Runtime) ListContainerStats(context.Context, *rt.ContainerStatsFilter) ([]*rt.ContainerStats, error) {
	return nil, nil
}

// PodSandboxStats is empty for a sandbox that exists.
func (r *Runtime) PodSandboxStats(_ context.Context, id string) (*rt.PodSandboxStats, error) {
	s, err := r.sandbox(id)
	if err != nil {
		return nil, err
	}
	return &rt.PodSandboxStats{Attributes: &rt.PodSandboxAttributes{Id: id, Metadata: s.config.Metadata, Labels: s.config.Labels}}, nil
}

// ListPodSandboxStats is empty.
func (r *Runtime) ListPodSandboxStats(context.Context, *rt.PodSandboxStatsFilter) ([]*rt.PodSandboxStats, error) {
	return nil, nil
}

// ListMetricDescriptors is empty.
func (r *Runtime) ListMetricDescriptors(context.Context) ([]*rt.MetricDescriptor, error) {
	return nil, nil
}

// ListPodSandboxMetrics is empty.
func (r *Runtime) ListPodSandboxMetrics(context.Context) ([]*rt.PodSandboxMetrics, error) {
	return nil, nil
}
