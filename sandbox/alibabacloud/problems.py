"""The simulated Alibaba Cloud's error bodies: a code, a message, a request id."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from starlette.responses import JSONResponse, Response

from sandbox.faults import FaultPlan
from sandbox.problems import refuse_by_fault
from sandbox.validation import Violation

Failure = Mapping[str, str]  # {code, message}


def problem(status: int, code: str, message: str) -> Response:
    return JSONResponse(_body(code, message), status)


def _body(code: str, message: str) -> dict[str, str]:
    return {"code": code, "message": message, "request_id": str(uuid.uuid4())}


def unauthenticated(given: str | None) -> Response:
    return problem(401, "InvalidApiKey", f"{'No' if given is None else 'Invalid'} API-key provided.")


def wrong_header(kind: str) -> Response:
    """`kind`: synchronous or asynchronous."""
    return problem(403, "AccessDenied", f"current user api does not support {kind} calls.")


def refuse_submit(plan: FaultPlan) -> None:
    """Raises what a submit fault demands."""
    standing = "Access denied, please make sure your account is in good standing."
    absent = "The model does not exist or you do not have access to it."
    rate = "Requests rate limit exceeded, please try again later."
    internal = "An internal error has occured, please try again later or contact service support."
    refuse_by_fault(
        plan,
        {
            "submit_401": (401, _body("InvalidApiKey", "Invalid API-key provided.")),
            "submit_402": (400, _body("Arrearage", standing)),
            "submit_404": (404, _body("ModelNotFound", absent)),
            "submit_422": (400, _body("InvalidParameter", "Required parameter(s) missing or invalid.")),
            "submit_429": (429, _body("Throttling.RateQuota", rate)),
            "submit_500": (500, _body("InternalError", internal)),
            "submit_503": (503, _body("ModelUnavailable", "Model is unavailable, please try again later.")),
        },
    )


_TIMEOUT = "An internal timeout error has occured during execution, please try again later or contact service support."
_INSPECTION = "Input data may contain inappropriate content."

FAILURES: Mapping[str, Failure] = {
    "job_failed": {"code": "Unexplained", "message": "The task failed."},
    "job_failed_e6716": {"code": "InternalError.Timeout", "message": _TIMEOUT},
    "job_failed_e1000": {"code": "InternalError", "message": "An internal error has occured."},
    "job_failed_e1001": {"code": "InternalError.Algo", "message": "An internal error has occured: out of memory."},
    "job_failed_oom": {"code": "InternalError.Algo", "message": "CUDA out of memory."},
    "job_failed_interrupted": {
        "code": "SystemError",
        "message": "An system error has occured, please try again later.",
    },
    "job_failed_timeout": {"code": "InternalError.Timeout", "message": _TIMEOUT},
    "job_failed_downstream": {"code": "ModelServiceFailed", "message": "Failed to request model service."},
    "job_invalid": {"code": "InvalidParameter", "message": "The input does not suit the model."},
    "content_refused": {"code": "DataInspectionFailed", "message": _INSPECTION},
    "content_refused_nsfw": {"code": "IPInfringementSuspect", "message": "Input data is suspected of IP infringement."},
}

_STATUS = {"DataInspectionFailed": 400, "IPInfringementSuspect": 400, "InvalidParameter": 400}


def failed_call(failure: Failure) -> Response:
    """A failure as the synchronous call tells it."""
    code = "RequestTimeOut" if failure["code"] == "InternalError.Timeout" else failure["code"]
    return problem(_STATUS.get(code, 500), code, failure["message"])


def failure_of(found: Violation) -> Failure:
    return {"code": "InvalidParameter", "message": _sentence(found)}


def _sentence(found: Violation) -> str:
    path, name = ".".join(map(str, found.path)), str(found.path[-1])
    if name in _ONLY and found.limit in {(5,), 1}:
        return _ONLY[name]
    limit = ",".join(map(str, found.limit)) if isinstance(found.limit, tuple) else found.limit
    sentence = _SENTENCES.get(found.rule, "{name} is out of range: {rule} {limit}")
    return sentence.format(path=path, name=name, rule=found.rule, limit=limit)


_ONLY = {"duration": "duration customization is not supported", "n": "num_images_per_prompt must be 1."}
_SENTENCES = {
    "missing": "Field required: {path}",
    "unknown": "Extra inputs are not permitted: {path}",
    "type": "Input should be a valid {limit}: {path}",
    "choice": "{name} must be in {limit}",
    "value": "{limit}",
}
