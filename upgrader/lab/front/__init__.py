"""The lab's front balancer: a real Envoy, set up to behave like a cloud load balancer.

It checks each gateway's health on the traffic port, never retries, and knows only the endpoints that
Kubernetes calls ready, as the controller of a cloud's endpoint groups would hand them over.
"""
