"""The number of cores: the affinity mask and the quotas of control groups, of both versions, nested and broken."""

import os

import pytest

from vaebench.core import cores
from vaebench.core.cores import available_cores, cpu_quota

MASK = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def tree(folder, own_groups, files):
    """A folder of control groups, and the file that lists the groups of the process."""
    for name, text in files.items():
        path = folder / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "own").write_text(own_groups)
    return folder / "cgroup", folder / "own"


V2, V1 = "0::/job/step\n", "5:memory:/job\n4:cpu,cpuacct:/job/step\n1:name=systemd:/\n"


@pytest.mark.parametrize(
    ("own_groups", "files", "quota"),
    [
        (V2, {"job/step/cpu.max": "250000 100000\n"}, 2.5),
        (V2, {"job/step/cpu.max": "max 100000\n", "job/cpu.max": "max 100000\n"}, None),
        (V2, {"job/step/cpu.max": "400000 100000\n", "job/cpu.max": "150000 50000\n"}, 3.0),
        (V2, {"job/step/cpu.max": "100000 100000\n", "job/cpu.max": "600000 100000\n"}, 1.0),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 0.5),
        ("0::/../../host\n", {"cpu.max": "200000 100000\n"}, 2.0),
        (V2, {"job/other/cpu.max": "100000 100000\n"}, None),
        (V2, {"job/cpu.max": "nonsense\n"}, None),
        (V1, {f"cpu,cpuacct/job/step/cpu.cfs_{n}_us": v for n, v in (("quota", "300000"), ("period", "100000"))}, 3.0),
        (V1, {f"cpu/job/cpu.cfs_{n}_us": v for n, v in (("quota", "150000"), ("period", "100000"))}, 1.5),
        (V1, {f"cpu/cpu.cfs_{n}_us": v for n, v in (("quota", "-1"), ("period", "100000"))}, None),
        (V1, {f"memory/job/cpu.cfs_{n}_us": v for n, v in (("quota", "100000"), ("period", "100000"))}, None),
        ("", {}, None),
    ],
)
def test_the_smallest_quota_on_the_way_up_counts(tmp_path, own_groups, files, quota):
    assert cpu_quota(*tree(tmp_path, own_groups, files)) == quota


def test_without_control_groups_there_is_no_quota(tmp_path):
    assert cpu_quota(tmp_path, tmp_path / "none") is None


@pytest.mark.parametrize(("quota", "count"), [(None, MASK), (0.5, 1), (1.9, 1), (1000.0, MASK)])
def test_a_quota_is_rounded_down_and_is_never_below_one_core_or_above_the_mask(monkeypatch, quota, count):
    monkeypatch.setattr(cores, "cpu_quota", lambda: quota)
    assert available_cores() == count
