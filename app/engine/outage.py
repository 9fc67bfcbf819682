"""Logs a repeated failure once, and its end once."""

from __future__ import annotations

import logging

from app.db.session import is_transient, reason


class Outage:
    """Remembers whether a repeated action fails at present.

    Args:
        log: of the module that repeats the action.
        what: the action, such as "looking for work".
    """

    def __init__(self, log: logging.Logger, what: str) -> None:
        self._log = log
        self._what = what
        self._lasts = False

    def failed(self, error: Exception) -> None:
        """Log a failure, unless the last try failed too; with a traceback unless something is merely away."""
        if not self._lasts:
            is_known = is_transient(error) or isinstance(error, OSError)
            traceback = None if is_known or type(error).__module__.startswith(("redis", "kombu")) else error
            message = "%s failed (%s); it is tried again"
            self._log.warning(message, self._what, reason(error), exc_info=traceback)
        self._lasts = True

    def worked(self) -> None:
        """Log that the action works again, if the last try failed."""
        if self._lasts:
            self._log.info("%s works again", self._what)
        self._lasts = False
