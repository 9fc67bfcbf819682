"""The page of settings is the settings'."""

from docs.settings import PAGE, page


def test_the_page_lists_the_settings_as_they_are():
    """Renew it with `python -m docs.settings`."""
    assert page(PAGE.read_text(encoding="utf-8")) == PAGE.read_text(encoding="utf-8")
