"""What fails again and again is said once, and once more when it works again."""

from __future__ import annotations

import logging

from app.db.session import is_transient, reason


class Outage:
    """Remembers whether something that is tried again and again fails at present.

    Args:
        log: of the module that tries.
        what: names it, as in "looking for work".
    """

    def __init__(self, log: logging.Logger, what: str) -> None:
        self._log = log
        self._what = what
        self._lasts = False

    def failed(self, error: Exception) -> None:
        """Say so, unless it failed the last time; with a traceback unless something is merely away."""
        if not self._lasts:
            is_known = is_transient(error) or isinstance(error, OSError)
            traceback = None if is_known or type(error).__module__.startswith(("redis", "kombu")) else error
            told = "%s failed (%s); it is tried again"
            self._log.warning(told, self._what, reason(error), exc_info=traceback)
        self._lasts = True

    def worked(self) -> None:
        """Say that it works again, if it failed the last time."""
        if self._lasts:
            self._log.info("%s works again", self._what)
        self._lasts = False
