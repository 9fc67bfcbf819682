"""What holds for every page."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import event

from app.db.ids import new_id
from tests.unit.app.jobs.submissions import body, database_of, submit
from tests.unit.app.pages.conftest import BROWSER, HOSTILE
from tests.unit.app.pages.markup import Page


def test_every_page_is_safe_and_needs_no_other_host(client, paths):
    for path in paths:
        answer = client.get(path, headers=BROWSER)
        assert answer.status_code == 200, path
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy, path
        assert "unsafe" not in policy, path
        page = Page(answer.text)
        assert page.inline_scripts == [], path
        for tag, attributes in page.tags:
            inline = [name for name in attributes if name == "style" or name.startswith("on")]
            assert inline == [], (path, tag)
        assert [one for one in page.addresses if re.match(r"[a-z]+:|//", one)] == [], path


def test_every_page_has_landmarks_a_language_and_one_heading(client, paths):
    for path in paths:
        page = Page(client.get(path, headers=BROWSER).text)
        for tag in ("main", "header", "footer", "h1", "title"):
            assert len(page.all(tag)) >= 1, (path, tag)
        assert len(page.all("h1")) == 1, path
        assert page.all("html", lang="en"), path
        assert page.all("a", **{"class": "skip", "href": "#main"}), path
        ids = [found["id"] for _, found in page.tags if "id" in found]
        assert len(ids) == len(set(ids)), (path, sorted(one for one in set(ids) if ids.count(one) > 1))
        for table in page.all("table"):
            assert table is not None
        assert len(page.all("caption")) == len(page.all("table")), path


def test_every_link_within_a_page_leads_somewhere(client, paths):
    for path in paths:
        page = Page(client.get(path, headers=BROWSER).text)
        ids = {found["id"] for _, found in page.tags if "id" in found}
        for target in (one["href"] for one in page.all("a") if one.get("href", "").startswith("#")):
            assert target[1:] in ids, (path, target)


def test_a_page_that_has_not_changed_is_not_sent_again(client, paths):
    for path in paths:
        headers = client.get(path, headers=BROWSER).headers
        if path == "/access":  # it may show a secret
            assert headers["cache-control"] == "no-store"
            continue
        tag = headers["etag"]
        assert client.get(path, headers={**BROWSER, "If-None-Match": tag}).status_code == 304, path


def test_what_users_call_things_is_text_and_nothing_else(client, show):
    job_id = submit(client, body(client, name=HOSTILE, tags=[HOSTILE[:60]]))
    for path in ("/", f"/jobs/{job_id}", f"/new?from={job_id}", "/compare", "/workers"):
        source = client.get(path, headers=BROWSER).text
        assert "<script>alert" not in source, path
        assert "<b>م" not in source, path
        assert HOSTILE in Page(source).text or path.startswith("/new"), path


@pytest.mark.parametrize(
    "path", ["/jobs/{}", "/models/{}", "/datasets/{}", "/new?from={}", "/configs?show={}"]
)
def test_an_unknown_id_is_a_page_that_says_so(client, path):
    for unknown in ("nothing", new_id()):
        answer = client.get(path.format(unknown), headers={"Accept": "*/*"})
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        page = Page(answer.text)
        assert "Not found" in page.text
        assert unknown in page.text


def test_the_api_answers_problems_to_browsers_too(client):
    answer = client.get("/v1/jobs/nothing", headers=BROWSER)
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_path_that_is_nothing_is_a_page_for_people_and_a_problem_for_programs(client):
    assert "Not found" in Page(client.get("/nothing", headers=BROWSER).text).text
    assert client.get("/nothing").headers["content-type"] == "application/problem+json"


def test_a_slash_at_the_end_leads_to_the_page(client, job_id):
    for path in ("/models", f"/jobs/{job_id}"):
        answer = client.get(f"{path}/", headers=BROWSER, follow_redirects=False)
        assert answer.status_code == 307
        assert client.get(f"{path}/", headers=BROWSER).url.path == path


def test_a_parameter_that_a_page_does_not_have_is_told_with_the_one_that_was_meant(show):
    assert "did you mean 'state'?" in show("/?stat=running", 422).text


def test_fields_of_a_form_that_were_left_empty_are_no_conditions(show, job_id):
    page = show("/?q=&state=&tag=&model=&dataset=&order=desc")
    assert page.all("a", href=f"./jobs/{job_id}")


def test_a_value_with_a_nul_is_a_fault(show):
    assert "NUL" in show("/?q=a%00b", 422).text


def test_the_header_says_how_the_service_is(show, client):
    assert "no worker, no job waits" in show("/").text
    submit(client, body(client))
    assert "no worker, 1 queued" in show("/models").text


def test_addresses_hold_behind_a_proxy_with_a_prefix(settings, make_client):
    with make_client(settings) as client:
        for path in ("/", "/models", "/nothing/at/all"):
            source = client.get(path, headers=BROWSER).text
            root = re.search(r'data-root="([^"]*)"', source)
            assert root is not None
            assert root[1] == ("../" * (path.count("/") - 1) or "./")


def test_the_list_of_jobs_takes_as_many_queries_for_many_jobs_as_for_few(client, job_id):
    def queries() -> int:
        counted: list[str] = []
        engine = database_of(client).engine
        listener = lambda *found: counted.append(found[2])  # noqa: E731 - it has to be removed again
        event.listen(engine, "before_cursor_execute", listener)
        assert client.get("/", headers=BROWSER).status_code == 200
        event.remove(engine, "before_cursor_execute", listener)
        return len(counted)

    few = queries()
    for _ in range(5):
        submit(client, body(client))
    assert queries() == few
    assert few <= 16
