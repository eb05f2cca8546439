"""Probes in a training script of your own: a callback for any ``transformers.Trainer``, TRL's among them."""

from __future__ import annotations

import atexit
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from transformers import TrainerCallback, TrainerControl, TrainerState

from ldyn.errors import DataError, ModelError, RunDirectoryError
from ldyn.models.evaluation import is_sharded, unwrapped
from ldyn.probes.builder import ProbesConfig, probe_fingerprint
from ldyn.probes.probe_set import ProbeSet
from ldyn.probes.schedule import ScheduleConfig, scheduled_steps
from ldyn.probes.trained_tokens import compare_with_trained
from ldyn.processes.group import in_main, process_count
from ldyn.records import ProbeScore, ProbeStep, StageInfo
from ldyn.run.manifest import Manifest, recorded
from ldyn.run.probing import RewardProbes, ScheduledProbes, StageProbes, is_reward_model
from ldyn.run.session import Session, earlier_hashes
from ldyn.store import RunDirectory
from ldyn.store.directory import final_path, partial_path
from ldyn.tracking import Observer
from ldyn.tracking.means import Charts
from ldyn.tracking.observers import AllObservers

PAIRWISE = {"DPOConfig": "dpo", "CPOConfig": "cpo", "ORPOConfig": "orpo", "KTOConfig": "kto"}
SUPERVISED = {"TrainingArguments": "sft_token_mean", "SFTConfig": "sft_token_mean"}
LOSSES_OF_DPO = {"sigmoid": "dpo", "ipo": "ipo_length_normalised", "hinge": "slic", "sppo_hard": "sppo"}


