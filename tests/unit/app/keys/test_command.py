"""`python -m app.keys`: keys on the server, with the service down."""

from __future__ import annotations

import json

import pytest

from app.keys import __main__ as command
from app.keys.tokens import Kind, Token
from tests.unit.app.keys.conftest import bearer


@pytest.fixture
def run(settings, monkeypatch, capsys):
    """Run the command on the test's database; return the exit code, and what it wrote."""
    monkeypatch.setenv("DATABASE_URL", settings.database_url)

    def run(*arguments):
        code = command.main(arguments)
        written = capsys.readouterr()
        return code, written.out, written.err

    return run


def test_the_first_key_of_an_admin_is_made_and_works(run, client):
    code, out, err = run("add", "first", "--scope", "admin")
    assert (code, err.count("default")) == (0, 1)
    client.app.state.services.access.forget()
    found = client.get("/v1/whoami", headers=bearer(out.strip())).json()
    assert (found["name"], found["project"], found["scopes"]) == ("first", "default", ["admin"])
    assert client.get("/v1/whoami").status_code == 401


def test_keys_are_listed_without_their_secrets(run):
    _, key, _ = run("add", "one", "--project", "lab", "--scope", "read,submit", "--expires-in-days", "30")
    run("add", "two")
    code, out, _ = run("list")
    assert code == 0
    assert [line.split()[-1] for line in out.splitlines()] == ["two", "one"]
    assert key.strip() not in out
    assert key[:11] in out
    [listed] = json.loads(run("list", "--project", "lab", "--json")[1])
    assert (listed["name"], listed["scopes"]) == ("one", ["read", "submit"])
    assert listed["expires_at"] is not None


def test_a_key_is_named_by_its_prefix_to_be_rotated_and_withdrawn(run, client):
    _, first, _ = run("add", "one")
    code, second, _ = run("rotate", first[:11])
    assert (code, first != second) == (0, True)
    assert run("withdraw", second[:11])[0] == 0
    client.app.state.services.access.forget()
    for key in (first, second):
        assert client.get("/v1/jobs", headers=bearer(key.strip())).status_code == 401
    assert "withdrawn" in run("list")[1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("add", "x", "--project", "Not A Name"), "project"),
        (("add", "x", "--scope", "everything"), "scopes"),
        (("add", "x", "--expires-in-days", "-1"), "expires_at"),
        (("withdraw", "dl_00000000"), "there is no key"),
        (("rotate", "nothing"), "there is no key"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(run, arguments, told):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert told in err
    assert "Traceback" not in err
    assert json.loads(run("list", "--json")[1]) == []


def test_a_database_without_the_schema_is_said(run, monkeypatch, tmp_path):
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'empty.db'}")
    code, _, err = run("add", "x")
    assert code == 2
    assert "python -m app.db.migrate" in err


def test_tokens_have_256_random_bits_and_a_prefix():
    tokens = {Token.new(Kind.KEY).text for _ in range(100)}
    assert len(tokens) == 100
    for text in tokens:
        token = Token.read(text)
        assert token is not None
        assert (token.kind, text.startswith(token.prefix + "_")) == (Kind.KEY, True)
        assert len(text.removeprefix(token.prefix)) == 1 + 43  # of base64url: 256 bits
        assert repr(token).count(text) == 0
    assert Token.read(Token.new(Kind.SESSION).text).kind is Kind.SESSION
