package runtime

import (
	"fmt"
	"net/netip"
	"sync"
)

// addressPool hands out the pod addresses of one node. It goes round, so that an address rests before it is used again
// and no connection of a dead pod is taken for one of a new pod.
type addressPool struct {
	mu     sync.Mutex
	first  netip.Addr
	last   netip.Addr
	cursor netip.Addr
	taken  map[netip.Addr]bool
}

// newAddressPool covers the prefix without its network, node (.1) and broadcast addresses.
func newAddressPool(prefix netip.Prefix) (*addressPool, error) {
	if !prefix.Addr().Is4() || prefix.Bits() > 29 {
		return nil, fmt.Errorf("pod range %s: want IPv4, /29 or larger", prefix)
	}
	network := prefix.Masked().Addr().As4()
	size := uint32(1) << (32 - prefix.Bits())
	base := uint32(network[0])<<24 | uint32(network[1])<<16 | uint32(network[2])<<8 | uint32(network[3])
	first, last := ipv4(base+2), ipv4(base+size-2)
	return &addressPool{first: first, last: last, cursor: first, taken: map[netip.Addr]bool{}}, nil
}

func ipv4(value uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(value >> 24), byte(value >> 16), byte(value >> 8), byte(value)})
}

// take returns a free address; it fails when all are in use.
func (p *addressPool) take() (netip.Addr, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	start := p.cursor
	for {
		candidate := p.cursor
		p.cursor = p.after(candidate)
		if !p.taken[candidate] {
			p.taken[candidate] = true
			return candidate, nil
		}
		if p.cursor == start {
			return netip.Addr{}, fmt.Errorf("no pod address left between %s and %s", p.first, p.last)
		}
	}
}

func (p *addressPool) after(address netip.Addr) netip.Addr {
	if address == p.last {
		return p.first
	}
	return address.Next()
}

// give returns an address to the pool.
func (p *addressPool) give(address netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.taken, address)
}