class ProbeCallback(TrainerCallback):
    """Scores ``probes`` before the first update, after every ``every`` updates and after the last one.

    directory: of the run; `ldyn report DIRECTORY` reads it, also while the training runs. on_error: "raise", or "warn"
    to go on training without probes after an error of the callback. Curves also go to the trainer's wandb run or
    TensorBoard. Scoring changes no weight and draws no random number. Add it to the trainer of every process.
    """

    def __init__(
        self,
        probes: ProbeSet,
        directory: str | Path,
        *,
        every: int = 50,
        on_error: Literal["raise", "warn"] = "raise",
    ):
        if not isinstance(every, int) or isinstance(every, bool) or every < 1:
            raise ValueError(f"every: found {every!r}, expected a number of updates, 1 or more.")
        if on_error not in ("raise", "warn"):
            raise ValueError(f"on_error: found {on_error!r}, expected 'raise' or 'warn'.")
        self._probes, self._every, self._on_error = probes, every, on_error
        self._final = final_path(Path(directory).expanduser().resolve())
        self._failed = False
        self._record: ExitStack | None = None
        self._directory: RunDirectory | None = None

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._failed = False
        self._guarded(lambda: self._begin(args, state, control, **kwargs))

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._guarded(lambda: self._scoring.on_step_end(args, state, control, **kwargs))
        self._commit_before_saving(control)

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._guarded(lambda: self._scoring.on_log(args, state, control, **kwargs))
        self._commit_before_saving(control)

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._guarded(lambda: self._end(args, state, control, **kwargs))

    def _commit_before_saving(self, control: TrainerControl) -> None:
        if control.should_save:
            self._guarded(lambda: self._session.commit_log(self._info.name))

    def _guarded(self, work: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            work()
        except Exception as error:
            self._failed = True
            self._close(error)
            if self._on_error == "raise":
                raise
            reason = f"{type(error).__name__}: {error}"
            warnings.warn(f"ProbeCallback stopped, and the training continues without it. {reason}", stacklevel=3)

    def _begin(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        processing_class: Any = None,
        train_dataloader: Any = None,
        **kwargs: Any,
    ) -> None:
        tokenizer = getattr(processing_class, "tokenizer", processing_class)
        if tokenizer is None:
            raise DataError("The trainer has no tokenizer; pass processing_class=tokenizer to it.")
        _check_model(unwrapped(model))
        self._info = info = _stage_info(args)
        max_length = getattr(args, "max_length", None)
        together = info.kind == "pairwise" and info.algorithm != "kto"
        examples, dropped = self._probes.encoded(tokenizer, together=together, max_length=max_length)
        dataset = getattr(train_dataloader, "dataset", None)
        if dataset is not None and (difference := compare_with_trained(examples, dataset, tokenizer, max_length)):
            warnings.warn(difference, stacklevel=2)
        self._session = session = self._opened(args, state, model, {**self._probes.counts, **dropped})
        session.observe(lambda: AllObservers(_trackers(args)))
        batch = args.train_batch_size * args.gradient_accumulation_steps * process_count()
        steps = scheduled_steps(state.max_steps, ScheduleConfig(every=self._every), 1)

        def step_of(step: int) -> ProbeStep:
            return ProbeStep(info.name, info.algorithm, step, step * batch, float(state.epoch or 0))

        if is_reward_model(unwrapped(model)):
            self._scoring: ScheduledProbes = RewardProbes(session, info.name, examples, steps)
        else:
            pad_id = int(tokenizer.pad_token_id or tokenizer.eos_token_id or 0)  # nothing sees it
            self._scoring = StageProbes(
                session, info.name, examples, ProbesConfig(), pad_id=pad_id, steps=steps, step_of=step_of
            )
        session.begin_stage(info, state.max_steps, after_step=state.global_step or -1)
        self._scoring.on_train_begin(args, state, control, model=model)

    def _opened(self, args: Any, state: TrainerState, model: Any, counts: Mapping[str, int]) -> Session:
        directory = in_main(lambda: _directory(self._final, state.global_step))
        if directory is None:
            return Session(self._final, None, Manifest(None, {}))
        name, run = self._final.parent.name, self._final.name
        stage = {**asdict(self._info), "steps": state.max_steps, "probe_precision": _precision(args, model)}
        content = {
            "name": name,
            "run": run,
            "seed": args.seed,
            "hashes": earlier_hashes(directory),
            "counts": counts,
            "processes": {"number": process_count(), "threads_each": torch.get_num_threads()},
            "stages": [stage | {"parameters": {"beta": args.beta} if hasattr(args, "beta") else {}}],
        }
        trainer = {"class": type(args).__name__, **args.to_dict()}
        plain = {
            key: value if isinstance(value, str | int | float | None) else str(value) for key, value in trainer.items()
        }
        settings = {"name": name, "run": run, "model": str(unwrapped(model).config._name_or_path), "trainer": plain}
        directory.write_text("config.yaml", yaml.safe_dump(settings, sort_keys=False))
        self._directory, self._record = directory, ExitStack()
        atexit.register(self._close, KeyboardInterrupt())
        again = "resume it by trainer.train(resume_from_checkpoint=True)"
        session = Session(self._final, directory, self._record.enter_context(recorded(directory, content, again)))
        session.check_same_inputs(hashes := {"probes": probe_fingerprint(self._probes.examples)})
        session.manifest.update(hashes=hashes)
        return session

    def _end(self, args: Any, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any) -> None:
        """Score the last weights where the training ended before it was planned to; then findings and report."""
        self._scoring.score_once(model, state.global_step)
        self._session.commit_log(self._info.name)
        self._session.finish_stage(self._info)
        in_main(lambda: self._session.conclude(with_report=True))
        self._close()
        if published := in_main(self._session.publish):
            print(f"ProbeCallback: the run is {published}, its page report.html", file=sys.stderr)

    def _close(self, error: BaseException | None = None) -> None:
        """Write to the manifest how it ended; a process that exits during the training was interrupted."""
        if (record := self._record) is None:
            return
        self._record = None
        atexit.unregister(self._close)
        self._session.close_observer()
        record.__exit__(*((type(error), error, error.__traceback__) if error else (None, None, None)))
        if error is not None and self._directory is not None:
            self._directory.free()


def _precision(args: Any, model: Any) -> str:
    """In which responses are scored: of the weights, or of FSDP's mixed precision."""
    if args.bf16 and is_sharded(model):
        return "bf16"
    dtype = unwrapped(model).dtype
    return {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}.get(dtype, str(dtype))


def _check_model(model: Any) -> None:
    found = type(model).__name__
    if any(weight.is_meta for weight in model.parameters()):
        raise ModelError(f"Weights of the {found} are on the meta device; probes need a model that is loaded.")
    if model.config.is_encoder_decoder or (model.get_output_embeddings() is None and not is_reward_model(model)):
        raise ModelError(f"Found a {found}, expected a causal language model or a reward model.")


def _directory(final: Path, step: int) -> RunDirectory:
    partial = partial_path(final)
    if step and partial.is_dir():
        return RunDirectory.reopen(final)
    if partial.is_dir() and any(partial.iterdir()):
        raise RunDirectoryError(
            f"{partial} holds what an earlier training measured. Resume that one by "
            "trainer.train(resume_from_checkpoint=True), choose another directory, or delete it."
        )
    return RunDirectory.create(final)


class _Curves(Observer):
    def __init__(self, log: Callable[[Mapping[str, float], int], None]):
        self._log, self._charts = log, Charts()

    def probes_scored(self, probe_step: ProbeStep, scores: Sequence[ProbeScore]) -> None:
        self._log(self._charts.points(probe_step, scores), probe_step.step)


def _trackers(args: Any) -> dict[str, Callable[[], Observer]]:
    """Where the trainer reports to, as far as it is known how to add curves: the open run of wandb, TensorBoard."""

    def wandb() -> Observer:
        import wandb

        def log(values: Mapping[str, float], step: int) -> None:
            if wandb.run is not None:
                wandb.run.log({**values, "train/global_step": step})

        return _Curves(log)

    def tensorboard() -> Observer:
        from torch.utils.tensorboard import SummaryWriter

        runs = sorted(Path(args.output_dir, "runs").glob("*/"), key=lambda path: path.stat().st_mtime)
        writer = SummaryWriter(os.environ.get("TENSORBOARD_LOGGING_DIR") or str(runs[-1] if runs else args.output_dir))

        def log(values: Mapping[str, float], step: int) -> None:
            for name, value in values.items():
                writer.add_scalar(name, value, step)
            writer.flush()

        return _Curves(log)

    makers = {"wandb": wandb, "tensorboard": tensorboard}
    return {name: make for name, make in makers.items() if name in args.report_to}


def _stage_info(args: Any) -> StageInfo:
    kinds = [kind.__name__ for kind in type(args).__mro__]
    rate = float(args.learning_rate)
    if pairwise := next((PAIRWISE[kind] for kind in kinds if kind in PAIRWISE), None):
        losses = args.loss_type if pairwise == "dpo" else None
        loss = losses[0] if isinstance(losses, list) and len(losses) == 1 else losses
        algorithm = LOSSES_OF_DPO.get(loss, loss) if isinstance(loss, str) else pairwise
        return StageInfo(algorithm, algorithm, "pairwise", ("chosen", "rejected"), "base", rate)
    if kinds[0] in SUPERVISED:
        return StageInfo("sft", SUPERVISED[kinds[0]], "pointwise", ("chosen",), "base", rate)
    name = kinds[0].removesuffix("Config").lower()
    return StageInfo(name, name, "pointwise", (), "base", rate)
