package addons

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	v1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	clientset "k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

const (
	// className and provisionerName are those of the provisioner that many clusters ship.
	className       = "local-path"
	provisionerName = "rancher.io/local-path"

	// Set on a claim by the scheduler, on a volume by its provisioner. Source: k8s.io/component-helpers/storage/volume.
	selectedNode  = "volume.kubernetes.io/selected-node"
	provisionedBy = "pv.kubernetes.io/provisioned-by"
)

// provisioner makes a directory for each claim of the class local-path once the claim's pod has a node, and removes it
// when the claim is gone.
type provisioner struct {
	client  clientset.Interface
	claims  corelisters.PersistentVolumeClaimLister
	volumes corelisters.PersistentVolumeLister
	wanted  *keyQueue
	gone    *keyQueue
	dir     string
}

func newProvisioner(client clientset.Interface, informer informers.SharedInformerFactory, dir string, log *slog.Logger) (*provisioner, error) {
	claims, volumes := informer.Core().V1().PersistentVolumeClaims(), informer.Core().V1().PersistentVolumes()
	wanted, err := newKeyQueue("volume claims", claims.Informer(), log)
	if err != nil {
		return nil, err
	}
	gone, err := newKeyQueue("volumes", volumes.Informer(), log)
	return &provisioner{
		client: client, claims: claims.Lister(), volumes: volumes.Lister(), wanted: wanted, gone: gone, dir: dir,
	}, err
}

func (p *provisioner) run(ctx context.Context) error {
	if err := p.makeClass(ctx); err != nil {
		return err
	}
	return untilFirst(ctx, []func(context.Context) error{
		func(ctx context.Context) error { return p.wanted.run(ctx, p.provision) },
		func(ctx context.Context) error { return p.gone.run(ctx, p.remove) },
	})
}

// makeClass makes the default StorageClass where it is missing.
func (p *provisioner) makeClass(ctx context.Context) error {
	mode, policy := storagev1.VolumeBindingWaitForFirstConsumer, v1.PersistentVolumeReclaimDelete
	class := &storagev1.StorageClass{
		ObjectMeta:  metav1.ObjectMeta{Name: className, Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}},
		Provisioner: provisionerName, VolumeBindingMode: &mode, ReclaimPolicy: &policy,
	}
	_, err := p.client.StorageV1().StorageClasses().Create(ctx, class, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func (p *provisioner) provision(ctx context.Context, key string) error {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return err
	}
	claim, err := p.claims.PersistentVolumeClaims(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if !needsVolume(claim) {
		return nil
	}
	volume := volumeFor(claim, p.dir)
	if err := os.MkdirAll(volume.Spec.HostPath.Path, 0o777); err != nil {
		return err
	}
	_, err = p.client.CoreV1().PersistentVolumes().Create(ctx, volume, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// needsVolume is true for a claim of our class whose pod has been given a node.
func needsVolume(claim *v1.PersistentVolumeClaim) bool {
	ours := claim.Spec.StorageClassName != nil && *claim.Spec.StorageClassName == className
	return ours && claim.Spec.VolumeName == "" && claim.Annotations[selectedNode] != "" && claim.DeletionTimestamp == nil
}

// volumeFor describes the volume of a claim, bound to it by name and usable on the node that the scheduler chose.
func volumeFor(claim *v1.PersistentVolumeClaim, dir string) *v1.PersistentVolume {
	name, kind := "pvc-"+string(claim.UID), v1.HostPathDirectoryOrCreate
	return &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{provisionedBy: provisionerName}},
		Spec: v1.PersistentVolumeSpec{
			Capacity:                      v1.ResourceList{v1.ResourceStorage: claim.Spec.Resources.Requests[v1.ResourceStorage]},
			AccessModes:                   claim.Spec.AccessModes,
			VolumeMode:                    claim.Spec.VolumeMode,
			StorageClassName:              className,
			PersistentVolumeReclaimPolicy: v1.PersistentVolumeReclaimDelete,
			ClaimRef: &v1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			PersistentVolumeSource: v1.PersistentVolumeSource{HostPath: &v1.HostPathVolumeSource{Path: filepath.Join(dir, name), Type: &kind}},
			NodeAffinity: &v1.VolumeNodeAffinity{Required: &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{{
				MatchExpressions: []v1.NodeSelectorRequirement{{
					Key: v1.LabelHostname, Operator: v1.NodeSelectorOpIn, Values: []string{claim.Annotations[selectedNode]},
				}},
			}}}},
		},
	}
}

// remove deletes released volumes of ours with what is in them.
func (p *provisioner) remove(ctx context.Context, name string) error {
	volume, err := p.volumes.Get(name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	ours := volume.Annotations[provisionedBy] == provisionerName && volume.Spec.HostPath != nil
	if !ours || volume.Status.Phase != v1.VolumeReleased || volume.Spec.PersistentVolumeReclaimPolicy != v1.PersistentVolumeReclaimDelete {
		return nil
	}
	if path := volume.Spec.HostPath.Path; filepath.Dir(path) != filepath.Clean(p.dir) {
		return fmt.Errorf("volume %s: %s is not in %s", name, path, p.dir)
	}
	deleted := p.client.CoreV1().PersistentVolumes().Delete(ctx, name, metav1.DeleteOptions{})
	if apierrors.IsNotFound(deleted) {
		deleted = nil
	}
	return errors.Join(deleted, os.RemoveAll(volume.Spec.HostPath.Path))
}
