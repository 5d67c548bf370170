"""Words that tell of trouble, whoever writes them."""

from typing import Final

import numpy as np
import pyarrow as pa

_FATAL: Final = (
    r"out ?of ?memory|\boom\b|oom.?kill|\bpanic\b|seg(mentation )?fault|core dump|deadlock|corrupt|no space left|"
    r"disk full|data loss|split.?brain|\bfatal\b|emergency|stack ?overflow|breach|intrusion|compromised"
)
_ERROR: Final = (
    r"\berrors?\b|exception|\bfail(ed|ure|ures|s|ing)?\b|\bcrash|\babort|\brefused\b|\bdenied\b|unreachable|"
    r"time(d)?[ -]?out|\bcan(not|'t)\b|\bcould(n't| not)\b|\bunable\b|\binvalid\b|\brejected\b|unauthorized|forbidden|"
    r"\blost\b|\bkilled\b|\bdead\b|violation|broken"
)
_WARNING: Final = (
    r"\bwarn|\bslow\b|\bretr(y|ies|ying)\b|deprecated|degraded|\bdelay|exceed|throttl|backoff|\bmissing\b|\bstale\b|"
    r"unexpected|suspicious|overload|unhealthy"
)
WORDS: Final = {"fatal": _FATAL, "failures": _ERROR, "warnings": _WARNING}
"""Patterns (RE2, in whatever case) by the column that counts them: of what ends a service, what failed, what warns."""


def word_counts(messages: pa.Array | pa.ChunkedArray) -> dict[str, np.ndarray]:
    """How many words of each of `WORDS` each message has: (n,) float32 by name."""
    import pyarrow.compute as pc

    return {
        name: pc.count_substring_regex(messages, pattern, ignore_case=True).to_numpy().astype(np.float32)
        for name, pattern in WORDS.items()
    }
