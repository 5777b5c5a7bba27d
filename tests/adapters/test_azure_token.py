"""A token for Azure's Resource Manager, by azure-identity."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError

from upgrader.adapters.tokens import AZURE_SCOPE, SOURCES, Tokens, azure
from upgrader.errors import BalancerUnwilling


@dataclass
class Credential:
    """A credential of azure-identity whose answer is in the test's hands."""

    error: Exception | None = None
    asked: list[str] = field(default_factory=list)

    def get_token(self, *scopes: str) -> AccessToken:
        self.asked += scopes
        if self.error:
            raise self.error
        return AccessToken("a token", int(time.time()) + 3600)


def test_a_token_is_asked_for_the_resource_manager_and_ends_when_azure_says() -> None:
    credential = Credential()

    token = azure(lambda: credential)()

    assert token.value == "a token"
    assert token.ends_at - time.monotonic() == pytest.approx(3600, abs=5)
    assert credential.asked == [AZURE_SCOPE]


@pytest.mark.parametrize("error", [ClientAuthenticationError("no chain\nlong list"), ValueError("no chain")])
def test_without_credentials_azures_words_are_told_and_what_to_do(error: Exception) -> None:
    with pytest.raises(BalancerUnwilling) as refusal:
        azure(lambda: Credential(error))()

    assert refusal.value.what == "Azure's credentials are not usable: no chain"
    assert refusal.value.remedy.startswith("az login")


def test_the_token_is_a_secret_from_its_first_moment() -> None:
    learned: list[str] = []

    token = Tokens(learn=learned.append, sources={"azure": azure(Credential)}).get("azure")

    assert learned == [token]
    assert "azure" in SOURCES
