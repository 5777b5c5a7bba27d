// Package room prepares the network of a lab's room: the first node of a cluster, and a network namespace for each other.
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
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"upgrader.dev/lab/netns"
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

const usage = `usage: lab-room up [--nodes N]
       lab-room node INDEX PROGRAM [ARGUMENT ...]
       lab-room version
`

// Main is the command lab-room; it returns the exit code.
func Main(args []string, stderr io.Writer) int {
	var err error
	switch {
	case len(args) > 0 && args[0] == "up":
		flags := flag.NewFlagSet("lab-room up", flag.ContinueOnError)
		flags.SetOutput(stderr)
		nodes := flags.Int("nodes", 1, "number of nodes")
		if flags.Parse(args[1:]) != nil || flags.NArg() > 0 {
			return 2
		}
		err = Up(*nodes)
	case len(args) > 2 && args[0] == "node":
		err = becomeOnNode(args[1], args[2:])
	default:
		fmt.Fprint(stderr, usage)
		return 2
	}
	if err != nil {
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
	if err := prepareNetwork(); err != nil {
		return err
	}
	if err := addFirstNode(); err != nil {
		return err
	}
	for index := 1; index < nodes; index++ {
		if err := addNode(index); err != nil {
			return fmt.Errorf("node %d: %w", index, err)
		}
	}
	return nil
}

// prepareNetwork makes a router of the network namespace that the calling thread is in.
func prepareNetwork() error {
	for name, value := range settings {
		if err := os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0); err != nil {
			return fmt.Errorf("kernel setting: %w", err)
		}
	}
	return setUp("lo")
}

func setUp(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("link %s up: %w", name, err)
	}
	return nil
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
	for _, dir := range []string{netns.Dir, "/run/lock"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// addFirstNode puts the first node into the room itself, beside the control plane: its address on a veth pair that leads
// nowhere (a dummy device may not exist), and the way to Services: the packets leave by that pair and kube-proxy turns
// them.
func addFirstNode() error {
	address, err := NodeAddress(0)
	if err != nil {
		return err
	}
	veth := &netlink.Veth{PeerName: "node0p"}
	veth.Name = "node0"
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("link %s: %w", veth.Name, err)
	}
	if err := setUp(veth.PeerName); err != nil {
		return err
	}
	if err := setAddress(veth.Name, address); err != nil {
		return err
	}
	for _, services := range []netip.Prefix{Services, LoadBalancers} {
		if err := addRoute(veth.Name, netlink.Route{Scope: netlink.SCOPE_LINK, Dst: ipNet(services), Src: address.AsSlice()}); err != nil {
			return err
		}
	}
	return nil
}

// addNode gives each further node a network namespace of its own, so that ports, kube-proxy's rules and what is local
// are a node's own, and a link to the room.
func addNode(index int) error {
	address, err := NodeAddress(index)
	if err != nil {
		return err
	}
	pods, err := PodsOf(index)
	if err != nil {
		return err
	}
	first, err := NodeAddress(0)
	if err != nil {
		return err
	}
	name := nodeName(index)
	if err := netns.Create(netns.Path(name)); err != nil {
		return err
	}
	if err := linkTo(netns.Path(name), name); err != nil {
		return err
	}
	host := netip.PrefixFrom(address, address.BitLen())
	if err := addRoute(name, netlink.Route{Scope: netlink.SCOPE_LINK, Dst: ipNet(host), Src: first.AsSlice()}); err != nil {
		return err
	}
	if err := addRoute(name, netlink.Route{Dst: ipNet(pods), Gw: address.AsSlice()}); err != nil {
		return err
	}
	return netns.Do(netns.Path(name), func() error { return furnishNode(address, first) })
}

func nodeName(index int) string { return fmt.Sprintf("node%d", index) }

// linkTo joins a namespace to the room by a veth pair: named as the node here, eth0 there.
func linkTo(path, name string) error {
	namespace, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = namespace.Close() }()
	veth := &netlink.Veth{PeerName: "eth0", PeerNamespace: netlink.NsFd(namespace.Fd())}
	veth.Name = name
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	return setUp(name)
}

// furnishNode runs inside the node's namespace: everything that is not a pod of its own is reached by the first node.
func furnishNode(address, first netip.Addr) error {
	if err := prepareNetwork(); err != nil {
		return err
	}
	if err := setAddress("eth0", address); err != nil {
		return err
	}
	host := netip.PrefixFrom(first, first.BitLen())
	if err := addRoute("eth0", netlink.Route{Scope: netlink.SCOPE_LINK, Dst: ipNet(host), Src: address.AsSlice()}); err != nil {
		return err
	}
	return addRoute("eth0", netlink.Route{Gw: first.AsSlice()})
}

func setAddress(name string, address netip.Addr) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(address, address.BitLen()))}); err != nil {
		return fmt.Errorf("address of %s: %w", name, err)
	}
	return setUp(name)
}

func addRoute(name string, route netlink.Route) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	route.LinkIndex = link.Attrs().Index
	if err := netlink.RouteReplace(&route); err != nil {
		return fmt.Errorf("route to %v by %s: %w", route.Dst, name, err)
	}
	return nil
}

// becomeOnNode replaces this process by a program in the network of a node.
func becomeOnNode(index string, command []string) error {
	number, err := strconv.Atoi(index)
	if err != nil {
		return fmt.Errorf("node index: %w", err)
	}
	program, err := exec.LookPath(command[0])
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	if number > 0 { // the first node is the room itself
		if err := netns.Join(netns.Path(nodeName(number))); err != nil {
			return err
		}
	}
	return fmt.Errorf("exec %s: %w", program, syscall.Exec(program, command, os.Environ()))
}

func ipNet(prefix netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())}
}
