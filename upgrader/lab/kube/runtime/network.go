package runtime

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"

	"upgrader.dev/lab/netns"
)

// podNetwork is a network namespace with one routed address. The zero value stands for the node's own network.
type podNetwork struct {
	// path names the namespace; empty for the node's own.
	path    string
	link    string
	address netip.Addr
}

// newPodNetwork makes the namespace and joins it to the node by a routed veth (no bridge: replies between pods would
// pass by connection tracking). What was made is removed again on failure.
func newPodNetwork(path, link string, pod, node netip.Addr) (podNetwork, error) {
	network := podNetwork{path: path, link: link, address: pod}
	if err := netns.Create(path); err != nil {
		return podNetwork{}, fmt.Errorf("network namespace %s: %w", path, err)
	}
	if err := network.join(node); err != nil {
		return podNetwork{}, errors.Join(fmt.Errorf("pod network %s: %w", pod, err), network.remove())
	}
	return network, nil
}

func (n podNetwork) join(node netip.Addr) error {
	namespace, err := vnetns.GetFromPath(n.path)
	if err != nil {
		return err
	}
	defer func() { _ = namespace.Close() }()
	veth := &netlink.Veth{PeerName: "eth0", PeerNamespace: netlink.NsFd(namespace)}
	veth.Name = n.link
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("veth %s: %w", n.link, err)
	}
	if err := routeToPod(n.link, n.address, node); err != nil {
		return err
	}
	inside, err := netlink.NewHandleAt(namespace)
	if err != nil {
		return fmt.Errorf("netlink in %s: %w", n.path, err)
	}
	defer inside.Close()
	return configurePod(inside, n.address, node)
}

func routeToPod(link string, pod, node netip.Addr) error {
	outside, err := netlink.LinkByName(link)
	if err != nil {
		return fmt.Errorf("link %s: %w", link, err)
	}
	if err := netlink.LinkSetUp(outside); err != nil {
		return fmt.Errorf("link %s up: %w", link, err)
	}
	route := &netlink.Route{
		LinkIndex: outside.Attrs().Index, Scope: netlink.SCOPE_LINK, Dst: hostNet(pod), Src: node.AsSlice(),
	}
	if err := netlink.RouteReplace(route); err != nil {
		return fmt.Errorf("route to %s: %w", pod, err)
	}
	return nil
}

func configurePod(inside *netlink.Handle, pod, node netip.Addr) error {
	loopback, err := inside.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("lo: %w", err)
	}
	if err := inside.LinkSetUp(loopback); err != nil {
		return fmt.Errorf("lo up: %w", err)
	}
	eth0, err := inside.LinkByName("eth0")
	if err != nil {
		return fmt.Errorf("eth0: %w", err)
	}
	if err := inside.AddrAdd(eth0, &netlink.Addr{IPNet: hostNet(pod)}); err != nil {
		return fmt.Errorf("address %s: %w", pod, err)
	}
	if err := inside.LinkSetUp(eth0); err != nil {
		return fmt.Errorf("eth0 up: %w", err)
	}
	index := eth0.Attrs().Index
	for _, route := range []*netlink.Route{
		{LinkIndex: index, Scope: netlink.SCOPE_LINK, Dst: hostNet(node)},
		{LinkIndex: index, Gw: node.AsSlice()},
	} {
		if err := inside.RouteAdd(route); err != nil {
			return fmt.Errorf("route %v: %w", route.Dst, err)
		}
	}
	return nil
}

func hostNet(address netip.Addr) *net.IPNet {
	return &net.IPNet{IP: address.AsSlice(), Mask: net.CIDRMask(address.BitLen(), address.BitLen())}
}

// remove takes the veth and the namespace away; parts that are gone already are no error.
func (n podNetwork) remove() error {
	if n.path == "" {
		return nil
	}
	var failures []error
	if link, err := netlink.LinkByName(n.link); err == nil {
		failures = append(failures, netlink.LinkDel(link))
	}
	failures = append(failures, netns.Remove(n.path))
	return errors.Join(failures...)
}

// do runs the function inside the network: see netns.Do.
func (n podNetwork) do(run func() error) error {
	if n.path == "" {
		return run()
	}
	return netns.Do(n.path, run)
}
