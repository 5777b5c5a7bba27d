"""Custom resources that exist, against the schemas of the new definitions.

Each live object is tried as the API server would: what the new schema does not name is dropped, defaults are
filled in, the rest is validated. CEL rules and ``format`` are left out. At most `CUSTOM_LIMIT` objects of a
kind are tried. What the live schema refuses as well is no news.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from upgrader.model import definitions
from upgrader.model.definitions import Change
from upgrader.model.plugins import CUSTOM_LIMIT, Finding, Severity, Survey
from upgrader.model.ports import Manifest, Ref
from upgrader.model.structural import Schema, dropped, refused, rules

RULES: Mapping[str, str] = {
    "crd-objects-rejected": "Custom resources that exist do not pass the new CRD: no more writes.",
    "crd-fields-pruned": "Custom resources have fields that the new CRD does not name: dropped.",
    "crd-objects-unread": "Not all custom resources could be tried: nobody knows whether they pass.",
    "crd-rules-untried": "The new CRD has CEL rules the live one has not: only the API can try them.",
}

_SCHEMAS = "https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/"
_OBJECTS, _REASONS = 5, 2
"""How many objects a finding names, and how many reasons or fields of each."""


@dataclass
class _Tried:
    """What trying the live objects of one kind found: object → reasons, object → fields."""

    rejected: dict[Ref, Sequence[str]] = field(default_factory=dict)
    pruned: dict[Ref, Sequence[str]] = field(default_factory=dict)


def check(survey: Survey) -> Iterator[Finding]:
    """Yield what would become of the live objects of each kind whose definition changes."""
    for change in definitions.changes(survey):
        objects = survey.custom.get(change.ref.name)
        if objects is None:
            yield _unread(change, "its objects may not be listed")
            continue
        if len(objects) >= CUSTOM_LIMIT:
            yield _unread(change, f"only the first {CUSTOM_LIMIT} objects were tried")
        try:
            yield from _findings(change, objects)
        except ValueError as error:
            yield _unread(change, str(error))


def _unread(change: Change, why: str) -> Finding:
    remedy = "grant list on the kind, or try its objects against the new CRD in a test cluster"
    return Finding("crd-objects-unread", Severity.WARN, f"{change.ref}: {why}", remedy, _SCHEMAS)


def _findings(change: Change, objects: Sequence[Manifest]) -> Iterator[Finding]:
    version = definitions.listed_version(change.live)
    was = definitions.schema(change.live, version)
    for name in _versions(change, version):
        will = definitions.schema(change.new, name)
        if objects and will != was:
            words = f"{change.ref}, version {name}"
            yield from _spoken(words, _try(objects, was, will), of=len(objects))
            yield from _untried(words, was, will)


def _versions(change: Change, version: str) -> list[str]:
    """Return the versions whose schema the objects must pass: their own, and the new one to store them in.

    Where a webhook converts, only that knows what an object is in another version.
    """
    wanted = [version]
    if definitions.conversion(change.new).get("strategy") == "None":
        wanted.append(definitions.storage(change.new))
    return [name for name in dict.fromkeys(wanted) if name in definitions.versions(change.new)]


def _try(objects: Sequence[Manifest], was: Schema, will: Schema) -> _Tried:
    found = _Tried()
    for one in objects:
        reasons = refused(one, will)
        news = [each for each in reasons if each not in refused(one, was)] if reasons else []
        if news:
            found.rejected[Ref.of(one)] = news
        if fields := dropped(one, will):
            found.pruned[Ref.of(one)] = fields
    return found


def _spoken(words: str, tried: _Tried, *, of: int) -> Iterator[Finding]:
    if tried.rejected:
        yield Finding(
            "crd-objects-rejected",
            Severity.BLOCK,
            f"{words}: {len(tried.rejected)} of {of} objects would be refused: {_listed(tried.rejected)}",
            "correct these objects first, or stay with a version whose CRD takes them",
            _SCHEMAS,
        )
    if tried.pruned:
        yield Finding(
            "crd-fields-pruned",
            Severity.WARN,
            f"{words}: {len(tried.pruned)} of {of} objects would lose fields: {_listed(tried.pruned)}",
            "keep a copy of these objects; the way back does not bring the fields back",
            "https://github.com/crossplane/crossplane/issues/6148",
        )


def _listed(found: Mapping[Ref, Sequence[str]]) -> str:
    said = [f"{_place(ref)} ({', '.join(why[:_REASONS])})" for ref, why in list(found.items())[:_OBJECTS]]
    more = len(found) - _OBJECTS
    return "; ".join(said) + (f" and {more} more" if more > 0 else "")


def _place(ref: Ref) -> str:
    return f"{ref.namespace}/{ref.name}" if ref.namespace else ref.name


def _untried(words: str, was: Schema, will: Schema) -> Iterator[Finding]:
    new = sorted(rules(will) - rules(was))
    if new:
        yield Finding(
            "crd-rules-untried",
            Severity.WARN,
            f"{words}: {len(new)} new rules, such as {new[0]}",
            "try the objects against the new CRD in a test cluster",
            _SCHEMAS,
        )
