package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	securejoin "github.com/cyphar/filepath-securejoin"
	v1 "k8s.io/api/core/v1"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	kubeletapp "k8s.io/kubernetes/cmd/kubelet/app"
	"k8s.io/kubernetes/pkg/volume"
	"k8s.io/kubernetes/pkg/volume/util/subpath"
)

// owned are the volume plugins that give files to a pod's runAsUser and fsGroup.
var owned = map[string]bool{
	"kubernetes.io/projected": true, "kubernetes.io/empty-dir": true, "kubernetes.io/configmap": true,
	"kubernetes.io/secret": true, "kubernetes.io/downward-api": true,
}

// volumePlugins are the kubelet's own; those that change owners are wrapped.
func volumePlugins(ctx context.Context) ([]volume.VolumePlugin, error) {
	plugins, err := kubeletapp.ProbeVolumePlugins(ctx, utilfeature.DefaultFeatureGate)
	if err != nil {
		return nil, err
	}
	for i, plugin := range plugins {
		if owned[plugin.GetPluginName()] {
			plugins[i] = noOwner{plugin}
		}
	}
	return plugins, nil
}

// noOwner leaves all files with uid 0: no other exists in a room, and lchown would fail.
type noOwner struct{ volume.VolumePlugin }

// NewMounter wraps the plugin's mounter.
func (p noOwner) NewMounter(spec *volume.Spec, pod *v1.Pod) (volume.Mounter, error) {
	mounter, err := p.VolumePlugin.NewMounter(spec, pod)
	if err != nil {
		return nil, err
	}
	return noOwnerMounter{mounter}, nil
}

type noOwnerMounter struct{ volume.Mounter }

// SetUp forgets user and group.
func (m noOwnerMounter) SetUp(args volume.MounterArgs) error {
	args.FsUser, args.FsGroup = nil, nil
	return m.Mounter.SetUp(args)
}

// SetUpAt forgets user and group.
func (m noOwnerMounter) SetUpAt(dir string, args volume.MounterArgs) error {
	args.FsUser, args.FsGroup = nil, nil
	return m.Mounter.SetUpAt(dir, args)
}

// subpaths finds parts of volumes without bind mounts: volumes are plain directories here.
type subpaths struct{}

// PrepareSafeSubpath resolves links and refuses a path that leads out of its volume.
func (subpaths) PrepareSafeSubpath(part subpath.Subpath) (string, func(), error) {
	resolved, err := within(part.VolumePath, part.Path)
	return resolved, nil, err
}

// CleanSubPaths has nothing to clean.
func (subpaths) CleanSubPaths(string, string) error { return nil }

// SafeMakeDir makes a directory below the base; a link that leads out of it is followed as if the base were the root.
func (subpaths) SafeMakeDir(dir, base string, mode os.FileMode) error {
	inside, err := securejoin.SecureJoin(base, dir)
	if err != nil {
		return err
	}
	return os.MkdirAll(inside, mode)
}

func within(base, path string) (string, error) {
	realBase, err := filepath.EvalSymlinks(base)
	if err != nil {
		return "", err
	}
	realPath, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	if realPath != realBase && !strings.HasPrefix(realPath, realBase+string(filepath.Separator)) {
		return "", fmt.Errorf("%s leads out of the volume %s", path, base)
	}
	return realPath, nil
}
