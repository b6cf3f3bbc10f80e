import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksem_contract.blocks import SUNSPEC
from ksem_contract.message_fields import SunspecError
from ksem_contract.registers import RegisterRange
from ksem_contract.sunspec import SunspecChain, SunspecModel


def _chain(*models: tuple[int, int], end: tuple[int, int] | None = (0xFFFF, 0)) -> dict[int, int]:
    words = [0x5375, 0x6E53]
    for did, length in models:
        words += [did, length, *([7] * length)]
    words += end or ()
    return dict(enumerate(words, start=40000))


def _walk(meter: dict[int, int]) -> SunspecChain:
    chain = SunspecChain()
    for _ in range(300):
        if chain.wanted is None:
            return chain
        chain.take([meter.get(address, 0) for address in range(chain.wanted.start, chain.wanted.stop)])
    pytest.fail("the walk does not end")


@pytest.mark.parametrize(("common_length", "meter_at"), [(65, 40069), (66, 40070)])
def test_the_meter_s_model_is_found_before_and_since_firmware_2_6_0(common_length: int, meter_at: int) -> None:
    chain = _walk(_chain((1, common_length), (203, 105)))
    assert chain.models == (SunspecModel(1, 40002, common_length), SunspecModel(203, meter_at, 105))
    # The end's two words belong to what is served: a reader that walks needs them.
    assert chain.found == RegisterRange(40000, meter_at + 2 + 105 + 2 - 40000)


def test_the_walk_reads_heads_only() -> None:
    chain = SunspecChain()
    requested = []
    meter = _chain((1, 66), (203, 105))
    while chain.wanted is not None:
        requested.append(str(chain.wanted))
        chain.take([meter[address] for address in range(chain.wanted.start, chain.wanted.stop)])
    assert requested == ["40000-40003", "40070-40071", "40177-40178"]


def test_a_device_without_the_marker_is_refused() -> None:
    with pytest.raises(SunspecError, match="40000 holds 0000 0000"):
        _walk({})


def test_a_model_of_length_zero_is_refused_since_the_walk_would_stand_still() -> None:
    with pytest.raises(SunspecError, match="model 203 at 40070 has the length 0"):
        _walk(_chain((1, 66), (203, 0)))


def test_a_chain_without_a_model_is_refused() -> None:
    with pytest.raises(SunspecError, match="without a model"):
        _walk(_chain())


def test_an_end_with_a_length_is_refused() -> None:
    with pytest.raises(SunspecError, match="length 3, not 0"):
        _walk(_chain((1, 66), end=(0xFFFF, 3)))


def test_a_chain_may_fill_the_block_to_its_last_word_but_not_go_beyond() -> None:
    room = SUNSPEC.count - 2 - 2 - 2
    assert _walk(_chain((1, room))).found == SUNSPEC
    with pytest.raises(SunspecError, match="leads beyond 40200"):
        _walk(_chain((1, room + 1)))


def test_words_that_were_not_asked_for_are_refused() -> None:
    chain = SunspecChain()
    with pytest.raises(ValueError, match="3 words for 40000-40003"):
        chain.take([0x5375, 0x6E53, 1])


def test_after_an_error_nothing_more_is_wanted() -> None:
    chain = SunspecChain()
    with pytest.raises(SunspecError):
        chain.take([0, 0, 0, 0])
    assert chain.wanted is None
    assert chain.found is None


@given(st.lists(st.integers(0, 0xFFFF), min_size=201, max_size=201))
def test_any_words_end_the_walk_inside_the_block(words: list[int]) -> None:
    chain = SunspecChain()
    meter = dict(enumerate([0x5375, 0x6E53, *words[2:]], start=40000))
    try:
        while (wanted := chain.wanted) is not None:
            assert SUNSPEC.covers(wanted)
            chain.take([meter[address] for address in range(wanted.start, wanted.stop)])
    except SunspecError:
        assert chain.found is None
    else:
        assert chain.found is not None
        assert SUNSPEC.covers(chain.found)
