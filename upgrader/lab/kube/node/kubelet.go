// Package node runs the real kubelet over the process runtime, as Kubernetes' own kubemark runs one over a fake.
package node

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	noopoteltrace "go.opentelemetry.io/otel/trace/noop"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	clientset "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	remote "k8s.io/cri-client/pkg"
	"k8s.io/klog/v2"
	kubeletapp "k8s.io/kubernetes/cmd/kubelet/app"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
	_ "k8s.io/kubernetes/pkg/features" // the feature gates have to be known before they are set
	"k8s.io/kubernetes/pkg/kubelet"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"
	"k8s.io/kubernetes/pkg/kubelet/cm"
	kubecontainer "k8s.io/kubernetes/pkg/kubelet/container"
	kubeletutil "k8s.io/kubernetes/pkg/kubelet/util"
	"k8s.io/kubernetes/pkg/util/oom"
	"k8s.io/kubernetes/pkg/volume/util/hostutil"
	"k8s.io/mount-utils"

	"upgrader.dev/lab/room"
	"upgrader.dev/lab/runtime"
)

// maxPods leaves the network, node and broadcast addresses of a /24 out.
const maxPods = 250

// flags of the command kubelet; all are required but the index.
type flags struct {
	kubeconfig, node, dir, images, clientCA, cert, key string
	index                                              int
}

// Main is the command kubelet. It returns the exit code when it is told to stop or can't start.
func Main(args []string, stderr io.Writer) int {
	f, err := parse(args, stderr)
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(stderr, "kubelet:", err)
		}
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, f); err != nil {
		fmt.Fprintln(stderr, "kubelet:", err)
		return 1
	}
	<-ctx.Done()
	return 0
}

func parse(args []string, stderr io.Writer) (flags, error) {
	var f flags
	set := flag.NewFlagSet("kubelet", flag.ContinueOnError)
	set.SetOutput(stderr)
	required := map[string]*string{}
	for _, option := range []struct {
		name, usage string
		value       *string
	}{
		{"kubeconfig", "file that says how to reach the API server", &f.kubeconfig},
		{"node", "name of the node", &f.node},
		{"dir", "directory of the node, for pods, volumes and logs", &f.dir},
		{"images", "image table, JSON: {prefix: {entrypoint, env, files, dir}}", &f.images},
		{"client-ca", "certificates that clients of the kubelet's server are verified with", &f.clientCA},
		{"tls-cert", "serving certificate", &f.cert},
		{"tls-key", "key of the serving certificate", &f.key},
	} {
		set.StringVar(option.value, option.name, "", option.usage)
		required[option.name] = option.value
	}
	set.IntVar(&f.index, "index", 0, "number of the node in its room, from 0: it chooses addresses")
	if err := set.Parse(args); err != nil {
		return f, err
	}
	for name, value := range required {
		if *value == "" {
			return f, fmt.Errorf("--%s is required", name)
		}
	}
	return f, nil
}

func run(ctx context.Context, f flags) error {
	if err := utilfeature.DefaultMutableFeatureGate.SetFromMap(map[string]bool{"KubeletInUserNamespace": true}); err != nil {
		return err
	}
	address, err := room.NodeAddress(f.index)
	if err != nil {
		return err
	}
	server, err := settings(f, address)
	if err != nil {
		return err
	}
	dependencies, err := dependencies(ctx, f, address, server)
	if err != nil {
		return err
	}
	return kubeletapp.RunKubelet(ctx, server, dependencies)
}

// settings are the kubelet's flags and configuration.
func settings(f flags, address netip.Addr) (*options.KubeletServer, error) {
	kubeletFlags := options.NewKubeletFlags()
	kubeletFlags.RootDirectory = f.dir
	kubeletFlags.CertDirectory = f.dir
	kubeletFlags.HostnameOverride = f.node
	kubeletFlags.NodeIP = address.String()
	kubeletFlags.MinimumGCAge = metav1.Duration{}
	kubeletFlags.MaxContainerCount = -1
	kubeletFlags.MaxPerPodContainerCount = 1
	config, err := options.NewKubeletConfiguration()
	if err != nil {
		return nil, err
	}
	if err := serve(config, f, address); err != nil {
		return nil, err
	}
	withoutCgroups(config)
	config.PodLogsDir = filepath.Join(f.dir, "logs")
	config.VolumePluginDir = filepath.Join(f.dir, "volume-plugins")
	config.MaxPods = maxPods
	config.RegistryPullQPS = 0
	config.SerializeImagePulls = false
	config.SyncFrequency.Duration = 10 * time.Second
	config.NodeStatusUpdateFrequency.Duration = 2 * time.Second
	config.ConfigMapAndSecretChangeDetectionStrategy = kubeletconfig.WatchChangeDetectionStrategy
	config.ResolverConfig = "/etc/resolv.conf"
	config.ClusterDomain = "cluster.local"
	dns, err := room.NodeAddress(0)
	if err != nil {
		return nil, err
	}
	config.ClusterDNS = []string{dns.String()}
	return &options.KubeletServer{KubeletFlags: *kubeletFlags, KubeletConfiguration: *config}, nil
}

