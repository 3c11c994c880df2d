"""Images in prompts: as many placeholders as there are cells, at the right positions."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from vision_cases import MODELS, PROCESSOR, screen, tiny_model, vision_template

from agentgym.chat_template import ChatTemplate
from agentgym.conversation import Conversation, tokenized
from agentgym.errors import DataError, EnvError, UsageError
from agentgym.images import patches_of, place, placeholders, rope_positions
from agentgym.models.tiny import CHAT_TEMPLATE, IMAGE, VISION_CHAT_TEMPLATE, tiny_tokenizer
from agentgym.policy import Completion
from agentgym.stop_reason import StopReason
from agentgym.trajectory import Trajectory, Turn

TEMPLATE = vision_template()
PAD = TEMPLATE.image_pad


def answer(text: str) -> Completion:
    ids = TEMPLATE.answer(text)
    return Completion(text, ids, np.zeros(len(ids), np.float32))


def shown(ids: Any) -> str:
    return TEMPLATE.decode(ids, special=True)


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 300), st.integers(2, 300))
def test_an_image_takes_as_many_placeholders_as_its_grid_has_cells(height: int, width: int):
    image = screen(0, height, width)
    grid = patches_of(PROCESSOR, [image]).grids_N3[0]
    assert placeholders(PROCESSOR, image) == grid.prod() // PROCESSOR.merge_size**2


def test_a_screenshot_is_a_few_dozen_tokens():
    assert placeholders(PROCESSOR, screen(0, 160, 160)) == 25


@pytest.mark.parametrize("name", MODELS)
def test_positions_are_the_models_own(name: str):
    model = tiny_model(name)
    images = [screen(0, 64, 96), screen(1, 96, 32)]
    text = [7] * 5
    lengths = [placeholders(PROCESSOR, image) for image in images]
    ids = np.array(text + [PAD] * lengths[0] + text + [PAD] * lengths[1] + text[:2])
    placed = place(np.flatnonzero(ids == PAD), images, PROCESSOR)
    grids_N3 = patches_of(PROCESSOR, images).grids_N3
    ours_3T = rope_positions(len(ids), placed, grids_N3, PROCESSOR.merge_size)
    theirs_31T, _ = model.model.get_rope_index(
        torch.tensor(ids)[None],
        mm_token_type_ids=torch.tensor(ids == PAD, dtype=torch.int)[None],
        image_grid_thw=torch.tensor(grids_N3),
    )
    np.testing.assert_array_equal(ours_3T, theirs_31T[:, 0].numpy())


def test_text_alone_counts_up():
    positions_3T = rope_positions(4, [], np.zeros((0, 3), np.int64), 2)
    assert positions_3T.tolist() == [[0, 1, 2, 3]] * 3


def test_placeholders_that_do_not_match_the_images_are_refused():
    standing = np.arange(3, 9)
    images = [screen(0, 64, 96)]  # 6 cells
    assert place(standing, images, PROCESSOR)[0].start == 3
    with pytest.raises(DataError, match="6 placeholder ids stand for 0 images"):
        place(standing, [], PROCESSOR)
    with pytest.raises(DataError, match="1 images, which take 4"):
        place(standing, [screen(0, 64, 64)], PROCESSOR)
    with pytest.raises(DataError, match="stand apart"):
        place(np.array([3, 4, 5, 7, 8, 9]), images, PROCESSOR)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((3, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((1, 400, 3), np.uint8),
        "screen.png",
    ],
)
def test_what_is_no_image_is_refused(image: Any):
    with pytest.raises(EnvError, match="image"):
        Conversation(TEMPLATE).observe("Look.", image)


# Conversations.


def test_ids_are_a_prefix_of_the_next_turns():
    assert TEMPLATE.append_only
    conversation = Conversation(TEMPLATE, "Find it.")
    images = [screen(0, 64, 96), None, screen(1, 64, 64)]
    before = np.zeros(0, np.int32)
    for k, image in enumerate(images):
        prompt = conversation.observe(f"room {k}", image)
        assert prompt.ids is not None
        assert prompt.ids[: len(before)].tolist() == before.tolist()
        conversation.complete(answer("go"))
        before = conversation.ids
    whole = TEMPLATE.prompt(conversation.messages[:-1])  # what the template writes of them at once
    assert before[: len(whole)].tolist() == whole.tolist()
    assert shown(before).startswith(
        "<|system|>Find it.<|user|><|vision_start|>" + 6 * IMAGE + "<|vision_end|>room 0"
    )


def test_a_prompt_says_where_its_images_stand_whatever_was_sampled():
    conversation = Conversation(TEMPLATE)
    first, second = screen(0, 64, 96), screen(1, 64, 64)
    conversation.observe("a", first)
    wrote = np.array([PAD, PAD, TEMPLATE.end_of_turn], np.int32)
    turn = conversation.complete(Completion("", wrote, np.zeros(3, np.float32)))
    assert turn.image is first
    prompt = conversation.observe("b", second)
    assert prompt.ids is not None
    assert [image.pixels is of for image, of in zip(prompt.images, [first, second], strict=True)]
    assert [image.length for image in prompt.images] == [6, 4]
    for image in prompt.images:
        run = prompt.ids[image.start : image.start + image.length]
        assert (run == PAD).all()
        assert shown(prompt.ids[image.start - 1 : image.start]) == "<|vision_start|>"
    assert conversation.messages[0]["image"] is first


def test_a_placeholder_in_a_text_is_defused():
    prompt = Conversation(TEMPLATE).observe(f"A page says {IMAGE}.", screen(0, 64, 64))
    assert prompt.ids is not None
    assert np.count_nonzero(prompt.ids == PAD) == 4


def test_a_model_that_does_not_see_is_shown_the_text_alone():
    blind = ChatTemplate(tiny_tokenizer(["room"]))
    with_image, without = Conversation(blind), Conversation(blind)
    image = screen(0, 64, 64)
    seen = with_image.observe("room", image)
    assert np.array_equal(seen.ids, without.observe("room").ids)
    assert seen.images == ()
    assert with_image.messages[0]["image"] is image


def test_a_template_that_rewrites_shows_every_image_again():
    tokenizer = tiny_tokenizer(["room"], vision=True)
    tokenizer.chat_template = VISION_CHAT_TEMPLATE.replace(
        "<|assistant|>{{ message.content }}",
        "<|assistant|>{{ message.content.split('</think>')[-1] }}",
    )
    conversation = Conversation(ChatTemplate(tokenizer, image_processor=PROCESSOR))
    assert not conversation.append_only
    turns = []
    for image in (screen(0, 64, 96), None, screen(1, 64, 64)):
        conversation.observe("room", image)
        turns.append(conversation.complete(answer("look")))
    sequences = Trajectory("e", "t", StopReason.SUCCESS, turns).sequences()
    assert [len(sequence.images) for sequence in sequences] == [1, 1, 2]
    assert [np.count_nonzero(s.ids == PAD) for s in sequences] == [6, 6, 10]


def test_demonstrations_are_written_with_what_was_seen():
    images = [screen(0, 64, 96), screen(1, 64, 64)]
    turns = [Turn("room", "look", image=image) for image in images]
    played = Trajectory("e", "t", StopReason.TURN_LIMIT, turns, final_observation="room")
    played.final_image = screen(2, 32, 32)
    written = tokenized(played, TEMPLATE)
    (sequence,) = written.sequences()
    assert [image is of for image, of in zip(sequence.images, images, strict=True)] == [True] * 2
    assert np.count_nonzero(sequence.ids == PAD) == 10
    assert np.count_nonzero(written.context_ids(2) == PAD) == 11
    assert len(written.context_images(2)) == 3


@pytest.mark.parametrize(
    ("part", "message"),
    [("", "writes 0 placeholders"), ("<|image_pad|><|image_pad|>", "writes 2 placeholders")],
)
def test_a_template_without_a_place_for_images_is_refused(part: str, message: str):
    tokenizer = tiny_tokenizer(["room"], vision=True)
    tokenizer.chat_template = VISION_CHAT_TEMPLATE.replace("<|image_pad|>", part)
    with pytest.raises(UsageError, match=message):
        ChatTemplate(tokenizer, image_processor=PROCESSOR)


def test_a_template_that_reads_no_parts_is_refused():
    tokenizer = tiny_tokenizer(["room"], vision=True)
    tokenizer.chat_template = CHAT_TEMPLATE.replace("message.content", "message.content + ''")
    with pytest.raises(UsageError, match="can't render an image"):
        ChatTemplate(tokenizer, image_processor=PROCESSOR)


def test_what_can_not_show_images_is_refused():
    with pytest.raises(UsageError, match="tokenizer has no"):
        ChatTemplate(tiny_tokenizer(["room"]), image_processor=PROCESSOR)
    tokenizer = tiny_tokenizer(["room"], vision=True)
    with pytest.raises(UsageError, match="observation_role='assistant'"):
        ChatTemplate(tokenizer, image_processor=PROCESSOR, observation_role="assistant")
