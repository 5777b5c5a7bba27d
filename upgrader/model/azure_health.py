"""How Azure's regional balancers call a backend, and what that means. Pure.

Both vocabularies of Application Gateway are understood, case-blind: the SDK's (``Up``, ``Down``) and that of
Microsoft's report page (``Healthy``, ``Unhealthy``). A word that stands in neither is unknown, and is said.

Source: azure-mgmt-network 33.1.0, ``ApplicationGatewayBackendHealthServerHealth`` and
``LoadBalancerHealthPerRule``; learn.microsoft.com, "Manage Azure Load Balancer health status". 2026-11-24.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from upgrader.model.backend_health import Health, worst

_GATEWAY_WORDS: Final = {
    "up": Health.HEALTHY,
    "healthy": Health.HEALTHY,
    "down": Health.FAILING,
    "unhealthy": Health.FAILING,
    "draining": Health.LEAVING,
    # The control plane could not ask the gateway; what "partial" means is documented nowhere. No verdicts.
    "unknown": Health.UNKNOWN,
    "partial": Health.UNKNOWN,
}
_RULE_WORDS: Final = {
    "up_probe_success": Health.HEALTHY,
    "up_probe_approachingunhealthythreshold": Health.HEALTHY,
    # Every probe fails, and traffic is sent to all (NoHealthyBackendsBehavior): it fails open.
    "up_probe_alldownisup": Health.UNKNOWN,
    # An operator said so; the probe is not listened to.
    "up_admin": Health.UNKNOWN,
    "down_admin": Health.LEAVING,
    "down_probe_approachinghealthythreshold": Health.UNPROVEN,
    # Azure's own infrastructure has trouble: its word proves nothing, and no release is to blame.
    "up_platform": Health.UNKNOWN,
    "down_platform": Health.UNKNOWN,
    "na": Health.UNPROVEN,  # the probe has not met it yet
}


@dataclass(frozen=True, slots=True)
class Backends:
    """What a balancer says of its backends.

    Args:
        health: By IP; the worst of a backend's ports and pools.
        places: Names of the pools or rules that were found.
        strange: Words that we do not know, each once.
    """

    health: Mapping[str, Health]
    places: tuple[str, ...] = ()
    strange: tuple[str, ...] = ()


def gateway_backends(body: Mapping[str, Any], *, pools: Sequence[str] = ()) -> Backends:
    """Read the answer of ``applicationGateways/NAME/backendhealth``.

    Args:
        body: The answer.
        pools: Names of the backend pools that count; empty for all.

    Raises:
        ValueError: It is not such an answer.
    """
    named = [(_pool_name(pool), pool) for pool in _list(body, "backendAddressPools")]
    chosen = [pool for name, pool in named if not pools or name in pools]
    said = [
        (str(server.get("address") or ""), str(server.get("health") or "nothing"))
        for pool in chosen
        for settings in _list(pool, "backendHttpSettingsCollection", "backendSettingsCollection")
        for server in _list(settings, "servers")
    ]
    return _judged(said, _GATEWAY_WORDS, tuple(name for name, _ in named))


def rule_backends(body: Mapping[str, Any]) -> Backends:
    """Read the answer of ``loadBalancingRules/RULE/health``; raises as `gateway_backends`."""
    said = [
        (str(one.get("ipAddress") or ""), _rule_word(one))
        for one in _list(body, "loadBalancerBackendAddresses")
    ]
    return _judged(said, _RULE_WORDS, ())


def _rule_word(one: Mapping[str, Any]) -> str:
    """Return the reason, which says more than the state; where they disagree, both."""
    state, reason = str(one.get("state") or ""), str(one.get("reason") or "")
    if reason.lower() == "na":
        return reason
    return reason if reason.lower().startswith(f"{state.lower()}_") else f"{state or 'no state'} {reason}"


def _judged(
    said: Sequence[tuple[str, str]], words: Mapping[str, Health], places: tuple[str, ...]
) -> Backends:
    by_address: dict[str, list[Health]] = {}
    for address, word in said:
        by_address.setdefault(address, []).append(_health(word, words))
    strange = dict.fromkeys(word for _, word in said if _is_strange(word, words))
    return Backends({address: worst(all_) for address, all_ in by_address.items()}, places, tuple(strange))


def _health(word: str, words: Mapping[str, Health]) -> Health:
    if word.lower().startswith("down_probe_") and word.lower() not in words:
        return Health.FAILING  # each says in which way its probe fails
    return words.get(word.lower(), Health.UNKNOWN)


def _is_strange(word: str, words: Mapping[str, Health]) -> bool:
    return word.lower() not in words and not word.lower().startswith("down_probe_")


def _pool_name(pool: Mapping[str, Any]) -> str:
    inner = pool.get("backendAddressPool") or {}
    return str(inner.get("name") or str(inner.get("id") or "").rpartition("/")[2])


def _list(part: Mapping[str, Any], *keys: str) -> Iterator[Mapping[str, Any]]:
    """Yield the mappings in the lists under these keys; an absent or null one is empty."""
    for key in keys:
        entries = part.get(key) or ()
        if not isinstance(entries, list | tuple) or not all(isinstance(one, Mapping) for one in entries):
            raise ValueError(f"{key} is not a list of objects")
        yield from entries
