"""The page of rules agrees with the code. ``python tests/checks/test_catalogue.py`` writes it anew."""

from __future__ import annotations

from pathlib import Path

from tests.checks.rows import all_checks
from upgrader.model.findings import catalogue

PAGE = Path(__file__).parents[2] / "docs" / "checks.md"


def test_the_page_of_rules_is_what_the_checks_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == catalogue(all_checks()), (
        "python tests/checks/test_catalogue.py"
    )


if __name__ == "__main__":
    PAGE.write_text(catalogue(all_checks()), encoding="utf-8")
