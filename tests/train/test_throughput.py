"""Use of a device: operations over time, as a share of a known peak."""

from dataclasses import replace

import pytest

from everframe.train.throughput import PEAK_TFLOPS, Throughput, forwards, stream_flops
from tests.nets import TINY
from tests.train.toy import CONFIG


def test_steps_are_worth_a_training_pass_and_their_share_of_own_passes() -> None:
    config = replace(CONFIG, own_share=0.5, own_start=0.3)
    assert [forwards(f, p, config) for f, p in ((8, 0.2), (8, 0.6), (1, 0.6))] == [3, 3.5, 3]


@pytest.mark.parametrize("device", ["cpu", "NVIDIA H200"])
def test_the_rate_is_that_since_the_last_reading(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([10.0, 14.0, 15.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    throughput = Throughput(spec=TINY, device=device, since_s=next(clock))
    for _ in range(8):
        throughput.add(5, 2, (32, 32), 3.5)
    values = throughput.read()
    tflops = 2 * 5 * 3.5 * stream_flops(TINY, 2, (32, 32)) / 1e12
    assert values["tflops"] == pytest.approx(tflops)
    assert throughput.read()["tflops"] == 0
    if device in PEAK_TFLOPS:
        assert values["mfu"] == pytest.approx(tflops / 989)
    else:
        assert "mfu" not in values
