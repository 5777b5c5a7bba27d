"""Plain Jobs of the release: their pod template can never change, so Helm fails there half-way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from upgrader.model import manifests
from upgrader.model.plugins import Finding, Severity, Survey
from upgrader.model.subjects import by_ref, is_job_change

RULES: Mapping[str, str] = {
    "immutable-job": "A Job that exists would have to change: Helm fails there, half applied.",
    "job-way-back": "A Job differs between the versions: going back fails unless it is deleted before.",
}
ONLY_FOR = dict.fromkeys(("immutable-job", "job-way-back"), ("rolling",))

_SOURCE = "https://github.com/helm/helm/issues/7725"


def check(survey: Survey) -> Iterator[Finding]:
    """Yield one finding for each plain Job that stands in the way there or back."""
    old, new = by_ref(survey.old.objects), by_ref(survey.new.objects)
    for ref in sorted({one for one in (*old, *new) if one.kind == "Job"}):
        delete = f"kubectl delete job {ref.name} --namespace {ref.namespace}"
        if any(is_job_change(answers.get(ref)) for answers in (survey.dry_run, survey.dry_run_back)):
            yield Finding(
                "immutable-job",
                Severity.BLOCK,
                f"{ref} exists and its pod template would change",
                f"wait for it to end, then `{delete}`; or make it a hook, or name it after the version",
                _SOURCE,
            )
        elif ref in old and ref in new and _template(old[ref]) != _template(new[ref]):
            yield Finding(
                "job-way-back",
                Severity.WARN,
                f"{ref} has another pod template in the new version",
                f"a rollback deletes it first; by hand: `{delete}` before `helm rollback`",
                _SOURCE,
            )


def _template(job: Mapping[str, object]) -> Mapping[str, object]:
    return manifests.pod_template(job)
