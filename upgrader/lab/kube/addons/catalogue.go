package addons

import (
	"net/netip"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
)

// domain is the cluster's; names outside it do not exist in a room.
const domain = "cluster.local."

// catalogue resolves the names of Services, their endpoints and pods.
// Source: https://github.com/kubernetes/dns/blob/master/docs/specification.md (1.1.0).
type catalogue struct {
	services  corelisters.ServiceLister
	endpoints discoverylisters.EndpointSliceLister
}

func newCatalogue(informer informers.SharedInformerFactory) *catalogue {
	return &catalogue{services: informer.Core().V1().Services().Lister(), endpoints: informer.Discovery().V1().EndpointSlices().Lister()}
}

// resolve takes a fully qualified name in any case.
func (c *catalogue) resolve(name string) (records, bool) {
	name = strings.ToLower(name)
	if reversed, ok := strings.CutSuffix(name, ".in-addr.arpa."); ok {
		return c.reverse(reversed)
	}
	inside, ok := strings.CutSuffix(name, "."+domain)
	if !ok {
		return records{}, name == domain
	}
	words := strings.Split(inside, ".")
	kind, words := words[len(words)-1], words[:len(words)-1]
	switch {
	case kind != "svc" && kind != "pod":
		return records{}, false
	case len(words) == 0:
		return records{}, true
	case kind == "svc" && len(words) >= 2:
		return c.service(words)
	case kind == "pod" && len(words) == 2:
		return podAddress(words[0])
	}
	return records{}, false
}

// podAddress takes an address written with dashes.
func podAddress(dashed string) (records, bool) {
	address, err := netip.ParseAddr(strings.ReplaceAll(dashed, "-", "."))
	if err != nil {
		return records{}, false
	}
	return records{addresses: []netip.Addr{address}}, true
}

// service takes [[_port _protocol |endpoint] service namespace].
func (c *catalogue) service(words []string) (records, bool) {
	name, namespace := words[len(words)-2], words[len(words)-1]
	s, err := c.services.Services(namespace).Get(name)
	if err != nil {
		return records{}, false
	}
	full := name + "." + namespace + ".svc." + domain
	rest := words[:len(words)-2]
	switch {
	case s.Spec.Type == v1.ServiceTypeExternalName:
		return records{alias: strings.TrimSuffix(s.Spec.ExternalName, ".") + "."}, len(rest) == 0
	case s.Spec.ClusterIP != v1.ClusterIPNone:
		return clusterIP(s, full, rest)
	}
	return headless(c.ready(s), full, rest)
}

func clusterIP(s *v1.Service, full string, rest []string) (records, bool) {
	address, err := netip.ParseAddr(s.Spec.ClusterIP)
	if err != nil {
		return records{}, false
	}
	if len(rest) == 0 {
		return records{addresses: []netip.Addr{address}}, true
	}
	var found records
	for _, port := range s.Spec.Ports {
		if isPort(rest, port.Name, string(port.Protocol)) {
			found.services = append(found.services, service{port: uint16(port.Port), target: full})
		}
	}
	return found, len(found.services) > 0
}

// isPort compares ["_name" "_protocol"] with a port.
func isPort(rest []string, name, protocol string) bool {
	return len(rest) == 2 && rest[0] == "_"+name && rest[1] == "_"+strings.ToLower(protocol)
}

// endpoint is one address of a headless Service.
type endpoint struct {
	address netip.Addr
	host    string
	ports   []discovery.EndpointPort
}

func headless(endpoints []endpoint, full string, rest []string) (records, bool) {
	var found records
	for _, e := range endpoints {
		switch {
		case len(rest) == 0, len(rest) == 1 && rest[0] == e.host:
			found.addresses = append(found.addresses, e.address)
		case len(rest) == 2:
			for _, port := range e.ports {
				if port.Name != nil && port.Port != nil && port.Protocol != nil && isPort(rest, *port.Name, string(*port.Protocol)) {
					found.services = append(found.services, service{port: uint16(*port.Port), target: e.host + "." + full})
				}
			}
		}
	}
	return found, len(rest) == 0 || len(found.addresses)+len(found.services) > 0
}

// ready are the endpoints of a headless Service that DNS shows, in the order of their addresses.
func (c *catalogue) ready(s *v1.Service) []endpoint {
	listed, err := c.endpoints.EndpointSlices(s.Namespace).List(labels.SelectorFromSet(labels.Set{discovery.LabelServiceName: s.Name}))
	if err != nil {
		return nil
	}
	found := []endpoint{}
	for _, slice := range listed {
		for _, e := range slice.Endpoints {
			if s.Spec.PublishNotReadyAddresses || e.Conditions.Ready == nil || *e.Conditions.Ready {
				found = append(found, named(e, slice.Ports)...)
			}
		}
	}
	slices.SortFunc(found, func(a, b endpoint) int { return a.address.Compare(b.address) })
	return found
}

// named gives an endpoint without a host name one made of its address.
func named(e discovery.Endpoint, ports []discovery.EndpointPort) []endpoint {
	found := []endpoint{}
	for _, text := range e.Addresses {
		address, err := netip.ParseAddr(text)
		if err != nil {
			continue
		}
		host := strings.NewReplacer(".", "-", ":", "-").Replace(text)
		if e.Hostname != nil && *e.Hostname != "" {
			host = *e.Hostname
		}
		found = append(found, endpoint{address: address, host: host, ports: ports})
	}
	return found
}

// reverse finds the Service of a cluster IP, or the endpoint of a headless Service.
func (c *catalogue) reverse(reversed string) (records, bool) {
	parts := strings.Split(reversed, ".")
	slices.Reverse(parts)
	address, err := netip.ParseAddr(strings.Join(parts, "."))
	if err != nil {
		return records{}, false
	}
	services, err := c.services.List(labels.Everything())
	if err != nil {
		return records{}, false
	}
	for _, s := range services {
		full := s.Name + "." + s.Namespace + ".svc." + domain
		if s.Spec.ClusterIP == address.String() {
			return records{pointer: full}, true
		}
		if s.Spec.ClusterIP != v1.ClusterIPNone {
			continue
		}
		for _, e := range c.ready(s) {
			if e.address == address {
				return records{pointer: e.host + "." + full}, true
			}
		}
	}
	return records{}, false
}
