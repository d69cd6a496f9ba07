"""Offers against needs: who fits, in the order of published quality, and who comes nearest where nobody does.

It knows where each figure is from and never mixes two kinds; no terminal.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from crossrank.checkpoint.published import Board, Published, boards_for, published
from crossrank.checkpoint.shapes import Shape
from crossrank.choice.needs import Needs
from crossrank.choice.offers import Offer, offers
from crossrank.choice.timing import Timing, Timings

How = Literal["measured", "scaled", "estimated", "quoted", "unknown"]
NEAREST = 3  # that are looked at again where nothing fits
BUSY = 0.6  # of its cores' time: with less, the clock says more of other work than of the model
FAR = 8  # times the limit: what is estimated to take longer is not timed


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds for a query and all its documents.

    Attributes:
        ms: None where nothing is known.
        how: "measured" here as it is asked; "scaled" from fewer documents, measured here; "estimated" from another
            shape, by what both compute, or from CPU time where the machine was busy; "quoted" from somebody else's
            setting, as it stands there.
        note: the engine and the date, or the source and the setting.
        at_least: whether it is known to be so long or longer only.
        share: of what was measured, the share of its cores' time that it had.
    """

    ms: float | None
    how: How
    note: str
    at_least: bool = False
    share: float = 1.0

    def fits(self, limit_ms: float | None) -> bool | None:
        """Whether it is within a limit; None where that cannot be told."""
        if limit_ms is None:
            return True
        if self.ms is None or (self.at_least and self.ms <= limit_ms):
            return None
        return self.ms <= limit_ms