// serve puts the kubelet's servers on the node's own address; nobody gets in without a verified certificate or token.
func serve(config *kubeletconfig.KubeletConfiguration, f flags, address netip.Addr) error {
	config.EnableServer = true
	config.Address = address.String()
	config.HealthzBindAddress = address.String()
	config.TLSCertFile, config.TLSPrivateKeyFile = f.cert, f.key
	config.Authentication.Anonymous.Enabled = false
	config.Authentication.Webhook.Enabled = true
	config.Authentication.X509.ClientCAFile = f.clientCA
	config.Authorization.Mode = kubeletconfig.KubeletAuthorizationModeWebhook
	for _, file := range []string{f.cert, f.key, f.clientCA} {
		if _, err := os.Stat(file); err != nil {
			return err
		}
	}
	return nil
}

// withoutCgroups turns off what a user namespace does not offer.
func withoutCgroups(config *kubeletconfig.KubeletConfiguration) {
	config.CgroupsPerQOS = false
	config.EnforceNodeAllocatable = nil
	config.EvictionHard = nil
	config.FailCgroupV1 = false
	config.FailSwapOn = false
	config.LocalStorageCapacityIsolation = false
	config.EnableControllerAttachDetach = false
}

// dependencies are real but for what needs cgroups or mounts on the machine.
func dependencies(ctx context.Context, f flags, address netip.Addr, server *options.KubeletServer) (*kubelet.Dependencies, error) {
	clientConfig, err := clientcmd.BuildConfigFromFlags("", f.kubeconfig)
	if err != nil {
		return nil, err
	}
	clientConfig.QPS, clientConfig.Burst = 500, 1000
	client, err := clientset.NewForConfig(clientConfig)
	if err != nil {
		return nil, err
	}
	plugins, err := volumePlugins(ctx)
	if err != nil {
		return nil, err
	}
	containers, images, err := containerRuntime(f, address)
	if err != nil {
		return nil, err
	}
	d := &kubelet.Dependencies{
		KubeClient: client, HeartbeatClient: client, EventClient: client.CoreV1(),
		CAdvisorInterface: &machine{}, ContainerManager: cm.NewStubContainerManager(),
		RemoteRuntimeService: containers, RemoteImageService: images,
		Mounter: mount.NewFakeMounter(nil), HostUtil: hostutil.NewHostUtil(), Subpather: subpaths{},
		OOMAdjuster: oom.NewFakeOOMAdjuster(), OSInterface: kubecontainer.RealOS{}, VolumePlugins: plugins,
		PodStartupLatencyTracker:  kubeletutil.NewPodStartupLatencyTracker(),
		NodeStartupLatencyTracker: kubeletutil.NewNodeStartupLatencyTracker(klog.TODO()),
		TracerProvider:            noopoteltrace.NewTracerProvider(),
	}
	if d.TLSOptions, err = kubeletapp.InitializeTLS(ctx, &server.KubeletFlags, &server.KubeletConfiguration); err != nil {
		return nil, err
	}
	auth, reload, err := kubeletapp.BuildAuth(types.NodeName(f.node), client, server.KubeletConfiguration)
	if err != nil {
		return nil, err
	}
	d.Auth = auth
	reload(ctx.Done())
	return d, nil
}

func containerRuntime(f flags, address netip.Addr) (*timedOut, *runtime.Images, error) {
	pods, err := room.PodsOf(f.index)
	if err != nil {
		return nil, nil, err
	}
	table := runtime.NewImageTable(f.images)
	containers, err := runtime.New(runtime.Config{
		Dir: filepath.Join(f.dir, "runtime"), Images: table, Node: address, Pods: pods, Index: f.index,
	})
	return &timedOut{containers}, runtime.NewImages(table), err
}

// timedOut tells the kubelet of commands that took too long in the words it knows.
type timedOut struct{ *runtime.Runtime }

// ExecSync translates runtime.ErrExecTimeout, so that a probe counts it as a failure.
func (t *timedOut) ExecSync(ctx context.Context, id string, command []string, timeout time.Duration) ([]byte, []byte, error) {
	stdout, stderr, err := t.Runtime.ExecSync(ctx, id, command, timeout)
	if errors.Is(err, runtime.ErrExecTimeout) {
		err = fmt.Errorf("%w after %s: %w", remote.ErrCommandTimedOut, timeout, err)
	}
	return stdout, stderr, err
}
