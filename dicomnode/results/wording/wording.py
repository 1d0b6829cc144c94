"""What the reports say of their own accord, as one form to fill for each language."""

from __future__ import annotations

from dataclasses import dataclass

from dicomnode.domain.findings import Presence


@dataclass(frozen=True, slots=True)
class Wording:
    """Sentences of the reports; the names after # are filled in.

    ``disclaimer`` contains "Research use only" in every language, so that whoever looks
    for it finds it.
    """

    language: str
    present: str
    absent: str
    undetermined: str
    probability: str  # {percent}
    uncalibrated_score: str  # {percent}
    at_or_above: str  # {percent}
    below: str  # {percent}
    in_grey_zone: str  # {percent}
    no_finding: str
    by: str  # {algorithm} {sentence}
    suggests: str  # {algorithm}
    undetermined_names: str  # {names}
    below_is_not_absent: str
    disclaimer: tuple[str, str]
    not_analysed: str  # {reason}
    no_opinion: str  # {algorithm}
    images_not_analysed: str  # {count} {total} {reason}
    series_read: str  # {title} {n_read} {n_slices}
    in_slices: str  # {numbers} {top}
    replaces: str
    algorithm: str  # {algorithm}
    intended_use: str  # {use}
    bundle: str  # {digest}
    image_view: str
    stop: str = "."
    comma: str = ", "
    colon: str = ": "
    brackets: tuple[str, str] = (" (", ")")

    def presence(self, presence: Presence) -> str:
        """Present, absent or undetermined."""
        return {
            Presence.PRESENT: self.present,
            Presence.ABSENT: self.absent,
            Presence.UNDETERMINED: self.undetermined,
        }[presence]
