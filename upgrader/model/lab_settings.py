"""The playbook's keys of the lab: how it plays the gateway and what stands in front of it."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from upgrader.model.strict import Strict, Text, at_fault


class LabImage(Strict):
    """What stands for an image in the lab."""

    run: Text = Field(description="Name of the local program, such as envoy. Required.")


class Lab(Strict):
    """How the lab plays this gateway; the real upgrade ignores it."""

    manifests: tuple[Text, ...] = Field(
        (),
        description="Manifests that are applied before the gateway is installed, in this order, relative to "
        "the playbook: the application behind it, definitions it needs. Default none.",
    )
    images: dict[Text, LabImage] = Field(
        default_factory=dict,
        description="Image name, longest prefix first, to the program. Default: a stand-in that serves and "
        "turns ready.",
    )
    front: Literal["envoy", "haproxy", "gateway_api"] = Field(
        "envoy",
        description="What stands in front of the gateway: envoy, haproxy (of the system's), or gateway_api: "
        "Traefik, for which manifests must bring Gateway API's definitions, a Gateway and a route. Default "
        "envoy, which the lab has always.",
    )
    cloud: Literal["gcp", "aws", "azure"] | None = Field(
        None,
        description="Whose API is imitated before that front: what it tells is what the front's checks find, "
        "and a weight set there moves the front's traffic 2 s later. Default none.",
    )

    @model_validator(mode="after")
    def _cloud_sees_an_envoy(self) -> Self:
        if self.cloud and self.front != "envoy":
            raise at_fault(("cloud",), "is played before the envoy front: leave front out")
        return self
