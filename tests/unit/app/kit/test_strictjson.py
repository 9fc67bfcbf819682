import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kit import strictjson
from app.kit.problems import InvalidJson


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        (b'{"a": NaN}', "/a", "not_a_number"),
        (b'{"a": [1, -Infinity]}', "/a/1", "not_a_number"),
        (b'{"a": 1e999}', "/a", "number_too_large"),
        (b'{"a": ' + b"9" * 30 + b"}", "/a", "integer_too_large"),
        (b'{"a": -' + b"9" * 5000 + b"}", "/a", "integer_too_large"),
        (b'{"a": 9223372036854775808}', "/a", "integer_too_large"),
        (rb'{"a": "\ud800"}', "/a", "lone_surrogate"),
        (rb'{"\udc00": 1}', "/\udc00", "lone_surrogate"),
        (rb'{"a": "x\u0000"}', "/a", "nul_character"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "/b/c", "duplicate_key"),
        (b'{"a/b~": NaN}', "/a~1b~0", "not_a_number"),
        (b"\xef\xbb\xbf{}", "", "byte_order_mark"),
        (b'{"a": "\xff"}', "", "not_utf8"),
        ('{"a": 1}'.encode("utf-16"), "", "not_utf8"),
        (b'{"a": 1', "", "syntax"),
        (b"{'a': 1}", "", "syntax"),
        (b"{} {}", "", "syntax"),
        (b"[" * 100_000, "", "too_deep"),
        (b"[" * 65 + b"]" * 65, "/0/0/0/0", "too_deep"),
        (b"[" + b"0," * 20_000 + b"0]", "", "too_many_values"),
        (b"[" + b"NaN," * 20_000 + b"0]", "", "too_many_values"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "/a/a/a/a", "too_deep"),
    ],
)
def test_what_is_not_strict_json_is_refused_with_its_place(body, pointer, code):
    with pytest.raises(InvalidJson) as caught:
        strictjson.loads(body)
    assert [(fault.pointer, fault.code) for fault in caught.value.errors] == [(pointer, code)]


def test_all_faults_are_found_at_once():
    with pytest.raises(InvalidJson) as caught:
        strictjson.loads(rb'{"a": NaN, "b": [1e999, "\ud800"], "c": 1, "c": 2}')
    assert {fault.pointer for fault in caught.value.errors} == {"/a", "/b/0", "/b/1", "/c"}


def test_the_deepest_allowed_nesting_and_the_largest_integers_are_taken():
    assert strictjson.loads(b"[" * 64 + b"]" * 64)
    assert strictjson.loads(b"[9223372036854775807, -9223372036854775807]") == [2**63 - 1, 1 - 2**63]


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63) + 1, 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), inner
            )
        ),
        max_leaves=20,
    )
)
def test_strict_json_reads_as_any_json(value):
    assert strictjson.loads(json.dumps(value, ensure_ascii=False).encode()) == value


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_invalid_json(body):
    try:
        strictjson.loads(body)
    except InvalidJson as error:
        assert error.errors  # noqa: PT017 - either outcome is right; a refusal names a fault
