"""The Hugging Face Hub as a place for packs: fetch one into the local cache, publish one as a model repository.

Everything that reaches the network stands in this file; HF_ENDPOINT, HF_HUB_OFFLINE, HF_TOKEN and HF_HOME are honoured.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from .errors import PackError, PackNotFoundError
from .layout import CARD_FILE, CONFIG_FILE, EVIDENCE_FOLDER, TENSORS_FILE, read_member
from .pack import read_pack
from .schema import load_config

PACK_PATTERNS = [CONFIG_FILE, TENSORS_FILE, CARD_FILE, f"{EVIDENCE_FOLDER}/*"]


def fetch(
    repo: str,
    revision: str | None = None,
    *,
    base_model: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
) -> Path:
    """Bring the files of a pack into the Hub cache and return their folder; only a pack's own files are asked for.

    ``base_model`` is named in the advice when there is nothing to fetch. Raises PackNotFoundError for every failure.
    """
    from huggingface_hub import errors, snapshot_download

    where = f"{repo}@{revision}" if revision else repo
    advice = f"to make a pack yourself run `ras-ext calibrate {base_model or 'MODEL'} --out DIR` and load DIR"
    cache = None if cache_dir is None else str(cache_dir)
    if revision is not None and re.fullmatch(r"[0-9a-f]{40}", revision) and not local_files_only:
        cached = _cached_commit(repo, revision, cache)
        if cached is not None:
            return cached
    try:
        folder = Path(
            snapshot_download(
                repo,
                revision=revision,
                token=token,
                cache_dir=cache,
                local_files_only=local_files_only,
                allow_patterns=PACK_PATTERNS,
                library_name="ras_ext",
            )
        )
    except errors.RevisionNotFoundError as error:
        raise PackNotFoundError(f"the Hub repository {repo} has no revision {revision!r}; {advice}") from error
    except errors.GatedRepoError as error:
        reason = "ask for access on its page and give a token"
        raise PackNotFoundError(f"the Hub repository {repo} is gated: {reason}; {advice}") from error
    except errors.RepositoryNotFoundError as error:
        reason = "not published, or private and no token was given"
        raise PackNotFoundError(f"the Hub holds no pack {repo} ({reason}); {advice}") from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        reason = "the Hub was not asked" if local_files_only else "the Hub could not be reached"
        raise PackNotFoundError(f"the pack {where} is not in the local cache and {reason}; {advice}") from error
    except Exception as error:
        # The client lets the errors of its HTTP library through, whose package changed between its versions.
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise PackNotFoundError(
            f"the pack {where} could not be fetched ({reason}); try again later, or {advice}"
        ) from error
    if not (folder / CONFIG_FILE).exists():
        raise PackNotFoundError(f"the Hub repository {where} is no pack: it holds no {CONFIG_FILE}; {advice}")
    return folder


def _cached_commit(repo: str, commit: str, cache_dir: str | None) -> Path | None:
    """The folder of a commit that lies in the cache whole; it never changes, so that the Hub need not be asked."""
    from huggingface_hub import errors, snapshot_download

    try:
        folder = Path(
            snapshot_download(
                repo, revision=commit, cache_dir=cache_dir, local_files_only=True, allow_patterns=PACK_PATTERNS
            )
        )
        files = load_config(read_member(folder, CONFIG_FILE))["files"]
    except (errors.LocalEntryNotFoundError, errors.HFValidationError, PackError):
        return None
    # Older clients hand out what an interrupted download left.
    return folder if all((folder / name).exists() for name in files) else None


def publish(
    folder: str | os.PathLike[str],
    repo: str,
    *,
    token: str | bool | None = None,
    private: bool | None = None,
    revision: str | None = None,
    message: str | None = None,
) -> str:
    """Check the pack in ``folder`` and put it into the model repository ``repo`` as one commit; returns its URL.

    The repository is made if it does not exist. Raises PackError if the pack is damaged or the Hub refuses it.
    """
    from huggingface_hub import HfApi

    pack = read_pack(folder)
    listed = [CONFIG_FILE, *pack.config["files"]]
    api = HfApi(token=token, library_name="ras_ext")
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo,
            folder_path=str(folder),
            revision=revision,
            allow_patterns=listed,
            commit_message=message or f"Pack {pack.config['name']}, digest {pack.digest[:12]}",
        )
    except Exception as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise PackError(
            f"the pack could not be published as {repo} ({reason}); check the name, token and network"
        ) from error
    return str(commit.commit_url)
