"""The execution record of one generation: as a document, and as a timeline to read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from cli.decision import decision_lines, deviation_lines
from cli.output import credits
from store.timeline import Timeline

Document = dict[str, Any]

_COLOURS = {"succeeded": "green", "failed": "red", "canceled": "yellow"}


def document(timeline: Timeline, *, artifacts: Path | None = None) -> Document:
    """Everything that is recorded, but no prompt. `artifacts` is the folder of a store that keeps files in one."""
    record = timeline.record
    return {
        "generation": {
            "generation_id": record.generation_id,
            "account_id": record.account_id,
            "model": record.model,
            "media_type": record.media_type,
            "region": record.region,
            "status": record.status,
            "provider_order": record.provider_order,
            "provider_used": record.provider_used,
            "error_code": record.error_code,
            "error_message": record.error_message,
            "replay_of": record.replay_of,
            "price_version": record.price_version,
            "created_at": record.created_at,
            "started_at": record.started_at,
            "completed_at": record.completed_at,
            "latency_ms": _milliseconds(record.created_at, record.completed_at),
        },
        "decision": asdict(timeline.decision) if timeline.decision else None,
        "attempts": [
            {
                "number": attempt.number,
                "provider": attempt.provider,
                "native_model": attempt.native_model,
                "state": attempt.state,
                "job_id": attempt.job.job_id if attempt.job else None,
                "adopted": attempt.adopted,
                "submissions": attempt.submissions,
                "begun_at": attempt.begun_at,
                "accepted_at": attempt.accepted_at,
                "ended_at": attempt.ended_at,
                "latency_ms": _milliseconds(attempt.begun_at, attempt.ended_at),
                "estimate_microcredits": attempt.estimate_microcredits,
                "cost_microcredits": attempt.cost_microcredits,
                "failure": asdict(attempt.failure) if attempt.failure else None,
            }
            for attempt in timeline.attempts
        ],
        "credits": {
            "quote_microcredits": record.quote_microcredits,
            "settled_microcredits": record.settled_microcredits,
            "available_before_microcredits": _first(timeline, "available_before_micros"),
            "available_after_microcredits": _last(timeline, "available_after_micros"),
            "transfers": [
                {
                    "operation": transfer.operation,
                    "amount_microcredits": transfer.amount_micros,
                    "available_before_microcredits": transfer.available_before_micros,
                    "available_after_microcredits": transfer.available_after_micros,
                    "at": transfer.created_at,
                }
                for transfer in timeline.transfers
            ],
        },
        "artifacts": [
            {
                "key": asset.key,
                "path": _from_here(artifacts / asset.key) if artifacts else None,
                "content_type": asset.content_type,
                "size_bytes": asset.size_bytes,
                "sha256": asset.sha256,
                "width": asset.width,
                "height": asset.height,
                "duration_s": asset.duration_s,
            }
            for asset in record.assets
        ],
        "deviations": [asdict(deviation) for deviation in record.deviations],
        "webhooks": [
            {
                "delivery_id": delivery.delivery_id,
                "event": delivery.event,
                "url": delivery.url,
                "state": delivery.state,
                "created_at": delivery.created_at,
                "ended_at": delivery.ended_at,
                "attempts": [asdict(attempt) for attempt in delivery.attempts],
            }
            for delivery in timeline.deliveries
        ],
    }


@dataclass(frozen=True)
class Line:
    at: datetime
    what: str
    detail: str


def lines(story: Document) -> list[Line]:
    """What happened, in the order in which it did."""
    generation = story["generation"]
    told: list[Line] = []
    for transfer in story["credits"]["transfers"]:
        told.append(Line(transfer["at"], "credits", _transfer(transfer)))
    for attempt in story["attempts"]:
        told += _attempt(attempt)
    for webhook in story["webhooks"]:
        told.append(Line(webhook["ended_at"] or webhook["created_at"], "webhook", _webhook(webhook)))
    if generation["completed_at"]:
        for artifact in story["artifacts"]:
            told.append(Line(generation["completed_at"], "artifact", _artifact(artifact)))
    return sorted(told, key=lambda line: line.at)


def print_timeline(console: Console, story: Document, *, title: str | None = None, decided: bool = True) -> None:
    """`decided`: also what became of each field and provider when it was planned."""
    generation = story["generation"]
    status = generation["status"]
    by = f" by {generation['provider_used']}" if generation["provider_used"] else ""
    took = f" in {generation['latency_ms'] / 1000:.1f} s" if generation["latency_ms"] is not None else ""
    heading = f"{title}: " if title else ""
    console.print(
        f"[bold]{escape(heading)}{generation['model']}[/] [{_COLOURS.get(status, 'cyan')}]{status}[/]{by}{took}"
    )
    replay = f", replay of {generation['replay_of']}" if generation["replay_of"] else ""
    console.print(f"  generation {generation['generation_id']}{replay}")
    for text in decision_lines(story["decision"]) if decided else ():
        console.print(f"  {escape(text)}")
    for line in lines(story):
        seconds = (line.at - generation["created_at"]).total_seconds()
        console.print(f"  {max(seconds, 0):7.2f} s  {line.what:<9} {escape(line.detail)}")
    for text in deviation_lines(story["deviations"]):
        console.print(f"  {escape(text)}")
    if generation["error_code"]:
        console.print(f"  why: {escape(generation['error_message'] or '')} ({generation['error_code']})")
    before, after = (story["credits"][f"available_{when}_microcredits"] for when in ("before", "after"))
    if before is not None and after is not None:
        charged = credits(story["credits"]["settled_microcredits"] or 0)
        console.print(f"  credits {credits(before)} before, {credits(after)} after; charged {charged}")


def _transfer(transfer: Document) -> str:
    before, after = transfer["available_before_microcredits"], transfer["available_after_microcredits"]
    moved = f", available {credits(before)} -> {credits(after)}" if before is not None else ""
    return f"{transfer['operation']} {credits(transfer['amount_microcredits'])}{moved}"


def _attempt(attempt: Document) -> list[Line]:
    name = f"attempt {attempt['number']}"
    who = f"{attempt['provider']} ({attempt['native_model']})"
    told = [Line(attempt["begun_at"], name, f"submitting to {who}")]
    if attempt["accepted_at"]:
        found = "found again" if attempt["adopted"] else "accepted"
        told.append(Line(attempt["accepted_at"], name, f"{found} as job {attempt['job_id']}"))
    ended_at = attempt["ended_at"]
    if ended_at:
        detail = f"{attempt['state']} after {attempt['latency_ms']} ms, cost {credits(attempt['cost_microcredits'])}"
        failure = attempt["failure"]
        told.append(Line(ended_at, name, f"{detail}: {_failure(failure)}" if failure else detail))
    elif attempt["failure"]:
        told.append(Line(attempt["begun_at"], name, f"{attempt['state']}: {_failure(attempt['failure'])}"))
    return told


def _failure(failure: Document) -> str:
    return f"{failure['message']} ({failure['code']}, {failure['type']})"


def _artifact(artifact: Document) -> str:
    size = f"{artifact['width']}x{artifact['height']}" if artifact["width"] else ""
    length = f" {artifact['duration_s']:.1f} s" if artifact["duration_s"] else ""
    return (
        f"{artifact['path'] or artifact['key']}  {artifact['content_type']} {size}{length} "
        f"{artifact['size_bytes']} bytes  sha256 {artifact['sha256']}"
    )


def _webhook(webhook: Document) -> str:
    attempts = webhook["attempts"] or []
    answered = f", HTTP {attempts[-1]['status_code']}" if attempts and attempts[-1]["status_code"] else ""
    tries = f" at attempt {len(attempts)}" if len(attempts) > 1 else ""
    received = {True: "; received, signature verified", False: "; not received", None: ""}[webhook.get("verified")]
    return f"{webhook['event']} {webhook['state']}{answered}{tries}{received}"


def _from_here(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _milliseconds(begin: datetime | None, end: datetime | None) -> int | None:
    return None if begin is None or end is None else round((end - begin).total_seconds() * 1000)


def _first(timeline: Timeline, name: str) -> int | None:
    values = [getattr(transfer, name) for transfer in timeline.transfers]
    return next((value for value in values if value is not None), None)


def _last(timeline: Timeline, name: str) -> int | None:
    values = [getattr(transfer, name) for transfer in reversed(timeline.transfers)]
    return next((value for value in values if value is not None), None)
