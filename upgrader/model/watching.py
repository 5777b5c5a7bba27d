"""The playbook's signals: their kinds, and the keys of those that ship with us."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PrivateAttr,
    StrictInt,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from upgrader.model.strict import EnvName, Strict, nearest
from upgrader.model.units import Duration, Rate

SIGNALS: Final = ("rollout", "envoy_stats", "synthetic")
SIGNALS_NOT_YET: Final = ("prometheus", "datadog", "access_log")


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("must be a whole URL, such as https://api.example.com/healthz")
    if parts.username or parts.password:
        raise ValueError("no credentials in a URL; send them as a header from the environment: headers")
    return value


Url = Annotated[str, AfterValidator(_url)]
Port = Annotated[StrictInt, Field(ge=1, le=65535)]


class Watching(Strict):
    """What watches: a signal or a balancer."""

    @property
    def settings(self) -> dict[str, Any]:
        """All keys but ``kind``, as Python values: what the plugin's ``build`` is given."""
        return {key: value for key, value in self if key != "kind"}


class Rollout(Watching):
    """Readiness of the pods, from a watch. It has no keys."""

    kind: Literal["rollout"]


class EnvoyStats(Watching):
    """Request counters straight from each Envoy, every second."""

    kind: Literal["envoy_stats"]
    port: Port = Field(description="Admin port of the proxies. Required: Envoy has no usual one.")
    reach: Literal["auto", "direct", "portforward", "apiserver"] = Field(
        "auto",
        description="How the proxies are reached. Default auto: the fastest way that works, named by doctor.",
    )
    group: str | None = Field(
        None,
        description="The group of workloads that are Envoys. Default: the groups with a service; where none "
        "has one, whatever answers as an Envoy.",
    )


class FromEnvironment(Strict):
    """A value that is read from an environment variable and shown nowhere."""

    env: EnvName = Field(description="Its name. Required.")


def _literal_or_env(value: object) -> str:
    return "literal" if isinstance(value, str) else "env"


HeaderValue = Annotated[
    Annotated[str, Tag("literal")] | Annotated[FromEnvironment, Tag("env")], Discriminator(_literal_or_env)
]


class Synthetic(Watching):
    """Requests of our own through the front door, and what each must answer."""

    kind: Literal["synthetic"]
    url: Url = Field(description="Where to, by the way that clients take. Required.")
    rate: Rate = Field(1.0, description="How often. Default 1/s: enough to see a door that is shut.")
    expect: Annotated[StrictInt, Field(ge=100, le=599)] = Field(
        200,
        description="The HTTP status that is right; 401 where a missing key must stay shut out. Default 200.",
    )
    bypass: Url | None = Field(
        None,
        description="The same straight at the upstream, past the gateway: what to compare with while the "
        "control plane changes. Default none.",
    )
    headers: dict[str, HeaderValue] = Field(
        default_factory=dict,
        description="Request headers; a secret as {env: VARIABLE}. Default none.",
    )
    timeout: Duration = Field(
        timedelta(seconds=2),
        description="After it a request has failed. Default 2s, as most clients wait longer.",
    )

    @field_validator("headers")
    @classmethod
    def _header_names(cls, headers: dict[str, Any]) -> dict[str, Any]:
        for name, value in headers.items():
            if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
                raise ValueError(f"{name!r} is no header name")
            if isinstance(value, str) and re.search(r"[\r\n\0]", value):
                raise ValueError(f"{name}: a header value is one line")
        return headers


def probe_names(probes: Sequence[Synthetic]) -> tuple[str, ...]:
    """Return what each probe is called in this run, such as ``synthetic 401 /orders``; no two are the same.

    The path is enough where no other probe shares it; else the host stands before it, else the whole URL, and
    those that differ in their headers or query alone, which may be secret, are numbered.
    """
    levels = tuple(tuple(f"synthetic {one.expect} {form}" for form in _forms(one.url)) for one in probes)
    times = Counter(name for names in levels for name in names)
    seen: Counter[str] = Counter()
    chosen = []
    for names in levels:
        alone = next((name for name in names if times[name] == 1), "")
        seen[names[-1]] += 1
        chosen.append(alone or f"{names[-1]} ({seen[names[-1]]})")
    return tuple(chosen)


def _forms(url: str) -> tuple[str, str, str]:
    """Return a URL's path, the same behind its host, and all of it but the query."""
    parts = urlsplit(url)
    path = parts.path or "/"
    return path, f"{parts.netloc}{path}", f"{parts.scheme}://{parts.netloc}{path}"


KeysOf = Callable[[str, str], type[BaseModel] | None]
"""From ``signals``, ``balancers`` or ``strategies`` and a kind to the model of the plugin's own keys, if it
has one."""


class ForeignPlugin(Watching):
    """What somebody else's package brings. Where the package has a model of its keys, they are read by it."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)

    place: ClassVar[str]
    ours: ClassVar[tuple[str, ...]]
    later: ClassVar[tuple[str, ...]]

    kind: str
    _own: BaseModel | None = PrivateAttr(None)

    @property
    def settings(self) -> dict[str, Any]:
        """All keys but ``kind``: as the plugin's own model reads them, else as they are written."""
        return super().settings if self._own is None else dict(self._own)

    @model_validator(mode="after")
    def _read_own_keys(self, info: ValidationInfo) -> Self:
        keys_of: KeysOf | None = (info.context or {}).get("keys_of")
        model = keys_of(self.place, self.kind) if keys_of else None
        if model is not None:
            written = self.model_dump(exclude={"kind"}, exclude_defaults=True)
            self._own = model.model_validate(written)
        return self

    @field_validator("kind")
    @classmethod
    def _installed(cls, kind: str, info: ValidationInfo) -> str:
        plugins = (info.context or {}).get("plugins", {}).get(cls.place, ())
        known = tuple(dict.fromkeys((*cls.ours, *plugins)))
        if kind in plugins:
            return kind
        if kind in cls.later:
            raise ValueError(f"{kind} is not in this version; there is: {', '.join(known)}")
        raise ValueError(f"unknown kind; there is: {', '.join(known)}{nearest(kind, known)}")


class PluginSignal(ForeignPlugin):
    """A signal that somebody else's package brings; it validates its own keys."""

    place = "signals"
    ours = SIGNALS
    later = SIGNALS_NOT_YET


def by_kind(ours: tuple[str, ...]) -> Callable[[object], str]:
    """Return what tells pydantic which class an entry is of: one of ours by its kind, else a plugin's."""

    def tag(value: object) -> str:
        kind = value.get("kind") if isinstance(value, Mapping) else getattr(value, "kind", None)
        return kind if isinstance(kind, str) and kind in ours else "plugin"

    return tag


SignalSettings = Annotated[
    Annotated[Rollout, Tag("rollout")]
    | Annotated[EnvoyStats, Tag("envoy_stats")]
    | Annotated[Synthetic, Tag("synthetic")]
    | Annotated[PluginSignal, Tag("plugin")],
    Discriminator(by_kind(SIGNALS)),
]
