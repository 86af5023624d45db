import pytest

from domain.signature import sign_webhook, verify_webhook

SECRET = "whsec_t3stVect0rT3stVect0rT3stVect0r"
AT = 1_767_225_600
BODY = (
    b'{"webhook_event":"webhook.test","webhook_timestamp":"2026-01-01T00:00:00.000Z",'
    b'"webhook_delivery_id":"5f0c1b9e-3a52-4a5e-9c0d-2b7f6a1d8e34","webhook_data":'
    b'{"account_id":"7b0c2f4e-8d1a-4c3b-9e5f-6a7d8c9b0e1f","model_identifier":"bfl/flux-schnell",'
    b'"generation_status":"succeeded","generation_id":"00000000-0000-0000-0000-000000000000"}}'
)
HEADER = "t=1767225600,v1=f6ffa484322ea6e18d01f7b02acfc9609b7b7aacf2ca600d69308c996e6b972d"


def test_the_published_test_vector_is_reproduced():
    assert sign_webhook(SECRET, BODY, AT) == HEADER


@pytest.mark.parametrize("now", [AT, AT + 300, AT - 300])
def test_a_signature_within_the_tolerance_verifies(now):
    assert verify_webhook(SECRET, HEADER, BODY, now)


@pytest.mark.parametrize("now", [AT + 301, AT - 301])
def test_a_signature_outside_the_tolerance_does_not_verify(now):
    assert not verify_webhook(SECRET, HEADER, BODY, now)


def test_the_tolerance_can_be_narrowed():
    assert not verify_webhook(SECRET, HEADER, BODY, AT + 11, tolerance_s=10)


def test_one_matching_signature_of_several_is_enough():
    header = f"t={AT},v1={'0' * 64},{HEADER.split(',')[1]}"

    assert verify_webhook(SECRET, header, BODY, AT)


@pytest.mark.parametrize(
    ("secret", "header", "body"),
    [
        pytest.param(SECRET, HEADER, BODY + b"\n", id="a byte more in the body"),
        pytest.param(SECRET, HEADER, b"", id="an empty body"),
        pytest.param(SECRET.removeprefix("whsec_"), HEADER, BODY, id="the prefix is part of the key"),
        pytest.param(SECRET, HEADER.replace("f6ff", "f6fe"), BODY, id="a digit changed"),
        pytest.param(SECRET, HEADER.replace("600,", "601,"), BODY, id="the time refreshed"),
        pytest.param(SECRET, HEADER.replace("v1=", "v2="), BODY, id="an unknown version"),
        pytest.param(SECRET, f"t={AT},{HEADER}", BODY, id="two times"),
        pytest.param(SECRET, HEADER.split(",")[1], BODY, id="no time"),
        pytest.param(SECRET, f"t={AT}", BODY, id="no signature"),
        pytest.param(SECRET, HEADER.replace("t=", "t=+"), BODY, id="a signed time"),
        pytest.param(SECRET, HEADER.replace("t=1", "t=\u0661"), BODY, id="a time in other digits"),
        pytest.param(SECRET, f"t={AT},v1=\udc80é", BODY, id="text that is not ASCII"),
        pytest.param(SECRET, "", BODY, id="an empty header"),
    ],
)
def test_anything_else_does_not_verify(secret, header, body):
    assert not verify_webhook(secret, header, body, AT)
