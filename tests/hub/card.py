"""What the Hub makes of a README's front matter: the checks it answers with, and the tags it derives."""

from __future__ import annotations

import re
from typing import Any

import yaml

_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*|[\w][\w.-]*", re.ASCII)
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_RELATIONS = {"adapter", "merge", "quantized", "finetune"}


def front_matter(text: str) -> dict[str, Any]:
    """The metadata of a card, empty where it has none; yaml.YAMLError if it is not YAML."""
    match = re.match(r"---\r?\n(.*?)\r?\n---\r?\n", text, re.DOTALL)
    found = yaml.safe_load(match[1]) if match else None
    if found is not None and not isinstance(found, dict):
        raise yaml.YAMLError("the metadata is no mapping")
    return found or {}


def problems(text: str) -> tuple[list[str], list[str]]:
    """(errors, warnings) of the Hub's validator."""
    try:
        data = front_matter(text)
    except yaml.YAMLError as error:
        return [f"YAML: {error}"], []
    errors = []
    for name in ("library_name", "pipeline_tag", "license", "base_model_relation"):
        if name in data and not isinstance(data[name], str):
            errors.append(f'"{name}" must be a string')
    for name in ("tags", "metrics", "language", "datasets"):
        value = data.get(name, [])
        if isinstance(value, str):
            continue
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            errors.append(f'"{name}" must be an array of strings')
    if isinstance(data.get("license"), str) and not _LICENSE.fullmatch(data["license"]):
        errors.append('"license" must be a known identifier')
    if data.get("base_model_relation", "adapter") not in _RELATIONS:
        errors.append(f'"base_model_relation" must be one of {sorted(_RELATIONS)}')
    models = data.get("base_model", [])
    for model in [models] if isinstance(models, str) else models:
        if not isinstance(model, str) or not _ID.fullmatch(model):
            errors.append(f'"base_model" with value "{model}" is not valid. Use a model id from https://hf.co/models.')
    return errors, [] if data else ["empty or missing yaml metadata in repo card"]


def tags_of(text: str) -> tuple[list[str], dict[str, Any]]:
    """The tags under which a model is found, and its metadata."""
    try:
        data = front_matter(text)
    except yaml.YAMLError:
        return [], {}
    tags = [data["library_name"]] if isinstance(data.get("library_name"), str) else []
    tags += [tag for tag in data.get("tags") or [] if isinstance(tag, str)]
    models = data.get("base_model") or []
    for model in [models] if isinstance(models, str) else models:
        tags.append(f"base_model:{model}")
        if data.get("base_model_relation"):
            tags.append(f"base_model:{data['base_model_relation']}:{model}")
    if data.get("license"):
        tags.append(f"license:{data['license']}")
    return list(dict.fromkeys([*tags, "region:us"])), data
