package addons

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	clientset "k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"upgrader.dev/lab/room"
)

// balancer gives each Service of type LoadBalancer an address; kube-proxy does the rest. What is taken is read from the
// Services themselves, so that nothing is lost with the process.
type balancer struct {
	client   clientset.Interface
	services corelisters.ServiceLister
	queue    *keyQueue
	// recent are addresses given that the lister may not show yet.
	recent map[string]netip.Addr
}

func newBalancer(client clientset.Interface, informer informers.SharedInformerFactory, log *slog.Logger) (*balancer, error) {
	services := informer.Core().V1().Services()
	queue, err := newKeyQueue("load balancers", services.Informer(), log)
	return &balancer{client: client, services: services.Lister(), queue: queue, recent: map[string]netip.Addr{}}, err
}

func (b *balancer) run(ctx context.Context) error { return b.queue.run(ctx, b.reconcile) }

func (b *balancer) reconcile(ctx context.Context, key string) error {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return err
	}
	service, err := b.services.Services(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		delete(b.recent, key)
		return nil
	}
	if err != nil {
		return err
	}
	wants, has := service.Spec.Type == v1.ServiceTypeLoadBalancer, len(service.Status.LoadBalancer.Ingress) > 0
	switch {
	case !wants:
		delete(b.recent, key)
		return nil
	case has:
		return nil
	}
	address, err := b.choose(key, service.Spec.LoadBalancerIP)
	if err != nil {
		return err
	}
	changed := service.DeepCopy()
	changed.Status.LoadBalancer.Ingress = []v1.LoadBalancerIngress{{IP: address.String()}}
	if _, err := b.client.CoreV1().Services(namespace).UpdateStatus(ctx, changed, metav1.UpdateOptions{}); err != nil {
		return err
	}
	b.recent[key] = address
	return nil
}

// choose returns the address asked for, or the first that is free.
func (b *balancer) choose(key, wanted string) (netip.Addr, error) {
	taken, err := b.taken(key)
	if err != nil {
		return netip.Addr{}, err
	}
	return freeAddress(room.LoadBalancers, taken, wanted)
}

func (b *balancer) taken(key string) (map[netip.Addr]bool, error) {
	services, err := b.services.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	taken := map[netip.Addr]bool{}
	for other, address := range b.recent {
		taken[address] = other != key
	}
	for _, service := range services {
		for _, ingress := range service.Status.LoadBalancer.Ingress {
			if address, err := netip.ParseAddr(ingress.IP); err == nil {
				taken[address] = true
			}
		}
	}
	return taken, nil
}

func freeAddress(pool netip.Prefix, taken map[netip.Addr]bool, wanted string) (netip.Addr, error) {
	if wanted != "" {
		address, err := netip.ParseAddr(wanted)
		if err != nil {
			return netip.Addr{}, fmt.Errorf("loadBalancerIP: %w", err)
		}
		if !pool.Contains(address) || taken[address] {
			return netip.Addr{}, fmt.Errorf("loadBalancerIP %s: taken, or not in %s", wanted, pool)
		}
		return address, nil
	}
	for address := pool.Addr().Next(); pool.Contains(address.Next()); address = address.Next() {
		if !taken[address] {
			return address, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("no address left in %s", pool)
}
