"""The tiny model is an ordinary Hugging Face folder; its tokenizer knows the world's words."""

from pathlib import Path

import numpy as np
import pytest
import torch
import visual_envs
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoImageProcessor,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
)

from agentgym.chat_template import ChatTemplate
from agentgym.cli import ExitCode, main
from agentgym.conversation import Conversation
from agentgym.errors import UsageError
from agentgym.images import patches_of
from agentgym.models.tiny import TinyModel, build_tiny, tiny_tokenizer
from agentgym.policy import Completion

TEXTS = [
    "You are in the middle of a room. Looking quickly around you, you see a bed 1, and a desk 1.",
    "Your task is to: find two pillow and put them in sofa.\n\nYou open the drawer 12.",
    "go to desk 1",
    "Nothing happens.",
]
TOKENIZER = tiny_tokenizer(TEXTS)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    return build_tiny(tmp_path_factory.mktemp("tiny"), TEXTS)


def test_it_loads_as_any_checkpoint_does(tiny: TinyModel, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = AutoModelForCausalLM.from_pretrained(tiny.folder)
    tokenizer = AutoTokenizer.from_pretrained(tiny.folder)
    assert sum(weight.numel() for weight in model.parameters()) == tiny.parameters
    assert 500_000 < tiny.parameters < 1_500_000
    assert len(tokenizer) == tiny.vocabulary == model.config.vocab_size
    assert tokenizer.encode(TEXTS[0]) == TOKENIZER.encode(TEXTS[0])
    assert tokenizer.decode(model.generation_config.eos_token_id) == "<|end|>"
    prompt = ChatTemplate(tokenizer).prompt([{"role": "user", "content": "Nothing happens."}])
    assert model(torch.tensor(prompt)[None]).logits.shape == (1, len(prompt), tiny.vocabulary)


def test_one_with_eyes_loads_as_any_checkpoint_does_and_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    built = build_tiny(tmp_path, TEXTS, vision=True)
    model = AutoModelForImageTextToText.from_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    processor = AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    assert len(tokenizer) == built.vocabulary == model.config.text_config.vocab_size
    assert tokenizer.decode(model.config.image_token_id) == "<|image_pad|>"
    image = np.zeros((160, 192, 3), np.uint8)
    message = {"role": "user", "content": "Nothing happens.", "image": image}
    template = ChatTemplate(tokenizer, image_processor=processor)
    assert template.append_only
    ids = torch.tensor(template.prompt([message]))[None]
    shown = ids == model.config.image_token_id
    assert shown.sum() == 5 * 6
    patches = patches_of(processor, [image])
    output = model(
        input_ids=ids,
        pixel_values=torch.tensor(patches.values_LD),
        image_grid_thw=torch.tensor(patches.grids_N3),
        mm_token_type_ids=shown.int(),
    )
    assert output.logits.shape == (1, ids.shape[1], built.vocabulary)


def test_the_command_builds_one_with_eyes(tmp_path: Path):
    words = ["model", "tiny", str(tmp_path / "m"), "--env", visual_envs.COLOURS, "--vision"]
    assert main([*words, "--episodes", "3", "--hidden", "32", "--layers", "1"]) is ExitCode.OK
    config = AutoModelForImageTextToText.from_pretrained(tmp_path / "m").config
    assert (config.model_type, config.text_config.hidden_size) == ("qwen3_vl", 32)


def test_a_word_is_a_token():
    assert TOKENIZER.tokenize("go to desk 1") == ["go", "Ġto", "Ġdesk", "Ġ1"]
    assert len(TOKENIZER.encode("You open the drawer 12.")) == 6


def test_digits_can_be_tokens_of_their_own():
    digits = tiny_tokenizer(TEXTS, digits=True)
    assert digits.tokenize(" the drawer 12") == ["Ġthe", "Ġdrawer", "Ġ", "1", "2"]
    assert digits.tokenize("a desk 987")[-3:] == ["9", "8", "7"]


def test_an_unknown_word_is_cut_into_few_pieces():
    assert TOKENIZER.tokenize(" desks") == ["Ġdesk", "s"]


@settings(deadline=None)
@given(text=st.text())
def test_every_text_survives(text: str):
    ids = TOKENIZER.encode(text, add_special_tokens=False)
    assert TOKENIZER.decode(ids, clean_up_tokenization_spaces=False) == text


def test_its_template_appends_and_costs_two_tokens_a_turn():
    template = ChatTemplate(TOKENIZER)
    assert template.append_only
    conversation = Conversation(template, "Find it.")
    first = conversation.observe("A room.")
    assert template.decode(first.new_ids, special=True) == (
        "<|system|>Find it.<|user|>A room.<|assistant|>"
    )
    conversation.complete(Completion("go to desk 1", template.answer("go to desk 1")))
    second = conversation.observe("Nothing happens.")
    assert template.decode(second.new_ids, special=True) == "Nothing happens.<|assistant|>"


def test_weights_follow_the_seed_and_leave_the_callers_generator_alone(tmp_path: Path):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    for name, seed in [("a", 1), ("b", 1), ("c", 2)]:
        build_tiny(tmp_path / name, TEXTS, hidden=16, layers=1, seed=seed)
    assert torch.equal(torch.rand(1), expected)
    weights = {
        name: torch.cat(
            [
                weight.flatten()
                for weight in AutoModelForCausalLM.from_pretrained(tmp_path / name).parameters()
            ]
        )
        for name in "abc"
    }
    assert torch.equal(weights["a"], weights["b"])
    assert not torch.equal(weights["a"], weights["c"])


def test_sizes_that_do_not_fit_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="split evenly"):
        build_tiny(tmp_path, TEXTS, hidden=100, heads=8)
    with pytest.raises(UsageError, match="multiple of 4"):
        build_tiny(tmp_path, TEXTS, hidden=24, heads=4, vision=True)
    with pytest.raises(UsageError, match="needs texts"):
        build_tiny(tmp_path, [])
    with pytest.raises(UsageError, match="vocab > 261"):
        build_tiny(tmp_path, TEXTS, vocab=200)
