"""The tiny base: what it is pretrained on, that steps and seed decide it, and that its cache can be trusted."""

from __future__ import annotations

import logging
import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from ldyn.models import loading
from ldyn.models.base import BaseModel, fingerprint
from ldyn.models.loading import cache_key, load_base
from ldyn.models.settings import TinyConfig
from ldyn.models.tiny import build_tiny_model, pack_documents, pretrain, shuffled_batches
from ldyn.models.tokenizers import build_tokenizer


@pytest.fixture
def tokenizer(corpus):
    return build_tokenizer("word", corpus, 2000)


def entry_of(cache: Path) -> Path:
    (entry,) = (directory for directory in (cache / "base").iterdir() if directory.is_dir())
    return entry


class TestPacking:
    def test_rows_start_with_a_document_and_hold_eos_between(self, tokenizer, corpus):
        rows = pack_documents(tokenizer, corpus, 40)
        human, eos = tokenizer.convert_tokens_to_ids("Human"), tokenizer.eos_token_id
        lengths = [len(ids) for ids in tokenizer(corpus)["input_ids"]]
        starts = rows[:, 0] == human
        assert rows.shape[1] == 40
        # Only the document with all words is longer than a row: only its pieces start with something else.
        [pieces] = [length // 40 for length in lengths if length >= 40]
        assert (~starts).sum() in (pieces, pieces + 1)  # it may begin within a row
        follows = [row[i + 1].item() for row in rows for i in range(39) if row[i] == eos]
        assert set(follows) == {human}

    def test_a_document_longer_than_a_row_goes_on_in_the_next(self, tokenizer):
        words = tokenizer(" Ada Ben Cara Dan Eva Finn Gina")["input_ids"]
        rows = pack_documents(tokenizer, [" Ada Ben Cara Dan Eva Finn Gina", " Hugo"], 4)
        assert rows.tolist() == [words[:4], [*words[4:], tokenizer.eos_token_id]]

    def test_every_row_once_in_each_pass(self):
        batches = shuffled_batches(torch.arange(10)[:, None], batch_size=5, seed=1)
        passes = [sorted(torch.cat([next(batches), next(batches)]).flatten().tolist()) for _ in range(3)]
        assert passes == [list(range(10))] * 3


@pytest.mark.parametrize("misfit", [{"heads": 3}, {"max_positions": 40}])
def test_dimensions_that_do_not_fit_are_refused(misfit, tiny_config):
    with pytest.raises(ValueError, match=r"hidden_size=32|max_positions=40"):
        replace(tiny_config, **misfit)


def test_pretraining_learns(tokenizer, corpus, tiny_config):
    config = replace(tiny_config, steps=60, learning_rate=1e-2)
    model = build_tiny_model(config, tokenizer, seed=0)
    assert pretrain(model, tokenizer, corpus, config, seed=0) < 0.6 * torch.tensor(float(len(tokenizer))).log()


def test_steps_and_seed_decide_the_weights_and_global_randomness_does_not(tokenizer, corpus, tiny_config):
    def made(seed: int, global_seed: int) -> str:
        torch.manual_seed(global_seed)
        model = build_tiny_model(tiny_config, tokenizer, seed)
        pretrain(model, tokenizer, corpus, tiny_config, seed)
        return fingerprint(model, tokenizer)

    assert made(1, global_seed=5) == made(1, global_seed=6)
    assert made(1, global_seed=5) != made(2, global_seed=5)


def test_the_fingerprint_covers_the_config(tokenizer, tiny_config):
    """Another base of the rotary embedding is another model, though every weight is the same."""
    model = build_tiny_model(tiny_config, tokenizer, 0)
    before = fingerprint(model, tokenizer)
    model.config._name_or_path = "elsewhere"
    assert fingerprint(model, tokenizer) == before
    model.config.rope_parameters = {**model.config.rope_parameters, "rope_theta": 20_000.0}
    assert fingerprint(model, tokenizer) != before


def test_saving_and_loading_gives_bit_identical_logits(tokenizer, corpus, tiny_config, tmp_path):
    """GPT-NeoX writes its head under another name than it reads it; a head lost on the way would be random."""
    model = build_tiny_model(tiny_config, tokenizer, 0)
    pretrain(model, tokenizer, corpus, tiny_config, 0)
    model.save_pretrained(tmp_path)
    ids = pack_documents(tokenizer, corpus, 20)[:3]
    with torch.no_grad():
        again = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
        assert torch.equal(again(ids).logits, model(ids).logits)
        assert torch.equal(again.lm_head.weight, model.lm_head.weight)


def load(config: TinyConfig, corpus: list[str], cache: Path, seed: int = 0) -> BaseModel:
    return load_base(config, corpus=corpus, seed=seed, cache_dir=cache)


class TestCache:
    def test_the_second_load_is_the_first_bit_by_bit(self, tiny_config, corpus, tmp_path):
        first, second = load(tiny_config, corpus, tmp_path), load(tiny_config, corpus, tmp_path)
        assert (first.from_cache, second.from_cache) == (False, True)
        assert first.fingerprint == second.fingerprint
        assert not first.model.training
        assert first.model.dtype == torch.float32
        assert second.tokenizer.get_vocab() == first.tokenizer.get_vocab()

    def test_the_key_covers_config_corpus_seed_and_recipe(self, tiny_config, corpus, monkeypatch):
        key = cache_key(tiny_config, corpus, 0)
        others = [
            cache_key(replace(tiny_config, steps=5), corpus, 0),
            cache_key(tiny_config, corpus[1:], 0),
            cache_key(tiny_config, corpus, 1),
        ]
        monkeypatch.setattr(loading, "RECIPE_VERSION", -1)
        others.append(cache_key(tiny_config, corpus, 0))
        assert len({key, *others}) == 5

    @pytest.mark.parametrize("harm", ["flip a bit", "remove a file", "spoil the checksums"])
    def test_damage_is_noticed_named_and_repaired(self, harm, tiny_config, corpus, tmp_path, caplog):
        first = load(tiny_config, corpus, tmp_path)
        entry = entry_of(tmp_path)
        weights = entry / "model.safetensors"
        if harm == "flip a bit":
            content = bytearray(weights.read_bytes())
            content[-1] ^= 1
            weights.write_bytes(content)
        elif harm == "remove a file":
            (entry / "tokenizer.json").unlink()
        else:
            (entry / "checksums.json").write_text("[1")
        with caplog.at_level(logging.WARNING):
            again = load(tiny_config, corpus, tmp_path)
        assert "is damaged" in caplog.text
        assert not again.from_cache
        assert again.fingerprint == first.fingerprint
        assert load(tiny_config, corpus, tmp_path).from_cache

    def test_what_an_interrupted_build_left_is_swept_away(self, tiny_config, corpus, tmp_path):
        leftover = tmp_path / "base" / f"{cache_key(tiny_config, corpus, 0)}.building"
        leftover.mkdir(parents=True)
        (leftover / "model.safetensors").write_text("half")
        assert not load(tiny_config, corpus, tmp_path).from_cache
        assert not leftover.exists()

    def test_two_processes_build_one_base_once(self, tiny_config, corpus, tmp_path):
        context = multiprocessing.get_context("fork")
        results = context.Queue()
        workers = [context.Process(target=_load_and_tell, args=(results, tiny_config, corpus, tmp_path)) for _ in "ab"]
        for worker in workers:
            worker.start()
        told = [results.get(timeout=60) for _ in workers]
        for worker in workers:
            worker.join()
        assert sorted(from_cache for from_cache, _ in told) == [False, True]
        assert len({print_ for _, print_ in told}) == 1


def _load_and_tell(results, config, corpus, cache) -> None:
    base = load(config, corpus, cache)
    results.put((base.from_cache, base.fingerprint))
