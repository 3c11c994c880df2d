"""metrics.jsonl: valid JSON whatever is logged, and equal to an unbroken run's after a resume."""

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym.errors import DataError, UsageError
from agentgym.metrics import MetricsLog, read_metrics


class Recorder:
    """A tracker that keeps what it is given, and may fail."""

    def __init__(self, fails=False):
        self.lines, self.closed, self.fails = [], 0, fails

    def log(self, step, values):
        if self.fails:
            raise ConnectionError("down")
        self.lines.append((step, dict(values)))

    def close(self):
        self.closed += 1


def train(path, steps, resume_step=None):
    """Log what a run logs: two lines a step, the second one an evaluation."""
    with MetricsLog(path, resume_step=resume_step) as log:
        for step in steps:
            log.log(step, {"loss/policy": 1 / (step + 3), "rollout/episodes": step})
            log.log(step, {"eval/success": step / 7})


def test_lines_come_back(tmp_path):
    path = tmp_path / "new" / "metrics.jsonl"
    train(path, range(2))
    assert read_metrics(path) == [
        {"step": 0, "loss/policy": 1 / 3, "rollout/episodes": 0},
        {"step": 0, "eval/success": 0.0},
        {"step": 1, "loss/policy": 1 / 4, "rollout/episodes": 1},
        {"step": 1, "eval/success": 1 / 7},
    ]


@given(values=st.dictionaries(st.from_regex(r"[a-z]+/[a-z]+", fullmatch=True), st.floats()))
@settings(max_examples=30, deadline=None)
def test_every_line_is_valid_json_and_what_is_not_finite_is_counted(tmp_path_factory, values):
    def refuse(constant):
        raise AssertionError(constant)

    path = tmp_path_factory.mktemp("run") / "metrics.jsonl"
    tracker = Recorder()
    with MetricsLog(path, trackers=[tracker]) as log:
        log.log(3, values)
    (line,) = path.read_text().splitlines()
    row = json.loads(line, parse_constant=refuse)
    lost = [name for name, value in values.items() if value - value != 0]
    assert row.get("metrics/nonfinite", 0) == len(lost)
    assert all(row[name] is None for name in lost)
    assert all(row[name] == value for name, value in values.items() if name not in lost)
    ((step, given_values),) = tracker.lines
    assert step == 3
    assert None not in given_values.values()
    assert not given_values.keys() & set(lost)


def test_tensors_and_numpy_are_numbers(tmp_path):
    import numpy as np

    class Scalar:
        def __float__(self):
            return 0.5

    with MetricsLog(tmp_path / "m.jsonl") as log:
        log.log(0, {"a/b": np.float32(0.25), "a/c": np.int64(3), "a/d": Scalar(), "a/e": True})
    assert read_metrics(tmp_path / "m.jsonl") == [
        {"step": 0, "a/b": 0.25, "a/c": 3.0, "a/d": 0.5, "a/e": 1}
    ]


@pytest.mark.parametrize("cut", [0, 1, 40, 90])
@pytest.mark.parametrize("checkpoint", [1, 4])
def test_a_resumed_run_is_equal_to_an_unbroken_one(tmp_path, checkpoint, cut):
    unbroken, broken = tmp_path / "unbroken.jsonl", tmp_path / "broken.jsonl"
    train(unbroken, range(8))
    train(broken, range(checkpoint + 2))
    # The kill may have fallen into a line.
    os.truncate(broken, broken.stat().st_size - min(cut, 60))
    train(broken, range(checkpoint + 1, 8), resume_step=checkpoint)
    assert broken.read_bytes() == unbroken.read_bytes()


def test_resuming_before_anything_was_logged(tmp_path):
    train(tmp_path / "m.jsonl", range(2), resume_step=-1)
    train(tmp_path / "m.jsonl", range(2), resume_step=-1)
    assert [row["step"] for row in read_metrics(tmp_path / "m.jsonl")] == [0, 0, 1, 1]


def test_a_file_with_metrics_is_not_begun_again(tmp_path):
    train(tmp_path / "m.jsonl", range(2))
    with pytest.raises(UsageError, match="already has metrics; resume the run"):
        MetricsLog(tmp_path / "m.jsonl")
    assert len(read_metrics(tmp_path / "m.jsonl")) == 4


def test_what_cannot_be_logged_is_said(tmp_path):
    log = MetricsLog(tmp_path / "m.jsonl")
    log.log(3, {"a/b": 1})
    with pytest.raises(UsageError, match="Metrics of step 2 come after those of step 3"):
        log.log(2, {"a/b": 1})
    with pytest.raises(UsageError, match="Metric a/b must be a number, got 'x'"):
        log.log(3, {"a/b": "x"})
    with pytest.raises(UsageError, match="can't be named 'step'"):
        log.log(3, {"step": 1})
    log.close()
    log.close()
    with pytest.raises(UsageError, match="is closed"):
        log.log(4, {})
    assert len(read_metrics(log.path)) == 1


def test_one_process_at_a_time(tmp_path):
    with MetricsLog(tmp_path / "m.jsonl"):
        code = (
            "import sys; from agentgym.metrics import MetricsLog\n"
            "try: MetricsLog(sys.argv[1])\n"
            "except Exception as fault: print(fault)"
        )
        other = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "m.jsonl"],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert "Another process writes to" in other.stdout


def test_a_tracker_that_fails_does_not_end_the_run(tmp_path, caplog):
    good, bad = Recorder(), Recorder(fails=True)
    with MetricsLog(tmp_path / "m.jsonl", trackers=[bad, good]) as log:
        log.log(0, {"a/b": 1.0})
        log.log(1, {"a/b": 2.0})
    assert good.lines == [(0, {"a/b": 1.0}), (1, {"a/b": 2.0})]
    assert good.closed == 1
    assert len(read_metrics(tmp_path / "m.jsonl")) == 2
    assert caplog.text.count("Recorder failed and is left out") == 1


def test_what_is_no_metrics_file_is_said(tmp_path):
    with pytest.raises(DataError, match="can't be read"):
        read_metrics(tmp_path / "none.jsonl")
    (tmp_path / "m.jsonl").write_text('{"step": 1}\n[3]\n{"step": 2}\n')
    with pytest.raises(DataError, match="has a line that is no metrics"):
        read_metrics(tmp_path / "m.jsonl")
    (tmp_path / "torn.jsonl").write_text('{"step": 1}\n{"st')
    assert read_metrics(tmp_path / "torn.jsonl") == [{"step": 1}]
