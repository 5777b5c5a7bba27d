package addons

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"
)

func pointer[T any](value T) *T { return &value }

// catalogueOf knows a plain Service, a headless one with two endpoints, one of them not ready, and an ExternalName.
func catalogueOf(t *testing.T, publishNotReady bool) *catalogue {
	t.Helper()
	services, slices := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{}), cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	for _, s := range []*v1.Service{
		{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "prod"}, Spec: v1.ServiceSpec{
			ClusterIP: "10.96.0.7", Ports: []v1.ServicePort{{Name: "http", Port: 80, Protocol: v1.ProtocolTCP}}}},
		{ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "prod"}, Spec: v1.ServiceSpec{ClusterIP: v1.ClusterIPNone, PublishNotReadyAddresses: publishNotReady}},
		{ObjectMeta: metav1.ObjectMeta{Name: "out", Namespace: "prod"}, Spec: v1.ServiceSpec{Type: v1.ServiceTypeExternalName, ExternalName: "example.org"}},
	} {
		if err := services.Add(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := slices.Add(&discovery.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Name: "db-1", Namespace: "prod", Labels: map[string]string{discovery.LabelServiceName: "db"}},
		Ports:      []discovery.EndpointPort{{Name: pointer("pg"), Port: pointer(int32(5432)), Protocol: pointer(v1.ProtocolTCP)}},
		Endpoints: []discovery.Endpoint{
			{Addresses: []string{"10.244.0.9"}, Hostname: pointer("db-0"), Conditions: discovery.EndpointConditions{Ready: pointer(true)}},
			{Addresses: []string{"10.244.0.3"}, Conditions: discovery.EndpointConditions{Ready: pointer(false)}},
		},
	}); err != nil {
		t.Fatal(err)
	}
	return &catalogue{services: corelisters.NewServiceLister(services), endpoints: discoverylisters.NewEndpointSliceLister(slices)}
}

// describe writes records in one line.
func describe(known records, found bool) string {
	if !found {
		return "no such name"
	}
	words := []string{}
	for _, address := range known.addresses {
		words = append(words, address.String())
	}
	for _, s := range known.services {
		words = append(words, s.target)
	}
	return strings.TrimSpace(strings.Join(words, " ") + known.alias + known.pointer)
}

func TestNamesOfTheCluster(t *testing.T) {
	names := catalogueOf(t, false)
	for name, want := range map[string]string{
		"web.prod.svc.cluster.local.":            "10.96.0.7",
		"WEB.prod.SVC.cluster.local.":            "10.96.0.7",
		"_http._tcp.web.prod.svc.cluster.local.": "web.prod.svc.cluster.local.",
		"_http._udp.web.prod.svc.cluster.local.": "no such name",
		"web-0.web.prod.svc.cluster.local.":      "no such name",
		"web.test.svc.cluster.local.":            "no such name",
		"db.prod.svc.cluster.local.":             "10.244.0.9",
		"db-0.db.prod.svc.cluster.local.":        "10.244.0.9",
		"db-1.db.prod.svc.cluster.local.":        "no such name",
		"_pg._tcp.db.prod.svc.cluster.local.":    "db-0.db.prod.svc.cluster.local.",
		"out.prod.svc.cluster.local.":            "example.org.",
		"10-244-0-9.prod.pod.cluster.local.":     "10.244.0.9",
		"x.prod.pod.cluster.local.":              "no such name",
		"prod.svc.cluster.local.":                "no such name",
		"7.0.96.10.in-addr.arpa.":                "web.prod.svc.cluster.local.",
		"9.0.244.10.in-addr.arpa.":               "db-0.db.prod.svc.cluster.local.",
		"1.1.1.1.in-addr.arpa.":                  "no such name",
		"cluster.local.":                         "",
		"example.org.":                           "no such name",
	} {
		if got := describe(names.resolve(name)); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestAServiceMayPublishEndpointsThatAreNotReady(t *testing.T) {
	if got := describe(catalogueOf(t, true).resolve("db.prod.svc.cluster.local.")); got != "10.244.0.3 10.244.0.9" {
		t.Errorf("got %q", got)
	}
}

// many is a name with more addresses than fit into a small datagram.
type many struct{}

func (many) resolve(string) (records, bool) {
	known := records{}
	for i := range 60 {
		known.addresses = append(known.addresses, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}))
	}
	return known, true
}

// alias knows one name under two.
type alias struct{}

func (alias) resolve(name string) (records, bool) {
	if name == "other.prod.svc.cluster.local." {
		return records{addresses: []netip.Addr{netip.MustParseAddr("10.96.0.7")}}, true
	}
	return records{alias: "other.prod.svc.cluster.local."}, true
}

