"""Where an encoder is read for a question, and by how much work each point is measured."""

import dataclasses
from collections.abc import Iterable, Sequence

import encoders
from encoders.extraction.readouts import AT_MARK, VECTOR
from slitlamp.encoding.encoder import StoredEncoder
from slitlamp.errors import UsageError
from slitlamp.probing.order import ListOrder
from slitlamp.probing.state import CHOICE, CONTROLS, Cell, Role, Run
from slitlamp.questions import Question

NESTED_UP_TO = 400  # items: beyond, the nested score is measured at the headline sites only


INNER = ("block.", "stage.")


def relative_depth(site: str, sites: Iterable[str]) -> float | None:
    """The share of an encoder's blocks or stages up to and with this one, 1 for the last; None for another site.

    >>> relative_depth("block.2", ["block.0", "block.1", "block.2", "block.3", "final"])
    0.75
    """
    inner = [name for name in sites if name.startswith(INNER)]
    return (inner.index(site) + 1) / len(inner) if site in inner else None


def headline_sites(points: Sequence[tuple[str, str, int]]) -> set[str]:
    """The sites at which a model's later stages read: the last block or stage, final, pooled, joint."""
    sites = list(dict.fromkeys(site for site, _, _ in points))
    inner = [s for s in sites if s.startswith(INNER)]
    return {s for s in sites if s not in inner} | set(inner[-1:])


def points_of(
    encoder: StoredEncoder, question: Question, probe: str | None, *, asked: bool = False
) -> list[tuple[str, str, int]]:
    """Where an encoder is read for a question; a control at its vector, and under the marks where there are any.

    A control that is `asked` for by name keeps to the sites and readouts of the command line too.
    """
    choice = probe == CHOICE
    marks = 0 if encoder.spec in question.unmarked else question.pictures.marked
    if choice and set(question.names_of_marks) != set(question.classes or ()):
        have = ", ".join(question.names_of_marks) or "none"
        raise UsageError(
            f"--probe {CHOICE} chooses between the marks of an image, one for each answer "
            f"({', '.join(question.classes or ())}); {question.source.name} carries marks: {have}"
        )
    if encoder.spec in CONTROLS:
        every = encoder.points(marks) if asked else encoders.points(encoder.card, marks)
        wanted = (AT_MARK.name,) if choice and asked else (VECTOR.name, AT_MARK.name)
        usual = [point for point in every if point[1] in wanted]
        return usual or every if asked and not choice else usual  # as a map where that alone is asked for by name
    points = encoder.points(marks)
    if choice and not any(readout == AT_MARK.name for _, readout, _ in points):
        raise UsageError(
            f"--probe {CHOICE} reads tokens under marks; {encoder.spec} has no grid of tokens whose place in the image "
            "is known (an encoder of your own tells it by the Input of its CARD)"
        )
    return [point for point in points if point[1] == AT_MARK.name] if choice else points


def cells_of(run: Run, question: Question, encoder: StoredEncoder | ListOrder, role: Role) -> list[Cell]:
    """The cells of one encoder for one question, in the encoder's order."""
    plan = run.plan(question)
    if isinstance(encoder, ListOrder):
        points = encoders.points(encoder.card)
    else:
        points = points_of(encoder, question, run.settings.probe.probe, asked=role is Role.ENCODER)
    wide = plan.headline == "linear"  # from 200 groups on the nested probe is the headline
    headline = headline_sites(points)
    cells = []
    for site, readout, _ in points:
        top = site in headline
        full = top or not wide
        nested = role is Role.ENCODER and not wide and (top or len(question.ids) <= NESTED_UP_TO)
        cells.append(
            Cell(question=question, encoder=encoder, role=role, site=site, readout=readout,
                 level="full" if full else "screen", nested=nested)
        )  # fmt: skip
        if role is Role.CONTROL and wide:
            # screened cells are compared with a control measured the same way
            cells.append(screened(cells[-1]))
    return cells


def screened(cell: Cell) -> Cell:
    """The cell as the map measures it from 200 groups on, to be compared with others that are measured so."""
    return dataclasses.replace(cell, level="screen", nested=False, pooled=False)
