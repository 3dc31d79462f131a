"""How the Hub's client is called here: transient faults tried again, and its many errors told in one sentence.

Everything that reaches the Hub goes through :func:`asked`.
"""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from .errors import PackNotFoundError, RasExtError, RegistryError, first_line

T = TypeVar("T")
TRIES = 4
LONGEST_WAIT = 30.0  # seconds; a Hub that asks for more patience is told to the user instead
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)


def client(token: str | bool | None = None) -> Any:
    """The Hub's client, which reads HF_ENDPOINT and HF_TOKEN itself. Raises RegistryError in offline mode."""
    from huggingface_hub import HfApi

    return HfApi(token=token, library_name="ras_ext")


def asked(what: str, call: Callable[[], T], *, missing: str = "", advice: str = "", tries: int = TRIES) -> T:
    """The result of ``call``, tried up to ``tries`` times while the Hub stumbles.

    ``what`` names the thing asked for ("the pack owner/name"); ``missing`` and ``advice`` end the sentence where there
    is no such thing. Raises PackNotFoundError (no such repository or revision) or RegistryError (everything else).
    """
    for tried in range(tries):
        try:
            return call()
        except RasExtError:
            raise
        except Exception as error:
            # The client lets the errors of its HTTP library through, whose package changed between its versions.
            wait = _patience(error, tried)
            if tried == tries - 1 or wait is None:
                raise told(error, what, missing, advice) from error
            time.sleep(wait)
    raise AssertionError("unreachable")


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error of the client carries, if any."""
    return getattr(getattr(error, "response", None), "status_code", None)


def told(error: Exception, what: str, missing: str = "", advice: str = "") -> RegistryError | PackNotFoundError:
    """One sentence, and the class it belongs to, for an error of the client."""
    from huggingface_hub import errors

    end = f"; {advice}" if advice else ""
    said = first_line(error)[:300]
    status = status_of(error)
    if isinstance(error, errors.HFValidationError):
        return RegistryError(f"{what} cannot be a name on the Hub ({said}); write owner/name")
    if isinstance(error, errors.RevisionNotFoundError):
        return PackNotFoundError(f"{what} is not there: the repository has no such revision{end}")
    if isinstance(error, errors.GatedRepoError):
        return RegistryError(f"{what} is gated; ask for access on its page and give a token (HF_TOKEN){end}")
    if isinstance(error, (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled)):
        # A snapshot that could not be completed hides why in its cause.
        cause = error.__cause__
        if isinstance(cause, Exception) and not isinstance(cause, type(error)) and not _is_unreachable(cause):
            return told(cause, what, missing, advice)
        return RegistryError(f"{what} is not on this machine and the Hub could not be reached{end}")
    if isinstance(error, errors.RepositoryNotFoundError):
        # To somebody who is not logged in the Hub says the same of a private repository and of none.
        return PackNotFoundError(
            f"{what} is not on the Hub ({missing or 'or private, and the token may not see it'}){end}"
        )
    if status == 401:
        return RegistryError(f"{what}: the token is missing or not valid; set HF_TOKEN, or run `hf auth login`")
    if status == 403:
        return RegistryError(f"{what} was refused: the token may not do that ({said}); use one that may write there")
    if status == 429:
        return RegistryError(f"{what}: the Hub asks for fewer requests (429); wait a while, then run this again")
    if status == 412:
        return RegistryError(
            f"{what} was changed by somebody else in the meantime; look at its history, then push again"
        )
    if status is not None:
        return RegistryError(f"{what}: the Hub answered {status} ({said}); try again later{end}")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return RegistryError(f"{what} does not fit on the disk ({said}); make room, then run this again")
    if _is_unreachable(error):
        return RegistryError(f"{what}: the Hub could not be reached ({said}); check the network and HF_ENDPOINT{end}")
    return RegistryError(f"{what} could not be had ({said}); run this again to go on where it stopped{end}")


def _is_unreachable(error: BaseException) -> bool:
    """True if the Hub gave no answer at all: no network, no such host, nobody listening, offline mode."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"ConnectError", "ConnectTimeout", "ProxyError", "OfflineModeIsEnabled", "ConnectionError"})


def _patience(error: Exception, tried: int) -> float | None:
    """Seconds to wait before the next try, or None if trying again cannot help."""
    status = status_of(error)
    backoff = 0.3 * 2**tried * (1.0 + random.random())
    if status is not None:
        if status not in _TRANSIENT:
            return None
        headers = getattr(getattr(error, "response", None), "headers", {})
        try:
            asked_for = float(headers.get("Retry-After", ""))
        except ValueError:
            asked_for = backoff
        return max(asked_for, 0.0) if asked_for <= LONGEST_WAIT else None
    if _is_unreachable(error) or isinstance(error, FileNotFoundError):
        return None
    if isinstance(error, OSError) and error.errno is not None:
        return None  # of this machine, not of the network
    module = type(error).__module__.partition(".")[0]
    return (
        backoff
        if module.startswith(("http", "requests", "urllib3", "huggingface_hub")) or isinstance(error, OSError)
        else None
    )