func TestAnAliasIsAnsweredWithWhereItLeads(t *testing.T) {
	reply := ask(t, alias{}, 0, false)
	if len(reply.Answers) != 2 || reply.Answers[0].Header.Type != dnsmessage.TypeCNAME {
		t.Fatalf("got %v", reply.Answers)
	}
	if last := reply.Answers[1]; last.Header.Name.String() != "other.prod.svc.cluster.local." || last.Body.(*dnsmessage.AResource).A != [4]byte{10, 96, 0, 7} {
		t.Errorf("got %v", last)
	}
}

func ask(t *testing.T, names resolver, acceptedBytes int, stream bool) dnsmessage.Message {
	t.Helper()
	question := dnsmessage.Message{Header: dnsmessage.Header{ID: 7, RecursionDesired: true}, Questions: []dnsmessage.Question{
		{Name: dnsmessage.MustNewName("x.prod.svc.cluster.local."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
	if acceptedBytes > 0 {
		var header dnsmessage.ResourceHeader
		if err := header.SetEDNS0(acceptedBytes, dnsmessage.RCodeSuccess, false); err != nil {
			t.Fatal(err)
		}
		question.Additionals = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.OPTResource{}}}
	}
	packed, err := question.Pack()
	if err != nil {
		t.Fatal(err)
	}
	var reply dnsmessage.Message
	if err := reply.Unpack(answer(packed, names, stream)); err != nil {
		t.Fatal(err)
	}
	return reply
}

func TestAnAnswerTooLargeForADatagramIsCutAndSaysSo(t *testing.T) {
	for _, c := range []struct {
		name    string
		bytes   int
		stream  bool
		answers int
	}{{"plain", 0, false, 0}, {"edns", 1232, false, 60}, {"small edns", 600, false, 0}, {"tcp", 0, true, 60}} {
		reply := ask(t, many{}, c.bytes, c.stream)
		if reply.ID != 7 || len(reply.Answers) != c.answers || reply.Truncated != (c.answers == 0) {
			t.Errorf("%s: %d answers, truncated %t", c.name, len(reply.Answers), reply.Truncated)
		}
	}
}

func TestNoiseIsNotAnswered(t *testing.T) {
	for _, noise := range [][]byte{nil, {1, 2, 3}, make([]byte, 12)} {
		if reply := answer(noise, many{}, false); reply != nil {
			t.Errorf("%v: got %v", noise, reply)
		}
	}
}

func TestLoadBalancersGetTheFirstFreeAddress(t *testing.T) {
	pool := netip.MustParsePrefix("10.97.0.0/30")
	one, two := netip.MustParseAddr("10.97.0.1"), netip.MustParseAddr("10.97.0.2")
	for _, c := range []struct {
		taken  []netip.Addr
		wanted string
		want   string
	}{
		{nil, "", "10.97.0.1"}, {[]netip.Addr{one}, "", "10.97.0.2"}, {[]netip.Addr{one, two}, "", "invalid IP"},
		{nil, "10.97.0.2", "10.97.0.2"}, {[]netip.Addr{two}, "10.97.0.2", "invalid IP"}, {nil, "192.0.2.1", "invalid IP"}, {nil, "x", "invalid IP"},
	} {
		taken := map[netip.Addr]bool{}
		for _, address := range c.taken {
			taken[address] = true
		}
		got, err := freeAddress(pool, taken, c.wanted)
		if got.String() != c.want || (err == nil) != got.IsValid() {
			t.Errorf("taken %v, wanted %q: got %s, %v", c.taken, c.wanted, got, err)
		}
	}
}

func TestAVolumeIsMadeOnceTheClaimHasANode(t *testing.T) {
	claim := &v1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "data", Namespace: "prod", UID: "u1"}}
	if needsVolume(claim) {
		t.Error("a claim without a class")
	}
	claim.Spec.StorageClassName = pointer(className)
	if needsVolume(claim) {
		t.Error("a claim without a node")
	}
	claim.Annotations = map[string]string{selectedNode: "lab-1"}
	if !needsVolume(claim) {
		t.Fatal("a claim with both")
	}
	volume := volumeFor(claim, "/v")
	if volume.Spec.HostPath.Path != "/v/pvc-u1" || !slices.Equal(volume.Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions[0].Values, []string{"lab-1"}) {
		t.Errorf("got %v", volume.Spec)
	}
	claim.Spec.VolumeName = volume.Name
	if needsVolume(claim) {
		t.Error("a claim that is bound")
	}
}
