"""Clouds of the lab: small servers that speak a provider's network API, driven by the lab's front balancer.

What is imitation: the API. What is real: a backend's health is what the front's own checks found, and a
weight set here moves the front's traffic, after the delay that the server is given.
"""
