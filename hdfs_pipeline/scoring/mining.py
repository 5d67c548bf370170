"""Learning a template catalogue: from messages that no template matches to the next version of the catalogue.

What varies by its very form (block ids, addresses, paths, numbers) is masked first, in one pass; only the distinct
masked messages, a few hundred where a log has a million lines, go through Drain3, which finds the words that vary. The
result is a proposal for a person to read: `difference` lists what is new in it. The new templates have a severity
(see `proposals`), and a stage where the domain can tell one; that person confirms or corrects both in the file.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import reduce

from hdfs_pipeline.scoring.catalogue import MOST_TEMPLATES, WILDCARD, Catalogue, Template
from hdfs_pipeline.scoring.proposals import severity_of

# Stands for a masked part until the template is written. It is not Drain's own wildcard, because Drain counts its
# wildcards as differences: messages that consist mostly of masked parts would never be found alike.
_MASK = "\x1a"
_FORMS = (
    r"(?:(?<![\w.-])BP-[\w.-]+:)?blk_-?\d+(?:_\d+)?(?:\.meta)?",  # a block, with its pool and its generation stamp
    r"BP-\d[\w.-]*",  # a block pool
    r"(?:DS|CID)-[0-9a-fA-F-]{8,}",  # a storage, a cluster
    r"DFSClient_\w+?_-?\w+",
    r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    r"(?:(?<![\w.-])[A-Za-z][\w.-]*)?/?\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?",  # an address, with host name and port
    r"(?<![\w.-])(?:localhost|[A-Za-z][\w-]*(?:\.[\w-]+)+):\d{2,5}",  # host:port
    r"(?<![\w.])(?:[a-z]+:)?/(?:[^\s,;:'\"()\[\]{}<>]|:(?=\d))*",  # a path, a URI
    r"0x[0-9a-fA-F]+",
    r"-?\d+(?:\.\d+)*",
)
_VARIABLE = re.compile("|".join(_FORMS))
_LIST = re.compile(rf"{_MASK}(?:,\s*{_MASK})+")
# Bracketed lists (of DataNodes, of replicas) have as many items as there are replicas: their inside is one mask.
_BRACKETS = re.compile(r"\[[^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*\]")
_WORD = re.compile(r"[A-Za-z][\w.$]*")
# Below this share of equal words two messages are two templates. High, since masking has already removed what varies:
# "received exception <kind>: <reason>" should stay one template per kind.
_SIMILARITY = 0.75
# With less fixed text than this a template would match what it was not learned from.
_MIN_LETTERS = 8
_NAME_WORDS = 8
# What one hostile line, or many, may cost. No template that ships is longer than a tenth of that, and no list in
# real messages lies in more than two others.
_MAX_CHARACTERS = 4_000
_NESTED = 4
_MOST_FORMS = 20_000
_MOST_LEARNED = 1_000
_THROWN = re.compile(r".*\n\s*([\w.$]{1,200}(?:Exception|Error|Throwable))\b")
_LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")


@dataclass(frozen=True)
class _Seen:
    """How often something was seen, the gravest level it was logged at, and an exception it was logged with, if any."""

    count: int
    level: str
    thrown: str

    def __add__(self, other: "_Seen") -> "_Seen":
        level = max(self.level, other.level, key=_rank)
        return _Seen(self.count + other.count, level, max(self.thrown, other.thrown))


def propose(
    messages: Iterable[tuple[str, str, str, int]], current: Catalogue, stage_of: Callable[[str, str, str], str]
) -> Catalogue:
    """Learn templates for messages that no template of a catalogue matches.

    Args:
        messages: (logger, level, message, count). Of a message, raw or masked, the beginning of the first line makes
            the template; a second line may begin with the class of an exception, as log4j writes it.
        current: the catalogue that they do not match; an empty one to learn from nothing.
        stage_of: gives a template's text, level and logger its stage, one of the words of the domain, or ''.

    Returns:
        The next version: the templates of `current`, then the new ones, at most 1,000 and those seen most, the specific
        before the general, each with a stage and a severity for a person to confirm. `current` itself when nothing was
        learned. The same messages give the same result in whatever order they come.
    """
    found: defaultdict[str, list[tuple[_Seen, str]]] = defaultdict(list)
    for logger, forms in _masked(messages).items():
        for text, seen in _mine(forms):
            if sum(character.isalpha() for character in text) >= _MIN_LETTERS:
                found[text].append((seen, logger))
    learned = [_assessed(text, clusters, stage_of) for text, clusters in found.items()]
    learned = [t for t in learned if not any(covers(known, t) for known in current.templates)]
    room = max(0, MOST_TEMPLATES - len(current.templates))
    learned = sorted(learned, key=lambda t: (-t.count, t.text))[: min(_MOST_LEARNED, room)]
    # A template that covers another has no more fixed text, and more wildcards: this order is specific before general.
    learned.sort(key=lambda t: (-sum(map(len, t.literals)), t.text.count(WILDCARD), t.text))
    if not learned:
        return current
    first = 1 + max((int(n) for t in current.templates if (n := re.sub(r"\D", "", t.event_id))), default=0)
    new = (replace(t, event_id=f"E{first + i}", name=name_of(t.text)) for i, t in enumerate(learned))
    return Catalogue(current.name, current.version + 1, (*current.templates, *new))


def difference(old: Catalogue, new: Catalogue) -> list[Template]:
    """What a reviewer has to read: the templates that `old` does not have, with their proposed stage and severity."""
    texts = {template.text for template in old.templates}
    return [template for template in new.templates if template.text not in texts]


def mask(message: str) -> str:
    """The first line of a message with a mask for all that varies by its form; equal for most repetitions.

    A mask stands for all that follows the first 4,000 characters.
    """
    line = message[: _MAX_CHARACTERS + 1].split("\n", 1)[0]
    rest = _MASK if len(line) > _MAX_CHARACTERS else ""
    text = _LIST.sub(_MASK, _VARIABLE.sub(_MASK, line[:_MAX_CHARACTERS].replace(WILDCARD, _MASK)))
    for _ in range(_NESTED):  # lists can hold lists: the inner ones are masked first
        if "[" not in text or (shorter := _BRACKETS.sub(_inside, text)) == text:
            break
        text = shorter
    return text + rest


def _inside(match: re.Match[str]) -> str:
    return f"[{_MASK}]" if _MASK in match[0] else match[0]


def covers(general: Template, specific: Template) -> bool:
    """Whether `general`, tested first, takes every message of `specific`, by the catalogue's rules of matching."""
    if specific.floats and not general.floats:
        return False
    # What stands at a wildcard is unknown: a character that no literal has.
    message = specific.text.replace(WILDCARD, _MASK)
    end = before = 0
    for literal in general.literals:
        start = message.find(literal, end)
        if start < 0 or (start > 0 and end == 0 and not specific.floats):
            return False
        end, before = start + len(literal), end
    last = general.literals[-1]
    return general.text.endswith(WILDCARD) or (message.endswith(last) and len(message) - len(last) >= before)


