"""No project sees another's: every route and every list, as the OpenAPI document and the pages have them.

A new route is covered by itself. One whose path or query names a new kind of thing fails here until
`Lab.things` says what that is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from app.db.session import Database
from app.db.tables import Artifact, Baseline, Cell, Job
from app.engine.states import JobState, lock, move, record
from app.pages.access import router as access_router
from app.pages.endpoints import router as pages_router
from app.pages.sign_in import router as sign_in_router
from tests.contract.conftest import running
from tests.unit.app.keys.conftest import bearer, new_key
from tests.unit.app.networks import dataset_arrays, mlp_bytes, npz

RAW = {"Content-Type": "application/octet-stream"}
METHODS = ("get", "post", "patch", "put", "delete")


@dataclass
class Lab:
    """A project with one thing of each kind.

    Attributes:
        http: a client with the project's key.
        things: ids by the name of the parameter that takes them.
    """

    http: httpx.Client
    things: dict[str, str] = field(default_factory=dict)

    def ids(self) -> list[str]:
        """Return the ids of all things."""
        return [value for value in self.things.values() if len(value) == 36]

    def fill(self, database: Database) -> None:
        """Make one thing of each kind, as a client and a worker would."""
        post = self.http.post
        model = post("/v1/models", content=mlp_bytes(), headers=RAW).json()["id"]
        dataset = post("/v1/datasets", content=npz(**dataset_arrays()), headers=RAW).json()["id"]
        config = post("/v1/rpu-configs", json={"name": "quiet", "config": {}}).json()["id"]
        webhook = post("/v1/webhooks", json={"url": "https://example.org/hook"}).json()["id"]
        answer = post("/v1/jobs", json=job(model, dataset))
        assert answer.status_code == 202, answer.text
        job_id = answer.json()["id"]
        with database.transaction() as session:
            row = lock(session, job_id)
            assert isinstance(row, Job)
            move(session, row, JobState.RUNNING)
            record(session, row, "item.started", {"item": "evaluate:direct:0"})
            session.add(
                Cell(
                    job_id=job_id, variant="direct", repeat=0, t_inference=1.0,
                    counts={"correct": 9, "total": 10, "loss_sum": 1.0}, metric=0.9, loss=0.1,
                )
            )  # fmt: skip
            counts = {"correct": 10, "total": 10, "loss_sum": 1.0}
            session.add(Baseline(job_id=job_id, variant="digital", counts=counts, metric=1.0, loss=0.1))
            session.add(
                Artifact(
                    job_id=job_id, name="provenance.json", media_type="application/json", size_bytes=2,
                    sha256="0" * 64, blob_key="models/none",
                )
            )  # fmt: skip
            move(session, row, JobState.SUCCEEDED)
        [*_, delivery] = self.http.get(f"/v1/webhooks/{webhook}/deliveries").json()["items"]
        self.things = {
            "model_id": model, "dataset_id": dataset, "config_id": config, "webhook_id": webhook, "delivery_id": delivery["id"],
            "job_id": job_id, "name": "provenance.json", "analysis_type": "error_budget", "tag_id": "ours",
        }  # fmt: skip


def job(model: str, dataset: str, **changes: Any) -> dict[str, Any]:
    evaluate = {"t_inference": [1], "repeats": 1, "variants": ["digital", "direct"]}
    asked = {"analyses": [{"type": "error_budget"}], "tags": ["ours"], "evaluate": evaluate}
    return {"model": model, "dataset": dataset, "rpu_config": {}, **asked, **changes}


@pytest.fixture
def labs(settings) -> Iterator[tuple[Lab, Lab, dict[str, Any]]]:
    """Two projects behind one server, only the first of which has anything; and the API's document."""
    database = Database(settings.resolved_database_url)
    keys = [new_key(database, "read", "submit", project=name) for name in ("ours", "theirs")]
    with running(settings) as server:
        clients = [httpx.Client(base_url=server.url, headers=bearer(key), timeout=30) for key in keys]
        ours, theirs = Lab(clients[0]), Lab(clients[1])
        ours.fill(database)
        yield ours, theirs, clients[0].get("/openapi.json").json()
        for client in clients:
            client.close()
    database.dispose()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield method, path, item[method]


def scope_of(operation: dict[str, Any]) -> str | None:
    return next((scope for one in operation["security"] for scope in one["key"]), None)


