"""The error classes of the project, rooted in :class:`RasExtError`.

They live on the lowest floor so that the registry can raise them without the runtime.
"""

from __future__ import annotations


class RasExtError(Exception):
    """Root of every error that ras_ext raises on purpose; its message says what to do.

    As text it is one printable line: a name out of a foreign file can hold line ends and terminal commands.
    """

    def __str__(self) -> str:
        text = str(self.args[0]) if len(self.args) == 1 else super().__str__()
        return _printable(text)


class PackError(RasExtError):
    """A pack is damaged, incomplete or unsafe to read."""


class PackMismatchError(PackError):
    """A pack was made for another model than the one it is used with; ``fields`` names where they differ."""

    def __init__(self, message: str, fields: tuple[str, ...] = ()) -> None:
        super().__init__(message, fields)
        self.fields = fields

    def __str__(self) -> str:
        return _printable(str(self.args[0]))


class PackNotFoundError(PackError):
    """No pack stands under the given name, folder or revision."""


class RegistryError(PackError):
    """The Hub or a folder registry refused, failed, or could not be reached. What it holds is as it was."""


class SignatureError(PackError):
    """A pack is not signed by a key that is accepted for it."""


class MissingExtraError(RasExtError):
    """An optional package is needed; the message names the extra that brings it."""


def in_one_line(error: BaseException) -> str:
    """All that an error says, on one line; the name of its class if it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def first_line(error: BaseException) -> str:
    """The first line of an error that says something; the name of its class if none does."""
    lines = (" ".join(line.split()) for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)
