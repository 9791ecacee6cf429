"""How far a run is by the progress bar that it prints."""

from __future__ import annotations

import pytest

from aml_jupyter.watching.progress_bar import Progress, progress_in


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "Epoch 3:  45%|████▌     | 45/100 [00:12<00:14,  3.7it/s]",
            Progress("Epoch 3 45/100", 0.45, 14),
        ),
        (
            " 12%|█▏        | 1.2k/10k [1:02:03<2 days, 1:00:00, 3it/s]",
            Progress("1.2k/10k", 0.12, 2 * 86400 + 3600),
        ),
        ("  0%|          | 0/5 [00:00<?, ?it/s]", Progress("0/5", 0.0, None)),
        (
            "\x1b[1m12/100\x1b[0m \x1b[32m━━━━\x1b[0m\x1b[37m━━\x1b[0m \x1b[1m3s\x1b[0m 40ms/step",
            Progress("12/100", 0.12, 3),
        ),
        (
            "12/100 [==>...........] - ETA: 1:03 - loss: 0.3",
            Progress("12/100", 0.12, 63),
        ),
        (
            "Training ━━━━━━━━━━╸           45% 0:00:12",
            Progress("Training", 0.45, 12),
        ),
        ("0it [00:00, ?it/s]", None),
        ("accuracy 45% of 3/4 in 00:12", None),
        ("101/100 ━━━━ 3s", None),
        ("", None),
    ],
)
def test_bars_are_understood_and_other_lines_are_not(line: str, expected: Progress | None) -> None:
    assert progress_in([line]) == expected


def test_the_newest_bar_counts() -> None:
    lines = [f"{n}%|█| {n}/100 [00:01<00:02, 1it/s]" for n in (10, 20)]
    found = progress_in([*lines, "and a line that is none"])
    assert found is not None
    assert found.done == 0.2


def test_a_real_bar_of_tqdm_is_understood() -> None:
    from tqdm import tqdm

    meter = tqdm.format_meter(n=30, total=120, elapsed=3.0, prefix="fit")
    assert progress_in([meter]) == Progress("fit 30/120", 0.25, 9)
