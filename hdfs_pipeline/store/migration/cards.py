"""Model cards and figures of older releases in the words of this one."""

import json
from typing import Any, Final

BLOCKS: Final = "blocks"
NAMENODE: Final = "namenode"
_PREFIX: Final = "namenode_"
_WORDS: Final = {"blocks": "items", "block_id": "item"}

_NAMENODE_FACTS: Final = (
    "namenode",
    "role",
    "trained_from",
    "trained_to",
    "left_out",
    "findings",
    "facts",
    "users",
    "seconds",
)
_KEPT: Final = (
    "detector",
    "version",
    "columns",
    "threshold",
    "rule",
    "params",
    "seed",
    "fingerprint",
    "libraries",
    "created_at",
    "files",
)


def domain_of(name: str) -> tuple[str, str]:
    """Domain and detector for the name that an older release gave a detector, in `models` and as a folder."""
    return (NAMENODE, name.removeprefix(_PREFIX)) if name.startswith(_PREFIX) else (BLOCKS, name)


def in_new_words(value: Any) -> Any:
    """JSON values of an older release with `items` for `blocks` and `item` for `block_id`, at any depth."""
    if isinstance(value, dict):
        return {_WORDS.get(key, key): in_new_words(inner) for key, inner in value.items()}
    return [in_new_words(inner) for inner in value] if isinstance(value, list) else value


def new_card(name: str, text: str, indent: int | None = None) -> str:
    """The JSON text of a card of an older release, as this release writes it.

    `name` is the detector's name in the older release. A text that is no such card stays as it is: the code that reads
    it reports the error.
    """
    domain, _ = domain_of(name)
    try:
        card = json.loads(text)
        if domain == NAMENODE:
            facts = {key: card[key] for key in _NAMENODE_FACTS}
            own: dict[str, Any] = {"domain": domain, "family": "series", "items": card["steps"], "anomalies": None}
            own |= {"source": "namenode_metrics"}  # the table that its columns come from
            card = own | {key: card[key] for key in _KEPT} | {"facts": facts}
        else:
            card = {"domain": domain} | in_new_words(card) | {"params": card["params"], "facts": {}}
    except (KeyError, TypeError, ValueError):
        return text
    return json.dumps(card, indent=indent)
