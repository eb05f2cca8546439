"""Let a language model write texts; each is checked, asked for again where it is no use, and dropped after that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ldyn.answers.chats import ChatAnswer, ChatModel, ChatRequest
from ldyn.data.text import normal_response
from ldyn.probe_sets.rephrasing.reading import fault_of, letters_of, text_of
from ldyn.probe_sets.rephrasing.tasks import Writing

CANNED = "canned"
"""The fault of a text that was the answer to different sources: "I'm sorry, but I cannot help with that."."""
REPEATS_THE_ROW = "as_another_response"
"""The fault of a text that is another response of its row, word for word."""

Row = tuple[str, str]  # (split, example id)


@dataclass(frozen=True, slots=True)
class Dropped:
    """What was no use in the last try: the fault in a word, and the text or the reason of a refusal."""

    writing: Writing
    fault: str
    said: str


@dataclass
class Written:
    """The texts that can be used, what was dropped, and how often something was asked for again, by fault."""

    texts: dict[Writing, str] = field(default_factory=dict)
    dropped: list[Dropped] = field(default_factory=list)
    asked_again: Counter[str] = field(default_factory=Counter)


def write_texts(writings: Sequence[Writing], model: ChatModel, tries: int, taken: Mapping[Row, set[str]]) -> Written:
    """Ask for every text, and for those that are no use again, ``tries`` times in all.

    At temperature 0 a model would say the same again, so there is one try only. ``taken``: the other responses of each
    row, normalised, which a text may not repeat. Raises an LdynError where no answer can be had.
    """
    sorter, left = _Sorter(taken), list(writings)
    for attempt in range(tries):
        if not left:
            break
        answers = model.answer([numbered(writing.request, attempt) for writing in left])
        dropped = sorter.sort_out(list(zip(left, answers, strict=True)))
        can_be_had_again = [one for one in dropped if one.writing.request.temperature > 0 and attempt + 1 < tries]
        sorter.written.asked_again.update(one.fault for one in can_be_had_again)
        sorter.written.dropped += [one for one in dropped if one not in can_be_had_again]
        left = [one.writing for one in can_be_had_again]
    return sorter.written


def numbered(request: ChatRequest, attempt: int) -> ChatRequest:
    """The same request as another draw."""
    return replace(request, sample=request.sample + attempt)


class _Sorter:
    """Tells texts that can be used from those that cannot, with all that was answered so far in mind."""

    def __init__(self, taken: Mapping[Row, set[str]]):
        self.written = Written()
        self._taken = {row: set(texts) for row, texts in taken.items()}
        self._sources: dict[str, set[str]] = {}  # letters of a text -> the sources that it was the answer to

    def sort_out(self, answers: Sequence[tuple[Writing, ChatAnswer]]) -> list[Dropped]:
        """Keep what can be used; what cannot is returned, and so is what was kept and now turns out to be canned."""
        texts = [(writing, answer, text_of(answer, writing)) for writing, answer in answers]
        for writing, _, text in texts:
            self._sources.setdefault(letters_of(text), set()).add(_source(writing))
        kept = self.written.texts
        dropped = [Dropped(writing, CANNED, text) for writing, text in kept.items() if self._is_canned(text)]
        for one in dropped:
            del kept[one.writing]
        for writing, answer, text in texts:
            fault = fault_of(answer, text, writing) or self._fault_beside_others(text, writing)
            if fault is not None:
                dropped.append(Dropped(writing, fault, answer.reason or answer.text))
                continue
            kept[writing] = text
            self._taken.setdefault((writing.split, writing.example_id), set()).add(normal_response(text))
        return dropped

    def _fault_beside_others(self, text: str, writing: Writing) -> str | None:
        if self._is_canned(text):
            return CANNED
        row = self._taken.get((writing.split, writing.example_id), set())
        return REPEATS_THE_ROW if normal_response(text) in row else None

    def _is_canned(self, text: str) -> bool:
        return len(self._sources.get(letters_of(text), ())) > 1


def _source(writing: Writing) -> str:
    return letters_of(writing.source) or f"{writing.split} {writing.example_id}"
