"""A pack in a folder: written whole or not at all, read only after every byte has been checked.

config (JSON) + tensors (safetensors) + card + evidence, each file named with its sha256 in the config; the sha256
of the config file itself is the pack's digest, so one digest stands for all bytes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from . import strict_json, tensors
from .errors import PackError
from .layout import CARD_FILE, CONFIG_FILE, TENSORS_FILE, TOTAL_LIMIT, read_member, unlisted
from .paths import expanded
from .schema import load_config, validate
from .swap import check_target, fill, staged
from .tensors import RawTensor


@dataclass(frozen=True)
class Pack:
    """A pack that has passed every check.

    ``config`` is in the current schema, ``members`` holds every file as it was read, ``digest`` is the sha256 (hex) of
    the ras_config.json read.
    """

    path: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, RawTensor]
    members: Mapping[str, bytes] = field(repr=False)
    digest: str

    @property
    def files(self) -> dict[str, bytes]:
        """The card and the evidence."""
        return {name: data for name, data in self.members.items() if name not in (CONFIG_FILE, TENSORS_FILE)}

    @property
    def content_sha256(self) -> str:
        """The sha256 (hex) of what the pack does, see :func:`content_sha256`."""
        return content_sha256(self.config, {name: tensor.sha256 for name, tensor in self.tensors.items()})

    @property
    def title(self) -> str:
        """What a push is called whose maker gives it no title."""
        return f"Pack {self.config['name']}, digest {self.digest[:12]}"

    def copy_to(self, folder: Path) -> None:
        """Write the files as they were read and checked, whatever lies at ``path`` by now."""
        fill(folder, self.members)

    def at(self, path: Path) -> Pack:
        """The same pack under another path."""
        return replace(self, path=path)


@dataclass(frozen=True)
class PackReport:
    """What :func:`verify_pack` found: ``problems`` is empty exactly when the pack may be used."""

    path: Path
    problems: tuple[str, ...]
    name: str | None = None
    digest: str | None = None
    content_sha256: str | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    unlisted: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problems


def write_pack(
    folder: str | os.PathLike[str],
    config: Mapping[str, Any],
    pack_tensors: Mapping[str, RawTensor],
    extra_files: Mapping[str, bytes] | None = None,
) -> Pack:
    """Write a pack to ``folder`` and return it as read back; ``config`` comes without ``files``.

    ``extra_files`` (``evidence/…`` names) are stored with it, and two plots where a table of similarities is among
    them; a README.md among them replaces the generated card. A pack that stood there is replaced in one step. Raises
    PackError, with the folder as it was before.
    """
    from .card import card_text  # needed to write only: loading a pack is to be quick
    from .plots import with_plots

    validate(config, with_files=False)
    target = check_target(folder)
    method = config["method"]
    evidence = with_plots(extra_files or {}, alpha=float(method["alpha"]), s_base=float(method["s_base"]))
    members = {CARD_FILE: card_text(config, evidence).encode("utf-8"), **evidence}
    members[TENSORS_FILE] = tensors.encode(pack_tensors)
    complete = {**config, "files": {name: hashlib.sha256(members[name]).hexdigest() for name in sorted(members)}}
    validate(complete)
    try:
        with staged(target) as stage:
            fill(stage, {**members, CONFIG_FILE: strict_json.pretty(complete)})
            written = read_pack(stage)
    except OSError as error:
        reason = error.strerror or str(error)
        raise PackError(
            f"the pack could not be written to {target} ({reason}); make room or name another folder"
        ) from error
    return written.at(target)


def read_pack(folder: str | os.PathLike[str]) -> Pack:
    """Read and check a pack. Raises PackNotFoundError if there is none, PackError if anything about it is wrong."""
    return check_members(expanded(folder), read_members(folder))


def read_members(folder: str | os.PathLike[str]) -> dict[str, bytes]:
    """The files of a pack, its config first, within their limits and compared with nothing yet. Raises PackError."""
    path = expanded(folder)
    raw = read_member(path, CONFIG_FILE)
    members: dict[str, bytes] = {CONFIG_FILE: raw}
    total = len(raw)
    for name in load_config(raw)["files"]:
        members[name] = read_member(path, name)
        total += len(members[name])
        if total > TOTAL_LIMIT:
            raise PackError(f"the pack {path} has more than {TOTAL_LIMIT} bytes in all; leave out some evidence")
    return members


def check_members(path: Path, members: Mapping[str, bytes]) -> Pack:
    """The pack that lies in ``path`` and has been read. Raises PackError if anything about it is wrong."""
    raw = members[CONFIG_FILE]
    config = load_config(raw)
    for name, expected in config["files"].items():
        _compare(path, name, members[name], expected)
    found = tensors.decode(members[TENSORS_FILE])
    tensors.check_tensors(found, config)
    return Pack(path, config, found, members, hashlib.sha256(raw).hexdigest())


def verify_pack(folder: str | os.PathLike[str]) -> PackReport:
    """Check a pack and report instead of raising: all damaged files, not only the first, and files beside the pack."""
    try:
        path = expanded(folder)
    except PackError as error:
        return PackReport(Path(folder), (str(error),))
    try:
        pack = read_pack(path)
    except PackError as error:
        return PackReport(path, tuple(dict.fromkeys([str(error), *_file_problems(path)])))
    listed = pack.config["files"]
    return PackReport(
        path,
        (),
        name=pack.config["name"],
        digest=pack.digest,
        content_sha256=pack.content_sha256,
        sizes={name: (path / name).stat().st_size for name in [CONFIG_FILE, *listed]},
        shapes={name: tensor.shape for name, tensor in pack.tensors.items()},
        unlisted=tuple(unlisted(path, set(listed))),
    )


def content_sha256(config: Mapping[str, Any], tensor_sha256: Mapping[str, str]) -> str:
    """The sha256 (hex) of what decides the outcome: base model, method, prompts and tensors.

    Name, evidence, dates and the choice among the stored schedules are left out, so that vectors have it before they
    are saved, and keep it however often they are.
    """
    method = {key: value for key, value in config["method"].items() if key not in ("schedule", "n_tokens")}
    parts = {
        "base_model": config["base_model"],
        "method": method,
        "prompts": config["prompts"],
        "tensors": tensor_sha256,
    }
    return hashlib.sha256(strict_json.canonical(_as_floats(parts))).hexdigest()


def _compare(folder: Path, name: str, data: bytes, sha256: str) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise PackError(
            f"{name} in the pack {folder} was changed or cut short: its sha256 is {found[:12]}…, "
            f"{CONFIG_FILE} says {sha256[:12]}…; take the pack again from where it came, or save it anew"
        )


def _as_floats(value: Any) -> Any:
    # 1 and 1.0 are the same dose; every whole number of a checked config fits a double exactly.
    if isinstance(value, Mapping):
        return {key: _as_floats(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_floats(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _file_problems(folder: Path) -> list[str]:
    problems = []
    try:
        config = load_config(read_member(folder, CONFIG_FILE))
    except PackError:
        return []
    for name, expected in config["files"].items():
        try:
            _compare(folder, name, read_member(folder, name), expected)
        except PackError as error:
            problems.append(str(error))
    return problems
