"""The shape of the catalogue's files. Unknown members and wrong types are refused; the rest is in `checks.py` and
`mapping_checks.py`."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from domain.fields import INPUT_FILES_MAX, Scalar
from domain.generation import Delivery, MediaType
from domain.model import Unit

Text = Annotated[str, StringConstraints(pattern=r"\S")]
Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(/[a-z0-9]+([.-][a-z0-9]+)*)+$")]
Ratio = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]?:[1-9][0-9]?$")]
Member = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.([A-Za-z_][A-Za-z0-9_]*|0))*$")]  # a path
OptionName = Annotated[str, StringConstraints(pattern=r"^generation_[a-z0-9]+(_[a-z0-9]+)*$")]
Positive = Annotated[int, Field(gt=0)]
Confidence = Literal["verified", "likely", "unverified"]
Checked = Annotated[str, StringConstraints(pattern=r"^20[0-9]{2}-[01][0-9](-[0-3][0-9])?$")]


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ExtraField(Shape):
    """An option of one model. Without a default it is absent unless the caller sends it."""

    type: Literal["string", "integer", "number", "boolean"]
    minimum: int | float | None = None
    maximum: int | float | None = None
    enum: list[str] | None = None
    default: str | int | float | bool | None = None


class PriceEntry(Shape):
    """One price. A new price is a new entry below: yesterday's quotes must stay explainable."""

    number: Positive
    effective: date
    per: Annotated[Unit, Field(strict=False)]
    microcredits: Positive | dict[str, Positive]  # one price, or by tier
    basis: Literal["babysea", "provider", "placeholder"]
    source: Text


class InputRule(Shape):
    """What becomes of one field at one provider; see `domain.model.Rule`."""

    to: Member | Annotated[list[Member], Field(min_length=2)] | None = None  # several: one for each item of a list
    values: dict[Scalar, Any] | None = None
    values_by_resolution: dict[str, dict[Scalar, Any]] | None = None
    text: Text | None = None
    item: dict[str, Any] | None = None  # a template with one "{}", added to the list at `to`
    single: bool = False
    files_max: Positive | None = None
    only: list[str | int | bool] | None = None
    because: Text | None = None
    omit_for_resolutions: list[str] = []

    @property
    def members(self) -> tuple[str, ...]:
        if self.to is None:
            return ()
        return (self.to,) if isinstance(self.to, str) else tuple(self.to)


def _written_out(said: Any) -> Any:
    """`field: member` is short for `field: {to: member}`."""
    return {"to": said} if isinstance(said, str) else said


Rules = dict[str, Annotated[InputRule, BeforeValidator(_written_out)]]  # by field


class TargetFile(Shape):
    """Where files are given: all that is different from the entry without them."""

    native_model: Text | None = None
    native_model_by_resolution: dict[str, Text] = {}
    endpoint: Text | None = None
    input: Rules = {}  # in place of those of the entry
    omits: dict[str, Text] = {}  # fields that are not sent here, and why nothing is lost
    constants: dict[Member, Any] = {}  # beside those of the entry, or in their place


class ProviderEntryFile(Shape):
    provider: Text
    native_model: Text
    native_model_by_resolution: dict[str, Text] = {}
    endpoint: Text = ""  # the path or kind of call, where the native model does not tell it
    with_input_file: TargetFile | None = None
    with_last_frame: TargetFile | None = None  # absent: as with an input file
    delivery: Annotated[Delivery, Field(strict=False)]
    default: bool = True  # false: only where the caller names this provider
    status: Literal["active", "legacy"] = "active"  # legacy: gone from the provider's newest schemas, still answering
    retires_on: date | None = None  # from that day (UTC) on nothing is sent there
    cost_microcredits: Positive | dict[str, Positive] | None = None  # absent: the model's price
    input: Rules  # what is written, in the order of writing
    constants: dict[Member, Any] = {}
    narrows: dict[str, Text] = {}  # fields of which this provider has not all values, and why
    confidence: Confidence
    source: Text
    notes: Text | None = None

    def rules(self, target: TargetFile | None = None) -> dict[str, InputRule]:
        """Those that hold at the target."""
        if target is None:
            return self.input
        omits = {name: InputRule(because=why) for name, why in target.omits.items()}
        return {**self.input, **target.input, **omits}

    def constants_at(self, target: TargetFile | None) -> dict[str, Any]:
        return self.constants if target is None else {**self.constants, **target.constants}

    @property
    def targets(self) -> dict[str, TargetFile | None]:
        """Every case of its own, by its name; the entry itself, without files, has none."""
        said = {"with_input_file": self.with_input_file, "with_last_frame": self.with_last_frame}
        return {"": None} | {name: target for name, target in said.items() if target is not None}


class ModelFile(Shape):
    identifier: Identifier
    name: Text
    lab: Text
    media_type: Annotated[MediaType, Field(strict=False)]
    identifier_evidence: Literal["published", "assumed"]
    confidence: Confidence
    checked: Checked  # when a person last compared
    source: Text
    notes: Text | None = None
    retires_on: date | None = None  # from that day (UTC) on it is not offered
    prompt: bool = True
    input_files_min: Annotated[int, Field(ge=0, le=INPUT_FILES_MAX)] = 0  # above 0: required
    input_files_max: Annotated[int, Field(ge=0, le=INPUT_FILES_MAX)] = 0
    input_kinds: list[Annotated[MediaType, Field(strict=False)]] = []  # of each file, in order; absent: all are images
    last_frame: bool = False  # accepts one beside the input file
    ratios: list[Ratio]  # the first is the default, here and below; none: the output has the ratio of the input
    output_formats: Annotated[list[Literal["png", "jpg", "webp", "mp4"]], Field(min_length=1)]
    outputs_max: Annotated[int, Field(ge=1, le=10)]
    durations: list[Positive] = []
    durations_by_resolution: dict[str, list[Positive]] = {}
    duration_of_input: bool = False  # it is that of the given video: billed, not sent
    resolutions: list[Text] = []
    default_resolution: Text | None = None
    audio: bool = False
    extra_fields: dict[OptionName, ExtraField] = {}
    prices: Annotated[list[PriceEntry], Field(min_length=1)]
    providers: Annotated[list[ProviderEntryFile], Field(min_length=1)]  # in order of preference


class ProviderFile(Shape):
    id: Annotated[str, StringConstraints(pattern=r"^[a-z]+$")]
    name: Text
    description: Text
    website: Annotated[str, StringConstraints(pattern=r"^https://\S+$")]
    docs: Annotated[str, StringConstraints(pattern=r"^https://\S+$")]
    status: Literal["active", "beta", "paused"]
    delivery_method: Literal["webhook_with_polling", "synchronous", "polling"]
    cancel_method: Literal["prediction_cancel_api", "queue_cancel_api"] | None
    webhook_verification: Literal["hmac_sha256", "ed25519"] | None
    media_types: Annotated[list[Annotated[MediaType, Field(strict=False)]], Field(min_length=1)]
    sizes: dict[str, Annotated[str, StringConstraints(pattern=r"^[0-9]+x[0-9]+$")]] = {}  # names of image sizes
    source: Text
    checked: Checked