@dataclass(frozen=True, slots=True)
class Choice:
    """An offer, judged.

    Attributes:
        offer: see there.
        quality: the figure on the board that its section is sorted by, and on further ones.
        latency: see there.
        obstacles: why it does not fit; empty where it does.
        documents_max: with how many documents it would be within the limit, by proportion; None without a limit, and
            where its latency was not found here.
    """

    offer: Offer
    quality: tuple[Published, ...]
    latency: Latency
    obstacles: tuple[str, ...]
    documents_max: int | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """Choices that can be compared: by one board's figures, best first; or those without any."""

    board: Board | None
    choices: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What came out.

    Attributes:
        needs: what was asked.
        sections: those that fit, by board, the most telling board first.
        undecided: what fits as far as is known, but nobody knows how long it takes.
        nearest: where nothing fits: what only takes too long, models for this machine first, then the fastest.
        better: where something fits: what the first board has as better, and would fit with fewer documents, if with a
            tenth of them or more; the best first.
        faster: of the nearest, what fits with int8, as measured here.
        excluded: how many offers do not fit for other reasons than latency, by reason.
    """

    needs: Needs
    sections: tuple[Section, ...]
    undecided: tuple[Choice, ...]
    nearest: tuple[Choice, ...]
    better: tuple[Choice, ...]
    faster: tuple[Choice, ...]
    excluded: tuple[tuple[str, int], ...]

    @property
    def best(self) -> Choice | None:
        """The first choice of the first section."""
        return self.sections[0].choices[0] if self.sections else None


def recommend(
    needs: Needs,
    timings: Timings,
    *,
    int8: Timings | None = None,
    among: Sequence[Offer] | None = None,
) -> Recommendation:
    """Judge every offer.

    Args:
        needs: what is wanted.
        timings: of this machine.
        int8: the same in int8, for what would fit then; None where the engine has it not, or is in it already.
        among: the offers; all that are known by default.
    """
    boards = boards_for(needs.language)
    reasons: dict[str, int] = {}
    possible: list[Offer] = []
    for offer in offers() if among is None else among:
        if obstacles := needs.obstacles(offer):
            for reason in obstacles:
                reasons[reason] = reasons.get(reason, 0) + 1
        else:
            possible.append(offer)
    judged = _all_judged(possible, needs, boards, timings)
    fitting = [choice for choice in judged if not choice.obstacles and choice.latency.fits(needs.latency_ms)]
    undecided = [c for c in judged if not c.obstacles and c.latency.fits(needs.latency_ms) is None]
    sections, late = _sections(fitting, boards), [choice for choice in judged if choice.obstacles]
    nearest = [] if fitting else sorted(late, key=lambda c: (not c.offer.local, _ms(c)))[:NEAREST]
    faster: list[Choice] = []
    if not fitting and int8 is not None:
        native = [c.offer for c in nearest if c.offer.shape and c.offer.shape.native]
        faster = [c for c in _all_judged(native, needs, boards, int8) if not c.obstacles]
    return Recommendation(
        needs,
        sections,
        tuple(undecided),
        tuple(nearest),
        _better(sections, [choice for choice in late if 10 * (choice.documents_max or 0) >= needs.documents], boards),
        tuple(faster),
        tuple(sorted(reasons.items(), key=lambda item: -item[1])),
    )


class _Clock:
    """Latencies of offers: timed, or estimated by operations from the next smaller shape that the same engine ran.

    What is too large to be timed in passing is estimated, and what would be far beyond the limit.
    """

    def __init__(self, needs: Needs, timings: Timings, shapes: Iterable[Shape]) -> None:
        self._needs, self._timings = needs, timings
        self._found: dict[Shape, Timing] = {}
        self._shapes = sorted(set(shapes), key=self._operations)

    def of(self, offer: Offer) -> Latency:
        if not offer.local:
            return _quoted(offer)
        if offer.shape is None:
            return Latency(None, "unknown", "only transformers runs it, and only with its weights can it be timed")
        smaller = self._smaller(offer.shape)
        limit = self._needs.latency_ms
        if limit is not None and smaller is not None and (smaller.ms or 0) > FAR * limit:
            return smaller
        timing = self._timings.of(offer.shape, self._needs.documents, self._needs.tokens, offer.max_length)
        if isinstance(timing, Timing):
            self._found[offer.shape] = timing
            return self._latency(timing, 1.0, "")
        return smaller or Latency(None, "unknown", timing.because)

    def _smaller(self, shape: Shape) -> Latency | None:
        """The estimate from the largest smaller shape that was timed; shapes are asked about from small to large."""
        for other in reversed(self._shapes):
            known = self._found.get(other)
            if other.native == shape.native and known is not None:
                ratio = self._operations(shape) / self._operations(other)
                if ratio > 1:
                    return self._latency(known, ratio, str(other))
        return None

    def _operations(self, shape: Shape) -> int:
        return shape.operations(self._needs.tokens)

    def _latency(self, timing: Timing, ratio: float, other: str) -> Latency:
        ms = 1000 * timing.seconds * ratio * self._needs.documents / timing.documents
        how: How = "measured" if timing.documents == self._needs.documents else "scaled"
        note = f"{timing.engine}; {timing.date}"
        if how == "scaled":
            note = f"measured with fewer documents: {note}"
        if timing.share < BUSY:
            how, note = "estimated", f"by CPU time, as other work had the cores: {note}"
            ms *= timing.share
        if other:
            how, note = "estimated", f"{ratio:.1f} times the operations of {other}, which was measured: {note}"
        return Latency(ms, how, note, share=timing.share)


def _quoted(offer: Offer) -> Latency:
    quoted = offer.quoted
    if quoted is None:
        return Latency(None, "unknown", "no figure that could be read; crossrank models --compare measures it")
    note = f"{quoted.setting}; {quoted.source}, {quoted.date}"
    return Latency(quoted.ms, "quoted", note, quoted.at_least)


def _all_judged(possible: Sequence[Offer], needs: Needs, boards: tuple[Board, ...], timings: Timings) -> list[Choice]:
    """Each offer, in the order given; small shapes are timed before large ones, which may be estimated from them."""
    clock = _Clock(needs, timings, (offer.shape for offer in possible if offer.shape))
    order = sorted(possible, key=lambda offer: offer.shape.operations(needs.tokens) if offer.shape else 0)
    latencies = {offer.name: clock.of(offer) for offer in order}
    return [_judged(offer, needs, boards, latencies[offer.name]) for offer in possible]


def _judged(offer: Offer, needs: Needs, boards: tuple[Board, ...], latency: Latency) -> Choice:
    limit = needs.latency_ms
    late = latency.fits(limit) is False
    most = None
    if limit is not None and latency.ms is not None and latency.how != "quoted":
        most = int(limit * needs.documents / latency.ms)
    obstacles = (f"takes {'at least ' if latency.at_least else ''}{latency.ms:,.0f} ms",) if late else ()
    return Choice(offer, published(offer.name, boards), latency, obstacles, most)


def _sections(choices: Sequence[Choice], boards: tuple[Board, ...]) -> tuple[Section, ...]:
    sections: list[Section] = []
    left = list(choices)
    for board in boards:
        here = [choice for choice in left if choice.quality and choice.quality[0].board is board]
        if here:
            ranked = sorted(here, key=lambda choice: (-choice.quality[0].value, _ms(choice)))
            sections.append(Section(board, tuple(ranked)))
    if unknown := [choice for choice in left if not choice.quality]:
        sections.append(Section(None, tuple(sorted(unknown, key=_ms))))
    return tuple(sections)


def _better(sections: Sequence[Section], late: Sequence[Choice], boards: tuple[Board, ...]) -> tuple[Choice, ...]:
    """Late choices above the best that fits on the first board; all that are on it, where that best is not."""
    if not sections:
        return ()
    best = sections[0].choices[0].quality[:1] if sections[0].board is boards[0] else ()
    least = best[0].value if best else 0.0
    on_board = [c for c in late if c.quality and c.quality[0].board is boards[0] and c.quality[0].value > least]
    return tuple(sorted(on_board, key=lambda choice: -choice.quality[0].value)[:NEAREST])


def _ms(choice: Choice) -> float:
    return float("inf") if choice.latency.ms is None else choice.latency.ms
