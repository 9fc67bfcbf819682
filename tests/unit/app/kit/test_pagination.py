import pytest

from app.kit.pagination import PageQuery, cut, encode_cursor
from app.kit.problems import InvalidRequest


def test_a_cursor_gives_back_its_key():
    cursor = encode_cursor("models", ("0192", 3, 1.5))
    assert PageQuery(cursor=cursor).last_key("models", (str, int, float)) == ("0192", 3, 1.5)
    assert "=" not in cursor


def test_there_is_no_key_without_a_cursor():
    assert PageQuery().last_key("models", (str,)) is None


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "nonsense",
        "é",
        "====",
        encode_cursor("jobs", ("0192",)),
        encode_cursor("models", ()),
        encode_cursor("models", (1,)),
        encode_cursor("models", (True,)),
        encode_cursor("models", ("a", "b")),
        "W" * 999,
    ],
)
def test_a_cursor_of_another_list_or_of_nobody_is_refused(cursor):
    with pytest.raises(InvalidRequest) as caught:
        PageQuery(cursor=cursor).last_key("models", (str,))
    assert [(fault.pointer, fault.code) for fault in caught.value.errors] == [
        ("/query/cursor", "invalid_cursor")
    ]


def test_a_page_is_cut_where_more_follows():
    page = PageQuery(limit=2)
    rows, cursor = cut([9, 8, 7], page, listing="n", key=lambda row: (row,))
    assert list(rows) == [9, 8]
    assert PageQuery(cursor=cursor).last_key("n", (int,)) == (8,)
    assert cut([9, 8], page, listing="n", key=lambda row: (row,)) == ([9, 8], None)
