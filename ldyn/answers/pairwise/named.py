"""Judges of pairs by the names that a command line gives them; what a judge needs is imported when it is chosen."""

from __future__ import annotations

from pathlib import Path

from ldyn.answers.answer_cache import AnswerCache
from ldyn.answers.chats import Progress
from ldyn.answers.pairwise.contest import PairJudge
from ldyn.answers.pairwise.scores import OraclePairJudge, ScoringPairJudge

ORACLE = "oracle"
API = "api"
MODEL = "model:"


def judge_on_this_machine(
    name: str, *, template: Path | None, cache: AnswerCache, device: str, progress: Progress | None
) -> PairJudge:
    """``oracle``, ``model:NAME``, or a scorer of single answers by its name in ``ldyn.answers.judges``.

    Raises an LdynError where there is no such judge.
    """
    if name == ORACLE:
        return OraclePairJudge()
    if name.startswith(MODEL):
        return _instruction_model(name.removeprefix(MODEL), template, cache, device, progress)

    from ldyn.answers.judges import judge_named

    return ScoringPairJudge(name, judge_named(name, None))


def _instruction_model(
    name: str, template: Path | None, cache: AnswerCache, device: str, progress: Progress | None
) -> PairJudge:
    from ldyn.answers.local_chat import LocalChatModel
    from ldyn.answers.pairwise.chat import ChatPairJudge, read_template
    from ldyn.models.settings import PretrainedConfig

    text = read_template(template)
    return ChatPairJudge(LocalChatModel.load(PretrainedConfig(name), cache, device, progress), text)
