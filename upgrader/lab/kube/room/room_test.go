package room

import "testing"

func TestEachNodeHasItsOwnRange(t *testing.T) {
	for index, want := range map[int][2]string{0: {"10.244.0.0/24", "10.244.0.1"}, 2: {"10.244.2.0/24", "10.244.2.1"}, 255: {"10.244.255.0/24", "10.244.255.1"}} {
		pods, err := PodsOf(index)
		if err != nil || pods.String() != want[0] {
			t.Errorf("%d: got %s, %v", index, pods, err)
		}
		if address, err := NodeAddress(index); err != nil || address.String() != want[1] {
			t.Errorf("%d: got %s, %v", index, address, err)
		}
	}
	for _, index := range []int{-1, 256} {
		if _, err := NodeAddress(index); err == nil {
			t.Errorf("%d is accepted", index)
		}
	}
}
