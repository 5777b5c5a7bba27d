"""The commented playbooks that ``upgrader playbook new`` prints, by strategy."""

from __future__ import annotations

from typing import Final

_FIRST: Final = """\
# yaml-language-server: $schema=playbook.schema.json
## {what} A line that starts with one "#" may be left out: it says the default,
## or an example. Editors complete this file by:  upgrader playbook schema > playbook.schema.json
"""
_RELEASE: Final = """\
apiVersion: upgrader/v1
name: my-gateway
# context: my-cluster               # the kubeconfig context; else the current one

releases:
  - name: gateway                   # helm list
    namespace: gateway-system
    chart:
      ref: oci://registry.example/charts/gateway    # or https://…, or a path beside this file
      from: "1.11.28"               # what runs now; checked before anything is touched
      to: "1.11.30"
#     values:
#       files: []                   # in Helm's order, relative to this file
#       env: {}                     # secrets:  license.key: LICENSE_KEY
    workloads:                      # upgraded and gated in this order
      control_plane: {selector: "app=gateway-controller"}
      proxies: {selector: "app=gateway-proxy", service: gateway-proxy}

"""

_ROLLING: Final = """\
strategy:
  kind: rolling
  batches: [1, 10%, 50%, 100%]      # new pods after each batch; shares are rounded up
#   ready_within: 5m                # for the pods of one batch to turn ready

"""

_CANARY: Final = """\
strategy:
  kind: canary
  green:                            # the other place: the next version goes there, the one after it back
    name: gateway-green
    namespace: gateway-green
#     values_files: []              # what must differ there, laid over the release's own
#   rungs: [0.1%, 1%, 5%, 25%, 50%, 100%]           # the new version's share of the requests
"""

_BLUE_GREEN: Final = """\
strategy:
  kind: blue_green
  green:                            # the other place: the next version goes there, the one after it back
    name: gateway-green
    namespace: gateway-green
#     values_files: []              # what must differ there, laid over the release's own
"""

_BESIDE: Final = """\
#   ready_within: 5m                # for the new installation's pods, once Helm is done
#   direct: {blue: "http://gateway-proxy.gateway-system.svc", green: "http://gateway-proxy.gateway-green.svc"}

"""

_SIGNALS: Final = """\
signals:
  - kind: rollout                   # readiness of the pods
  - kind: envoy_stats               # request counters of each proxy, new against old
    port: 19000                     # the admin port
    group: proxies
#     reach: auto                   # direct, portforward or apiserver
  - kind: synthetic                 # requests of our own through the front door
    url: https://api.example.com/healthz
    rate: 10/s
#     expect: 200
#     timeout: 2s
#     bypass: http://upstream.example/healthz       # the same past the gateway
#     headers: {x-api-key: {env: API_KEY}}

"""

_ASKED: Final = """\
# balancers:                        # an Envoy in front: how it sees each backend
#   - kind: envoy
#     admin: http://10.0.0.5:9901
#     cluster: gateways
#     green: gateways-green         # the second place's, where it moves traffic
#     split: front.split            # runtime_key_prefix of the routes to both
#     settle: 30s                   # from Ready to healthy there
#     health_check: {interval: 1s, unhealthy: 2}    # its own checks, if it has any

"""

_MOVED: Final = """\
balancers:                          # one must know both places; docs/balancers.md has the other kinds
  - kind: envoy
    admin: http://10.0.0.5:9901
    cluster: gateways               # of the release above
    green: gateways-green           # of the other place
    split: front.split              # runtime_key_prefix of the routes to both
#     settle: 30s                   # from Ready to healthy there
#     health_check: {interval: 1s, unhealthy: 2}    # its own checks, if it has any

"""

_LIMITS: Final = """\
# limits:
#   error_ratio:
#     tolerate: 0.1%                # extra failures accepted
#     exclude: 5%                   # the fault each batch must rule out; smaller takes longer
#     ceiling: 5%                   # too many, with no old pod left to compare with
#   false_alarm: 0.1%               # chance that a good release is rolled back, whole run
# gate: {stand: 2m}                 # least time of good readings after each batch
# bake: 10m                         # the same after the last
# blind: {hold: 2m, then: pause}    # with no usable reading; doubt never rolls back

# checks:
#   waive: []                       # - {rule: drain-budget, reason: "CHG-1234"}
#   declare: {config_compatible: false, hooks_safe: []}
"""


def _beside(what: str, strategy: str) -> str:
    """Return the template of a strategy that puts the new version beside the old."""
    return "".join((_FIRST.format(what=what), _RELEASE, strategy, _BESIDE, _SIGNALS, _MOVED, _LIMITS))


TEMPLATES: Final = {
    "rolling": "".join(
        (
            _FIRST.format(what="A rolling upgrade in gated batches."),
            _RELEASE,
            _ROLLING,
            _SIGNALS,
            _ASKED,
            _LIMITS,
        )
    ),
    "canary": _beside("A canary: traffic moves in rungs.", _CANARY),
    "blue_green": _beside("Blue-green: traffic moves at once.", _BLUE_GREEN),
}
