"""What was read so far of one file of lines."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Tally:
    """What was read so far of one file; `layouts` counts good records by layout, `wrapped` lines by their wrapper."""

    bytes: int = 0
    lines: int = 0
    records: int = 0
    layouts: Counter[str] = field(default_factory=Counter)
    wrapped: Counter[str] = field(default_factory=Counter)

    @property
    def layout(self) -> str:
        """The layouts that were seen, the most frequent first; "" where no line had one."""
        return " + ".join(name for name, _ in self.layouts.most_common())
