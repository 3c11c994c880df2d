import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym.envs.alfworld.engine.names import demangle


def test_numbers_count_down_the_sorted_ids():
    assert demangle(
        [
            "apple_bar__plus_01_dot_59",
            "apple_bar__minus_00_dot_40",
            "sink_bar_1_bar_sinkbasin",
            "sink_bar_1",
            "agent1",
        ]
    ) == {
        "apple_bar__minus_00_dot_40": "apple 2",
        "apple_bar__plus_01_dot_59": "apple 1",
        "sink_bar_1": "sink 1",
        "sink_bar_1_bar_sinkbasin": "sinkbasin 1",
        "agent1": "agent1 ",
    }


@pytest.mark.integration
@settings(max_examples=300, deadline=None)
@given(
    st.sets(
        st.lists(
            st.sampled_from(
                ("apple", "sink", "basin", "_bar_", "_minus_", "_plus_", "_dot_", "_comma_", "1")
            ),
            min_size=1,
            max_size=6,
        ).map("".join)
    )
)
def test_names_are_alfworlds(ids: set[str]):
    from textworld.generator.game import EntityInfo

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", list(sys.argv))
        patch.setenv("ALFWORLD_DATA", "/nonexistent")
        from alfworld.agents.utils.misc import Demangler

        try:
            peer = Demangler(game_infos={id_: EntityInfo(id_, "object") for id_ in ids})
        except KeyError:
            return  # an id that ALFWorld can't name
    assert demangle(ids) == {id_: peer.demangle_alfred_name(id_) for id_ in ids}
