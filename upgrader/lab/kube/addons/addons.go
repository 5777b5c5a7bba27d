// Package addons is what a cluster needs beside Kubernetes itself: DNS, addresses for Services of type LoadBalancer, and
// volumes for the StorageClass local-path.
package addons

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"syscall"

	"k8s.io/client-go/informers"
	clientset "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// Main is the command lab-addons; it returns the exit code when it is told to stop or can't start.
func Main(args []string, stderr io.Writer) int {
	set := flag.NewFlagSet("lab-addons", flag.ContinueOnError)
	set.SetOutput(stderr)
	kubeconfig := set.String("kubeconfig", "", "file that says how to reach the API server (required)")
	listen := set.String("listen", "10.244.0.1:53", "address of the DNS server")
	volumes := set.String("volumes", "/run/lab-volumes", "directory for volumes of the StorageClass local-path")
	if err := set.Parse(args); err != nil {
		return 2
	}
	if *kubeconfig == "" {
		fmt.Fprintln(stderr, "lab-addons: --kubeconfig is required")
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	log := slog.New(slog.NewTextHandler(stderr, nil))
	if err := run(ctx, log, *kubeconfig, *listen, *volumes); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(stderr, "lab-addons:", err)
		return 1
	}
	return 0
}

func run(ctx context.Context, log *slog.Logger, kubeconfig, listen, volumes string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 100, 200
	client, err := clientset.NewForConfig(config)
	if err != nil {
		return err
	}
	informer := informers.NewSharedInformerFactory(client, 0)
	names := newCatalogue(informer)
	balancer, err := newBalancer(client, informer, log)
	if err != nil {
		return err
	}
	provisioner, err := newProvisioner(client, informer, volumes, log)
	if err != nil {
		return err
	}
	informer.Start(ctx.Done())
	for kind, synced := range informer.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("no list of %v from the API server", kind)
		}
	}
	return untilFirst(ctx, []func(context.Context) error{
		balancer.run,
		provisioner.run,
		func(ctx context.Context) error { return serveDNS(ctx, log, listen, names) },
	})
}

// untilFirst runs all and returns what the first to end returned; the others are told to stop.
func untilFirst(ctx context.Context, controllers []func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, len(controllers))
	for _, run := range controllers {
		go func() { ended <- run(ctx) }()
	}
	return <-ended
}
