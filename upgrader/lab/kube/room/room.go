// Package room prepares the network of a lab's room: a network namespace that holds all nodes of one cluster.
package room

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// What is in the room; kube-apiserver, kube-proxy and the addons are started with the same ranges.
var (
	// Services is the range of cluster IPs.
	Services = netip.MustParsePrefix("10.96.0.0/16")
	// LoadBalancers is the range of addresses for Services of type LoadBalancer.
	LoadBalancers = netip.MustParsePrefix("10.97.0.0/24")
	// Pods is the range of all nodes; each has a /24 of it.
	Pods = netip.MustParsePrefix("10.244.0.0/16")
)

// maxNodes is how many /24 fit into the range of pods.
const maxNodes = 256

// PodsOf is the range of one node, numbered from 0.
func PodsOf(index int) (netip.Prefix, error) {
	if index < 0 || index >= maxNodes {
		return netip.Prefix{}, fmt.Errorf("node index %d: want 0 to %d", index, maxNodes-1)
	}
	base := Pods.Addr().As4()
	binary.BigEndian.PutUint32(base[:], binary.BigEndian.Uint32(base[:])+uint32(index)<<8)
	return netip.PrefixFrom(netip.AddrFrom4(base), 24), nil
}

// NodeAddress is the first address of a node's range.
func NodeAddress(index int) (netip.Addr, error) {
	pods, err := PodsOf(index)
	if err != nil {
		return netip.Addr{}, err
	}
	return pods.Addr().Next(), nil
}

// scratch is covered by empty file systems: Kubernetes and the tools around it write there.
var scratch = []string{"/run", "/var/log"}

// settings of the kernel in this network namespace.
var settings = map[string]string{
	"net/ipv4/ip_forward":                  "1",
	"net/ipv4/conf/all/send_redirects":     "0",
	"net/ipv4/conf/default/send_redirects": "0",
	"net/ipv4/conf/all/rp_filter":          "0",
	"net/ipv4/conf/default/rp_filter":      "0",
}

// Main is the command lab-room; it returns the exit code.
func Main(args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("lab-room up", flag.ContinueOnError)
	flags.SetOutput(stderr)
	nodes := flags.Int("nodes", 1, "number of nodes")
	if len(args) == 0 || args[0] != "up" {
		fmt.Fprintln(stderr, "usage: lab-room up [--nodes N] | lab-room version")
		return 2
	}
	if err := flags.Parse(args[1:]); err != nil {
		return 2
	}
	if err := Up(*nodes); err != nil {
		fmt.Fprintln(stderr, "lab-room:", err)
		return 1
	}
	return 0
}

// Up prepares the room that this process is in; it must have a network and a mount namespace of its own.
func Up(nodes int) error {
	if nodes < 1 || nodes > maxNodes {
		return fmt.Errorf("--nodes %d: want 1 to %d", nodes, maxNodes)
	}
	if err := refuseHost(); err != nil {
		return err
	}
	if err := coverScratch(); err != nil {
		return err
	}
	for name, value := range settings {
		if err := os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0); err != nil {
			return fmt.Errorf("kernel setting: %w", err)
		}
	}
	loopback, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("lo: %w", err)
	}
	if err := netlink.LinkSetUp(loopback); err != nil {
		return fmt.Errorf("lo up: %w", err)
	}
	for index := range nodes {
		if err := addNode(index); err != nil {
			return err
		}
	}
	return routeServices()
}

// refuseHost keeps a lab out of a network that has other links: the machine's own.
func refuseHost() error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	for _, link := range links {
		if link.Type() != "device" && link.Type() != "veth" {
			continue // tunnels that the kernel puts into every namespace
		}
		if link.Attrs().Flags&net.FlagLoopback == 0 {
			return fmt.Errorf("this network already has the link %s: a room needs a network namespace of its own", link.Attrs().Name)
		}
	}
	return nil
}

func coverScratch() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	for _, dir := range scratch {
		if err := unix.Mount("room", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("cover %s: %w", dir, err)
		}
	}
	for _, dir := range []string{"/run/netns", "/run/lock"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// addNode gives a node's address a veth pair of its own; a dummy device may not exist.
func addNode(index int) error {
	address, err := NodeAddress(index)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("node%d", index)
	veth := &netlink.Veth{PeerName: name + "p"}
	veth.Name = name
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	for _, end := range []string{veth.Name, veth.PeerName} {
		link, err := netlink.LinkByName(end)
		if err != nil {
			return fmt.Errorf("link %s: %w", end, err)
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return fmt.Errorf("link %s up: %w", end, err)
		}
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(address, 32))}); err != nil {
		return fmt.Errorf("address of %s: %w", name, err)
	}
	return nil
}

// routeServices lets the room itself reach Services: the packets leave by the first node and kube-proxy turns them.
func routeServices() error {
	link, err := netlink.LinkByName("node0")
	if err != nil {
		return fmt.Errorf("node0: %w", err)
	}
	source, err := NodeAddress(0)
	if err != nil {
		return err
	}
	for _, services := range []netip.Prefix{Services, LoadBalancers} {
		route := &netlink.Route{LinkIndex: link.Attrs().Index, Scope: netlink.SCOPE_LINK, Dst: ipNet(services), Src: source.AsSlice()}
		if err := netlink.RouteReplace(route); err != nil {
			return fmt.Errorf("route to %s: %w", services, err)
		}
	}
	return nil
}

func ipNet(prefix netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())}
}
