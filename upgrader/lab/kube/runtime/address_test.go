package runtime

import (
	"net/netip"
	"testing"
)

func poolOf(t *testing.T, prefix string) *addressPool {
	t.Helper()
	pool, err := newAddressPool(netip.MustParsePrefix(prefix))
	if err != nil {
		t.Fatal(err)
	}
	return pool
}

func take(t *testing.T, pool *addressPool) string {
	t.Helper()
	address, err := pool.take()
	if err != nil {
		t.Fatal(err)
	}
	return address.String()
}

func TestPodsGetNeitherNetworkNorNodeNorBroadcastAddress(t *testing.T) {
	pool := poolOf(t, "10.244.3.0/29")
	for _, want := range []string{"10.244.3.2", "10.244.3.3", "10.244.3.4", "10.244.3.5", "10.244.3.6"} {
		if got := take(t, pool); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if address, err := pool.take(); err == nil {
		t.Errorf("a sixth address: %s", address)
	}
}

func TestAnAddressRestsBeforeItIsUsedAgain(t *testing.T) {
	pool := poolOf(t, "10.244.0.0/29")
	first := take(t, pool)
	pool.give(netip.MustParseAddr(first))
	if got := take(t, pool); got != "10.244.0.3" {
		t.Errorf("got %s", got)
	}
	for range 3 {
		take(t, pool)
	}
	if got := take(t, pool); got != first {
		t.Errorf("got %s, want %s at last", got, first)
	}
}

func TestARangeTooSmallIsRefused(t *testing.T) {
	for _, prefix := range []string{"10.244.0.0/30", "fd00::/64"} {
		if _, err := newAddressPool(netip.MustParsePrefix(prefix)); err == nil {
			t.Errorf("%s is accepted", prefix)
		}
	}
}