def required_query(operation: dict[str, Any], lab: Lab) -> dict[str, Any]:
    """Return what the query has to have: things of the lab, of ids two."""
    found: dict[str, Any] = {}
    for one in operation.get("parameters", ()):
        if one["in"] == "query" and one.get("required"):
            thing = lab.things[f"{one['name']}_id"]
            another = thing[:-1] + ("0" if thing[-1] != "0" else "1")
            found[one["name"]] = [thing, another] if len(thing) == 36 else thing
    return found


def content(operation: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """Return a valid body of the operation: its example."""
    if "requestBody" not in operation:
        return {}
    offered = operation["requestBody"]["content"]
    body = offered.get("application/json")
    if body is None:
        return {"content": b"x", "headers": RAW}
    if body.get("examples"):
        return {"json": next(iter(body["examples"].values()))["value"]}
    schema = document["components"]["schemas"][body["schema"]["$ref"].rpartition("/")[2]]
    return {"json": schema["examples"][0]}


def test_every_path_of_another_projects_thing_is_not_found(labs):
    ours, theirs, document = labs
    asked = 0
    for method, path, operation in operations(document):
        if "{" not in path or scope_of(operation) == "admin":
            continue
        where = path.format(**ours.things)  # KeyError: a new kind of thing
        query = required_query(operation, ours)
        answer = theirs.http.request(method, where, params=query, **content(operation, document))
        assert answer.status_code == 404, (method, path, answer.status_code, answer.text)
        stream = theirs.http.request(
            method, where, params=query, headers={"Accept": "text/event-stream, */*"}
        )
        assert stream.status_code in (404, 415, 422), (method, path, stream.status_code)
        if method == "get":  # those whose file or description is not there say so in other words
            mine = ours.http.get(where, params=query)
            assert (
                mine.status_code == 200
                or mine.json()["code"] != "not_found"
                or "layers" in path
                or ("artifacts/" in path)
            ), (path, mine.text)
        asked += 1
    assert asked >= 25
    for lab_path in ("/v1/jobs/{job_id}", "/v1/models/{model_id}", "/v1/webhooks/{webhook_id}"):
        assert ours.http.get(lab_path.format(**ours.things)).status_code == 200  # nothing was changed


def test_no_list_and_no_search_has_another_projects_things(labs):
    ours, theirs, document = labs
    seen: set[str] = set()
    asked = 0
    for method, path, operation in operations(document):
        if method != "get" or "{" in path or scope_of(operation) == "admin":
            continue
        query = required_query(operation, ours)
        named = {f"{one['name']}_id": one["name"] for one in operation.get("parameters", ())}
        queries = [
            query,
            *({**query, named[key]: value} for key, value in ours.things.items() if key in named),
        ]
        for one in queries:
            text = theirs.http.get(path, params=one).text
            told = [
                value
                for values in one.values()
                for value in ([values] if isinstance(values, str) else values)
            ]
            leaked = [id_ for id_ in ours.ids() if id_ in text and id_ not in told]
            assert not leaked, (path, one, text)
            seen.update(id_ for id_ in ours.ids() if id_ in ours.http.get(path, params=one).text)
        asked += 1
    assert asked >= 10
    assert seen >= {
        ours.things[name] for name in ("model_id", "dataset_id", "config_id", "webhook_id", "job_id")
    }


def test_no_page_shows_another_projects_things(labs):
    ours, theirs, _ = labs
    routes = [*pages_router.routes, *(one for one in access_router.routes if one.path == "/access")]
    pages = [route for route in routes if isinstance(route, APIRoute)]
    assert len(pages) >= 10
    assert len(sign_in_router.routes) == 2 + 1
    for route in pages:
        where = re.sub(r"{(\w+)(:\w+)?}", lambda found: ours.things[found[1]], route.path)
        queries = ["", *(f"?{key.removesuffix('_id')}={value}" for key, value in ours.things.items())]
        queries += [f"?from={ours.things['job_id']}", f"?show={ours.things['config_id']}"]
        queries += [f"?job={ours.things['job_id']}&job={ours.things['job_id']}", "?q=quiet"]
        for query in queries:
            answer = theirs.http.get(where + query, headers={"Accept": "text/html"})
            if "{" in route.path:
                assert answer.status_code in ((404, 422) if query else (404,)), where + query
            text = answer.text.replace(query, "").replace(where, "")
            told = {value for value in ours.ids() if value in query or value in where}
            leaked = [id_ for id_ in ours.ids() if id_ in text and id_ not in told]
            assert not leaked, (where + query, leaked)


@pytest.mark.parametrize("field_name", ["model", "dataset", "rpu_config"])
def test_a_job_on_another_projects_thing_is_refused_as_one_on_an_unknown_thing(labs, field_name):
    ours, theirs, _ = labs
    mine = Lab(theirs.http)
    model = mine.http.post("/v1/models", content=mlp_bytes(1), headers=RAW).json()["id"]
    dataset = mine.http.post("/v1/datasets", content=npz(**dataset_arrays(seed=1)), headers=RAW).json()["id"]
    unknown = ours.things["job_id"]  # an id, but of no model, dataset or configuration

    def refusal(thing: str) -> dict[str, Any]:
        value = {"stored": thing} if field_name == "rpu_config" else thing
        answer = mine.http.post("/v1/jobs", json={**job(model, dataset), field_name: value})
        assert answer.status_code in (404, 422)
        return json.loads(answer.text.replace(thing, "ID").replace(answer.headers["x-request-id"], ""))

    name = {"rpu_config": "config_id"}.get(field_name, f"{field_name}_id")
    assert refusal(ours.things[name]) == refusal(unknown)


def test_results_of_another_project_are_not_taken_over(labs):
    ours, theirs, _ = labs
    http = theirs.http
    model = http.post("/v1/models", content=mlp_bytes(), headers=RAW)
    dataset = http.post("/v1/datasets", content=npz(**dataset_arrays()), headers=RAW)
    assert (model.status_code, dataset.status_code) == (201, 201)  # known bytes, but not to this project
    same = http.post("/v1/jobs", json=job(model.json()["id"], dataset.json()["id"])).json()
    assert (same["cached_from"], same["progress"]["done"]) == ([], 0)
    again = ours.http.post("/v1/jobs", json=job(ours.things["model_id"], ours.things["dataset_id"])).json()
    assert again["cached_from"] == [ours.things["job_id"]]


def test_equal_idempotency_keys_of_two_projects_are_two(labs):
    ours, theirs, _ = labs
    key = {"Idempotency-Key": "same"}
    body = {"name": "once", "config": {}}
    made = [lab.http.post("/v1/rpu-configs", json=body, headers=key) for lab in (ours, theirs, ours)]
    assert [one.status_code for one in made] == [201] * 3
    ids = [one.json()["id"] for one in made]
    assert ids[0] == ids[2] != ids[1]
    assert [one.headers.get("Idempotency-Replayed") for one in made] == [None, None, "true"]


def test_a_webhook_hears_of_its_projects_jobs_alone(labs, settings):
    ours, theirs, _ = labs
    hook = theirs.http.post("/v1/webhooks", json={"url": "https://example.org/theirs"}).json()["id"]
    heard = ours.http.get(f"/v1/webhooks/{ours.things['webhook_id']}/deliveries").json()["items"]
    assert {one["job"] for one in heard} == {ours.things["job_id"]}
    ours.http.post("/v1/jobs", json=job(ours.things["model_id"], ours.things["dataset_id"], seed=9))
    assert theirs.http.get(f"/v1/webhooks/{hook}/deliveries").json()["items"] == []


def test_each_operation_wants_the_scope_that_the_document_says(labs, settings):
    ours, _, document = labs
    database = Database(settings.resolved_database_url)
    keys = {scope: bearer(new_key(database, scope)) for scope in ("read", "submit", "admin")}
    database.dispose()
    url = str(ours.http.base_url)
    with httpx.Client(base_url=url, timeout=30) as http:
        for method, path, operation in operations(document):
            wanted = scope_of(operation)
            where = re.sub(r"{\w+}", ours.things["job_id"], path)
            stranger = http.request(method, where)
            assert (stranger.status_code == 401) == (wanted is not None), (method, path)
            for scope, key in keys.items():
                answer = http.request(method, where, headers=key)
                refused = wanted is not None and scope not in (wanted, "admin")
                assert (answer.status_code == 403) == refused, (method, path, scope)
            if wanted is not None:
                assert {"401", "403"} <= set(operation["responses"])
            assert (
                wanted in (("read", "admin") if method == "get" else ("read", "submit", "admin"))
                or not wanted
            )
