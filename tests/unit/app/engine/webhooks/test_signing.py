import base64
from pathlib import Path

from app.engine.webhooks.signing import new_secret, signatures


def test_a_signature_is_that_of_standard_webhooks():
    # The example that the specification's own libraries test with.
    found = signatures(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=1614265330,
        body='{"test": 2432232314}',
    )
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_secrets_are_new_and_long_enough():
    secrets = {new_secret() for _ in range(10)}
    assert len(secrets) == 10
    for secret in secrets:
        assert secret.startswith("whsec_")
        assert 24 <= len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) <= 64


def test_the_documented_check_takes_our_messages_and_no_others():
    page = (Path(__file__).parents[5] / "docs" / "webhooks.md").read_text()
    code = page.partition("```python\n")[2].partition("```")[0]
    names = {}
    exec(code, names)  # noqa: S102 - the documentation's own example
    secret = new_secret()
    signed = signatures([secret], message_id="id", timestamp=7, body="{}")
    headers = {"webhook-id": "id", "webhook-timestamp": "7", "webhook-signature": signed}
    assert names["is_ours"](secret, headers, b"{}")
    assert not names["is_ours"](secret, headers, b"{ }")
    assert not names["is_ours"](new_secret(), headers, b"{}")
    assert not names["is_ours"](secret, {**headers, "webhook-timestamp": "8"}, b"{}")
    both = {
        **headers,
        "webhook-signature": signatures([new_secret(), secret], message_id="id", timestamp=7, body="{}"),
    }
    assert names["is_ours"](secret, both, b"{}")  # as in the day after a rotation
