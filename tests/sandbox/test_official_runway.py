"""Runway's own Python package, unchanged, against the simulator; and its types beside the simulator's models."""

from __future__ import annotations

import importlib
from typing import Any, Literal, Required, get_args, get_origin

import pytest
import runwayml
from runwayml import AsyncRunwayML
from runwayml.lib.polling import TaskFailedError
from typing_extensions import get_type_hints, is_typeddict

from sandbox.parameters import Parameter
from sandbox.runway import credentials
from sandbox.runway.models import ENDPOINTS

URL = "https://example.com/one.png"
GONE = {"gen3a_turbo", "gen4_aleph", "upscale_v1", "veo3"}  # from the client's types; the server may still take them


@pytest.fixture
async def client(sandbox, monkeypatch):
    monkeypatch.setattr("runwayml.lib.polling.POLL_TIME", 0.02)
    monkeypatch.setattr("runwayml.lib.polling.POLL_JITTER", 0)
    async with AsyncRunwayML(
        api_key=credentials.KEY, base_url=f"{sandbox.url}/runway", max_retries=0, timeout=15
    ) as made:
        yield made


async def test_it_makes_an_image(client, prompt):
    created = await client.text_to_image.create(
        model="gen4_image", prompt_text=prompt(), ratio="720:720", reference_images=[{"uri": URL, "tag": "kettle"}]
    )
    task = await created.wait_for_task_output()

    assert (task.status, len(task.output)) == ("SUCCEEDED", 1)
    assert task.cost.credits == 8


async def test_it_makes_a_video_of_an_image(client, prompt):
    created = await client.image_to_video.create(
        model="gen4.5",
        prompt_image=[{"uri": URL, "position": "first"}],
        prompt_text=prompt(),
        ratio="1280:720",
        duration=2,
    )
    seen = await client.tasks.retrieve(created.id)
    task = await seen.wait_for_task_output()

    assert task.output[0].partition("?")[0].endswith(".mp4")
    assert task.cost.credits == 24


async def test_it_makes_a_performance(client):
    created = await client.character_performance.create(
        model="act_two",
        character={"type": "image", "uri": URL},
        reference={"type": "video", "uri": "https://example.com/one.mp4"},
        body_control=True,
        content_moderation={"public_figure_threshold": "low"},
    )

    assert created.id


async def test_it_raises_a_failed_task(client, prompt):
    created = await client.text_to_image.create(
        model="gen4_image", prompt_text=prompt("runway=content_refused"), ratio="720:720"
    )

    with pytest.raises(TaskFailedError) as failed:
        await created.wait_for_task_output()

    assert failed.value.task_details.failure_code == "SAFETY.INPUT.TEXT"


async def test_it_cancels_a_task_that_is_unknown_afterwards(client, prompt):
    created = await client.text_to_image.create(
        model="gen4_image", prompt_text=prompt("runway=never_ends"), ratio="720:720"
    )
    before = await client.tasks.retrieve(created.id)
    await client.tasks.delete(created.id)

    assert before.status == "RUNNING"
    with pytest.raises(runwayml.NotFoundError):
        await client.tasks.retrieve(created.id)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("submit_401", runwayml.AuthenticationError),
        ("submit_402", runwayml.BadRequestError),
        ("submit_422", runwayml.BadRequestError),
        ("submit_429", runwayml.RateLimitError),
        ("submit_500", runwayml.InternalServerError),
    ],
)
async def test_it_raises_refusals(client, prompt, fault, error):
    with pytest.raises(error):
        await client.text_to_image.create(model="gen4_image", prompt_text=prompt(f"runway={fault}"), ratio="720:720")


async def test_it_repeats_a_submit_by_itself_and_so_makes_two_tasks(client, prompt, control):
    words = prompt("runway=reset_afterx1")

    await client.with_options(max_retries=1).text_to_image.create(
        model="gen4_image", prompt_text=words, ratio="720:720"
    )

    jobs = (await control.get("/jobs", params={"prompt": words})).json()["jobs"]
    assert len(jobs) == 2


async def test_it_reads_the_organization(client):
    organization = await client.organization.retrieve()

    assert organization.credit_balance > 0
    assert organization.tier.models["gen4.5"].max_concurrent_generations == 20


# --- types --------------------------------------------------------------------------------------------------------


def client_models(endpoint: str) -> dict[str, type]:
    """The client's shape of each model's body at an endpoint."""
    module = importlib.import_module(f"runwayml.types.{endpoint}_create_params")
    name = "".join(part.capitalize() for part in endpoint.split("_"))
    shape = getattr(module, f"{name}CreateParams")
    return {bare(fields(one)["model"])[1][0]: one for one in ([shape] if is_typeddict(shape) else get_args(shape))}


def fields(shape: type) -> dict[str, Any]:
    """Hints by the name on the wire."""
    return {alias(hint) or name: hint for name, hint in get_type_hints(shape, include_extras=True).items()}


def alias(hint: Any) -> str | None:
    if get_origin(hint) is Required:
        return alias(get_args(hint)[0])
    return next((info.alias for info in getattr(hint, "__metadata__", ()) if getattr(info, "alias", None)), None)


def bare(hint: Any) -> tuple[bool, tuple[Any, ...]]:
    """Whether it is required, and its choices."""
    required = False
    while get_origin(hint) is Required or hasattr(hint, "__metadata__"):
        required = required or get_origin(hint) is Required
        hint = get_args(hint)[0]
    return required, get_args(hint) if get_origin(hint) is Literal else ()


def ours(parameter: Parameter) -> tuple[bool, frozenset[Any]]:
    return parameter.required, frozenset(parameter.choices)


@pytest.mark.parametrize(
    ("path", "model"), [(path, model) for path, models in ENDPOINTS.items() for model in models if model not in GONE]
)
def test_the_simulated_models_take_what_the_clients_types_say(path, model):
    theirs = fields(client_models(path.removeprefix("/v1/"))[model])
    del theirs["model"]
    parameters = ENDPOINTS[path][model]

    assert parameters.keys() == theirs.keys()
    assert {name: ours(parameter) for name, parameter in parameters.items()} == {
        name: (bare(hint)[0], frozenset(bare(hint)[1] or parameters[name].choices)) for name, hint in theirs.items()
    }