def name_of(text: str) -> str:
    """A first name for a template, made of its own words; a class name adds only its last part."""
    words = [word.rstrip(".").rsplit(".", 1)[-1].lower() for word in _WORD.findall(text)]
    return " ".join([word for word in words if len(word) > 1][:_NAME_WORDS])


def _rank(level: str) -> tuple[int, str]:
    """The order of levels; one that is none of log4j's stands below them."""
    return (_LEVELS.index(level) if level in _LEVELS else -1, level)


def _assessed(text: str, clusters: list[tuple[_Seen, str]], stage_of: Callable[[str, str, str], str]) -> Template:
    """A template without id and name, of its clusters and their loggers; the logger of the largest speaks for it."""
    logger = max((seen.count, logger) for seen, logger in clusters)[1]
    seen = reduce(_Seen.__add__, (seen for seen, _ in clusters))
    said = (text, seen.level, logger)
    return Template("", "", text, seen.count, stage_of(*said), severity_of(*said, seen.thrown))


def _masked(messages: Iterable[tuple[str, str, str, int]]) -> dict[str, dict[str, _Seen]]:
    """By logger the masked messages that occur most; of those that occur as often, the first by text."""
    all_seen: dict[tuple[str, str], _Seen] = {}
    for logger, level, message, count in messages:
        thrown = _THROWN.match(message)
        key, seen = (logger, mask(message)), _Seen(count, level.upper(), thrown[1] if thrown else "")
        all_seen[key] = all_seen[key] + seen if key in all_seen else seen
    forms: defaultdict[str, dict[str, _Seen]] = defaultdict(dict)
    most = sorted(all_seen.items(), key=lambda pair: (-pair[1].count, pair[0]))[:_MOST_FORMS]
    for (logger, form), seen in most:
        forms[logger][form] = seen
    return forms


def _mine(forms: dict[str, _Seen]) -> Iterator[tuple[str, _Seen]]:
    """Cluster the masked messages of one logger: a template and how it was seen per cluster."""
    # Imported here: only learning needs it, and the package is imported by every run.
    from drain3.drain import Drain

    drain = Drain(sim_th=_SIMILARITY)
    clusters: defaultdict[int, list[str]] = defaultdict(list)
    for form in sorted(forms):  # what Drain finds depends on the order
        if form.strip():
            cluster, _ = drain.add_log_message(form)
            clusters[cluster.cluster_id].append(form)
    for members in clusters.values():
        yield _template(members), reduce(_Seen.__add__, (forms[form] for form in members))


def _template(members: list[str]) -> str:
    """The text of a cluster: what its messages have in common, white space as it stands in them.

    Not Drain's own text, which has single blanks: LIKE compares white space exactly.
    """
    # White space at the ends becomes a wildcard: what a reader of logs trims is not to decide a match. Then words stand
    # at even places and white space at odd ones, in columns, since Drain groups messages of equally many words.
    rows = (re.split(r"(\s+)", _without_ends(form)) for form in members)
    columns = zip(*rows, strict=True)
    text = "".join(column[0] if len(set(column)) == 1 else _MASK for column in columns)
    return re.sub(f"{_MASK}+", WILDCARD, text)


def _without_ends(form: str) -> str:
    """`form` with a mask for the white space at each end, if there is some; in time that grows with its length."""
    inner = form.strip()
    before = _MASK if form[:1].isspace() else ""
    return before + inner + (_MASK if form[-1:].isspace() else "")
