"""Memory cgroups of boxes: found or done without, reached, and gone when their boxes are."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentgym import sandbox_check
from agentgym.errors import DataError, UsageError
from agentgym.sandbox import Limit, Sandbox, make_sandbox
from agentgym.sandboxes import cgroups, zygotes
from agentgym.sandboxes.bubblewrap import Bubblewrap
from agentgym.sandboxes.bubblewrap_command import Recipe
from agentgym.sandboxes.cgroup_places import V1, V2, Dialect, NoPlaceError, Place, find_place
from agentgym.sandboxes.cgroups import Cgroup, Cgroups, own_cgroups

MIB = 1 << 20


# Where there is a place.


@pytest.fixture
def process(tmp_path: Path) -> Callable[..., Path]:
    """Make the folder in /proc of a process in a cgroup, with a tree mounted in `tmp_path`."""

    def make(cgroup: str, *mounts: str) -> Path:
        folder = tmp_path / "proc"
        folder.mkdir()
        (folder / "cgroup").write_text(cgroup)
        (folder / "mountinfo").write_text("\n".join(mounts).replace("TREE", f"{tmp_path}/tree"))
        return folder

    return make


def tree(tmp_path: Path, *passing_on: str, below: str) -> Path:
    """Make a tree of cgroups down to one, some of which pass memory on, and return that one."""
    own = tmp_path / "tree" / below
    own.mkdir(parents=True)
    for folder in (own, *own.parents):
        name = str(folder.relative_to(tmp_path / "tree"))
        (folder / "cgroup.subtree_control").write_text(
            "cpu memory pids\n" if name in passing_on else "cpu\n"
        )
        (folder / "cgroup.procs").touch()
        if name == ".":
            return own
    raise AssertionError


V1_MOUNT = "35 31 0:32 / TREE rw,relatime shared:9 - cgroup cgroup rw,memory"
V2_MOUNT = "41 31 0:38 / TREE rw,relatime - cgroup2 cgroup2 rw,nsdelegate"
V2_SLICES = "0::/user.slice/app.slice/one.scope\n"


def test_in_v1_it_is_the_process_s_own_cgroup(process: Any, tmp_path: Path) -> None:
    (tmp_path / "tree/a/b").mkdir(parents=True)
    other = "34 31 0:31 / TREE rw - cgroup cgroup rw,cpu,cpuacct"
    found = find_place(process("3:cpu,cpuacct:/\n2:memory:/a/b\n0::/\n", other, V1_MOUNT, V2_MOUNT))
    assert found == Place(tmp_path / "tree/a/b", V1)
    assert str(found) == f"v1, in {tmp_path}/tree/a/b"


def test_in_v1_a_container_sees_its_own_part(process: Any, tmp_path: Path) -> None:
    (tmp_path / "tree/a b").mkdir(parents=True)
    mount = V1_MOUNT.replace(" / ", " /docker/12\\040ab ").replace("TREE", "TREE/a\\040b")
    assert find_place(process("2:memory:/docker/12 ab\n", mount)).folder == tmp_path / "tree/a b"


@pytest.mark.parametrize("path", ["/elsewhere", "/docker/../..", "/.."])
def test_in_v1_a_cgroup_that_is_not_shown_is_no_place(path: str, process: Any) -> None:
    mount = V1_MOUNT.replace(" / ", " /docker ")
    with pytest.raises(NoPlaceError, match=r"of type cgroup shows this process's cgroup /"):
        find_place(process(f"2:memory:{path}\n", mount))


def test_in_v1_it_has_to_be_writable(process: Any, tmp_path: Path) -> None:
    with pytest.raises(NoPlaceError, match="tree/gone can't be written to"):
        find_place(process("2:memory:/gone\n", V1_MOUNT))


def test_in_v2_it_is_the_nearest_cgroup_that_passes_memory_on(process: Any, tmp_path: Path) -> None:
    own = tree(tmp_path, ".", "user.slice", below="user.slice/app.slice/one.scope")
    found = find_place(process(V2_SLICES, V2_MOUNT))
    assert found == Place(own.parents[1], V2)


def test_in_v2_none_may_pass_it_on(process: Any, tmp_path: Path) -> None:
    tree(tmp_path, below="user.slice/app.slice/one.scope")
    with pytest.raises(NoPlaceError, match="passes the memory controller on to its children"):
        find_place(process(V2_SLICES, V2_MOUNT))


def test_in_v2_who_may_not_write_is_told_how_to_get_a_place(
    process: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path, "user.slice/app.slice", below="user.slice/app.slice/one.scope")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(NoPlaceError, match=r"app.slice can't be written to; .*systemd-run --user"):
        find_place(process(V2_SLICES, V2_MOUNT))


def test_a_kernel_may_have_no_memory_controller(process: Any) -> None:
    with pytest.raises(NoPlaceError, match="the kernel has no memory controller"):
        find_place(process("1:cpu:/\n"))


def test_what_can_t_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(NoPlaceError, match="nowhere/cgroup can't be read: No such file"):
        find_place(tmp_path / "nowhere")


# What is done there, with a folder that behaves as the kernel's do.


@pytest.fixture(params=[V1, V2], ids=["v1", "v2"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    dialect: Dialect = request.param
    files = {"cgroup.procs", "tasks", dialect.limit, dialect.swap, dialect.events}
    mkdir, rmdir = os.mkdir, os.rmdir

    def make(path: str, *rest: Any) -> None:
        mkdir(path, *rest)
        for name in files:
            (Path(path) / name).touch()

    def remove(path: str) -> None:
        if (Path(path) / "cgroup.procs").read_text():
            raise OSError(errno.EBUSY, "Device or resource busy", path)
        for file in Path(path).iterdir():
            file.unlink()
        rmdir(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "mkdir", make)
        patched.setattr(os, "rmdir", remove)
        yield Place(tmp_path, dialect)


def settled(folder: Path, expected: set[str]) -> bool:
    """Whether a folder soon has these folders in it and no others."""
    deadline = time.monotonic() + 5
    while True:
        names = {entry.name for entry in folder.iterdir() if entry.is_dir()}
        if names == expected or time.monotonic() >= deadline:
            return names == expected
        time.sleep(0.01)


def test_a_cgroup_is_limited_and_counts_kills(place: Place) -> None:
    made = Cgroups(place).make()
    folder = Path(made.path)
    made.limit(64 * MIB)
    assert (folder / place.dialect.limit).read_text() == str(64 * MIB)
    # v1 counts memory and swap together, v2 the swap by itself.
    swap = {1: str(64 * MIB), 2: "0"}[place.dialect.version]
    assert (folder / place.dialect.swap).read_text() == swap
    assert made.kills() == 0
    (folder / place.dialect.events).write_text("oom 5\noom_kill 3\noom_group_kill 0\n")
    assert made.kills() == 3
    entrance = made.entrance()
    os.write(entrance, b"0")
    os.close(entrance)
    name = {1: "tasks", 2: "cgroup.procs"}[place.dialect.version]
    assert (folder / name).read_text() == "0"


def test_a_kernel_that_counts_no_swap_limits_memory(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os.path, "exists", lambda path: False)
    made = Cgroups(place).make()
    made.limit(64 * MIB)
    assert (Path(made.path) / place.dialect.limit).read_text() == str(64 * MIB)
    assert (Path(made.path) / place.dialect.swap).read_text() == ""


def test_a_cgroup_is_removed_once_its_processes_are_gone(place: Place) -> None:
    maker = Cgroups(place)
    kept, left, forgotten = maker.make(), maker.make(), maker.make()
    processes = Path(left.path) / "cgroup.procs"
    processes.write_text("17\n")
    left.close()
    left.close()
    del forgotten
    assert settled(place.folder, {Path(kept.path).name, Path(left.path).name})
    processes.write_text("")
    assert settled(place.folder, {Path(kept.path).name})
    assert left.kills() == 0
    maker.close()
    assert settled(place.folder, set())


def test_what_does_not_end_is_tried_again_with_the_next(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "_LINGER_ROUNDS", 1)
    maker = Cgroups(place)
    stuck = maker.make()
    processes = Path(stuck.path) / "cgroup.procs"
    processes.write_text("17\n")
    stuck.close()
    deadline = time.monotonic() + 5
    while maker._remover is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert maker._remover is None
    processes.write_text("")
    maker.make().close()
    assert settled(place.folder, set())


def test_what_ended_processes_left_behind_is_removed_and_nothing_else(place: Place) -> None:
    maker = Cgroups(place)
    mine = maker.make()
    namespace = os.stat("/proc/self/ns/pid").st_ino
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    staying = {
        Path(mine.path).name,
        f"agentgym-{namespace + 1}-{ended.pid}-1-0",
        f"agentgym-{namespace}-{ended.pid}-1",
        "somebody-else-s",
    }
    # A number that is another process's by now, and one that is nobody's.
    leaving = {f"agentgym-{namespace}-{os.getpid()}-1-0", f"agentgym-{namespace}-{ended.pid}-1-7"}
    for name in staying | leaving:
        (place.folder / name).mkdir(exist_ok=True)
        (place.folder / name / "cgroup.procs").touch()
    Cgroups(place)
    assert settled(place.folder, staying)


def test_a_place_that_refuses_is_none(tmp_path: Path) -> None:
    # An ordinary folder has no file for the limit in it.
    with pytest.raises(NoPlaceError, match=r"memory.max: No such file"):
        Cgroups(Place(tmp_path, V2))
    assert not list(tmp_path.iterdir())


# And for real.


LIMITS: dict[str, Any] = {"memory_mb": 64, "disk_mb": 16, "wall_seconds": 20, "keep": 0}


@pytest.fixture
def box() -> Iterator[Sandbox]:
    """A box with a cgroup, of 144 MiB in all."""
    try:
        own_cgroups()
    except NoPlaceError as fault:
        pytest.skip(str(fault))
    with make_sandbox(**LIMITS) as box:
        yield box


def test_root_has_a_place_in_v1() -> None:
    controllers = [line.split(":")[1] for line in Path("/proc/self/cgroup").read_text().split()]
    if os.geteuid() != 0 or "memory" not in controllers:
        pytest.skip("for root on a machine with the memory controller of v1")
    assert own_cgroups().place.dialect is V1


TOGETHER = """
import os, signal
open("filled", "wb").write(bytes({written} << 20))
for _ in range({processes}):
    if os.fork() == 0:
        kept = bytearray({each} << 20)
        signal.pause()
if any(os.WIFSIGNALED(os.wait()[1]) for _ in range({processes})):
    {then}
"""
KILL = "os.kill(os.getpid(), signal.SIGKILL)"


@pytest.mark.integration
@pytest.mark.parametrize("stateful", [False, True])
@pytest.mark.parametrize(
    ("written", "processes", "each"), [(0, 6, 40), (15, 4, 36)], ids=["memory", "files as well"]
)
def test_processes_together_have_the_box_s_memory_and_no_more(
    box: Sandbox, stateful: bool, written: int, processes: int, each: int
) -> None:
    code = TOGETHER.format(written=written, processes=processes, each=each, then=KILL)
    with make_sandbox(**LIMITS, stateful=stateful) as together:
        result = together.exec(code)
        assert (result.exit_code, result.limit) == (-9, Limit.MEMORY)
        assert result.state_lost is stateful
        assert len(together.get("filled")) == written * MIB
        assert together.exec("print(1)").stdout == "1\n"


@pytest.mark.integration
def test_whose_child_was_killed_and_fails_for_it_ran_into_the_limit(box: Sandbox) -> None:
    code = TOGETHER.format(written=0, processes=6, each=40, then="raise SystemExit(3)")
    result = box.exec(code)
    assert (result.exit_code, result.limit) == (3, Limit.MEMORY)
    # What the last program ran into is none of the next one's.
    result = box.exec("raise SystemExit(4)")
    assert (result.exit_code, result.limit) == (4, None)
    code = TOGETHER.format(written=0, processes=6, each=40, then="print('never mind')")
    assert box.exec(code).ok


@pytest.mark.integration
def test_who_is_killed_otherwise_ran_into_no_limit(box: Sandbox) -> None:
    result = box.exec(KILL.join(["import os, signal\n", ""]))
    assert (result.exit_code, result.limit) == (-9, None)


@pytest.mark.integration
def test_a_launcher_that_is_made_to_run_out_of_memory_is_no_fault_of_the_sandbox(
    box: Sandbox,
) -> None:
    # Each of them is smaller than the launcher.
    one = "(exec dd if=/dev/zero of=/dev/null bs=7M) & "
    script = "echo 0 > /proc/$$/oom_score_adj; " + one * 28 + "wait"
    box.put("kept", "")
    result = box.exec(["sh", "-c", script])
    assert (result.exit_code, result.limit) == (-9, Limit.MEMORY)
    assert "begins again without its files" in result.stderr
    with pytest.raises(DataError):
        box.get("kept")
    # It is as limited as it was.
    code = TOGETHER.format(written=0, processes=6, each=40, then=KILL)
    assert box.exec(code).limit is Limit.MEMORY
    assert box.exec("print(1)").stdout == "1\n"
    box.close()
    with pytest.raises(UsageError):
        box.exec("1")


@pytest.mark.integration
def test_what_the_host_puts_into_a_full_box_ends_nothing(box: Sandbox) -> None:
    with make_sandbox(memory_mb=32, disk_mb=64, stateful=True) as full:
        full.exec("kept = bytearray(8 << 20)")
        full.put("large", bytes(60 * MIB))
        assert full.exec("len(kept)").value == str(8 * MIB)
        assert len(full.get("large", most_bytes=64 * MIB)) == 60 * MIB


def cgroup(box: Sandbox) -> Cgroup:
    assert isinstance(box, Bubblewrap)
    assert box._fork is not None
    assert box._fork.cgroup is not None
    return box._fork.cgroup


def processes(of: Cgroup) -> list[int]:
    return [int(pid) for pid in (Path(of.path) / "cgroup.procs").read_text().split()]


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def launcher(of: Cgroup) -> int:
    """Return the process that all others of a cgroup come from, as soon as it is there."""
    deadline = time.monotonic() + 5
    while not (pids := processes(of)) and time.monotonic() < deadline:
        time.sleep(0.01)
    (first,) = (pid for pid in pids if parent(pid) not in pids)
    return first


@pytest.mark.integration
def test_the_launcher_is_in_it_and_programs_see_nothing_of_it(box: Sandbox) -> None:
    assert launcher(cgroup(box))
    paths = box.exec("print(open('/proc/self/cgroup').read())").stdout.split()
    assert paths
    assert {line.rpartition(":")[2] for line in paths} == {"/"}
    assert box.exec("print(open('/proc/self/oom_score_adj').read())").stdout.strip() == "1000"


def gone(path: str) -> bool:
    deadline = time.monotonic() + 5
    while os.path.exists(path) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not os.path.exists(path)


@pytest.mark.integration
def test_a_closed_box_leaves_no_cgroup(box: Sandbox) -> None:
    paths = [cgroup(box).path]
    for _ in range(5):
        with make_sandbox(**LIMITS) as other:
            paths.append(cgroup(other).path)
            other.exec("import subprocess; subprocess.Popen(['sleep', '60'])")
    box.close()
    assert all(map(gone, paths))
    with pytest.raises(DataError):
        make_sandbox(files={"/proc/no": "x"})
    # Nothing but what the boxes to spare and those that are kept are in.
    running = zygotes._running.values()
    kept = [fork.cgroup for zygote in running for fork in zygote.idle.members]
    wanted = [Path(c.path).name for c in (*kept, *(z._spare_cgroup for z in running)) if c]
    assert settled(own_cgroups().place.folder, _but_ours().union(wanted))


def _but_ours() -> set[str]:
    maker = own_cgroups()
    entries = [entry for entry in maker.place.folder.iterdir() if entry.is_dir()]
    return {entry.name for entry in entries if not entry.name.startswith(maker._name)}


def test_a_spare_box_that_dies_is_replaced_by_one_that_is_limited(box: Sandbox) -> None:
    zygote = zygotes.zygote(Recipe(None, "/usr/bin/python3", ()))
    for _ in range(2):
        spare = zygote._spare_cgroup
        assert spare is not None
        keeper = parent(launcher(spare))
        os.kill(keeper, signal.SIGKILL)
        assert not _lives(keeper)
        with make_sandbox(**LIMITS) as other:
            assert launcher(cgroup(other))
            assert other.exec("print(1)").stdout == "1\n"
        assert gone(spare.path)


def _lives(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline:
        time.sleep(0.01)
    return os.path.exists(f"/proc/{pid}")


LEFT = """
import os, sys
from agentgym.sandbox import make_sandbox
boxes = [make_sandbox() for _ in range(3)]
print(os.path.dirname(boxes[0]._fork.cgroup.path), flush=True)
{ending}
"""


def left(ending: str) -> set[str]:
    """Return the cgroups that a process left which had boxes and ended in some way."""
    command = [sys.executable, "-c", LEFT.format(ending=ending)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = process.stdout.readline().strip()
        process.wait(60)
        assert folder
        return {name for name in os.listdir(folder) if f"-{process.pid}-" in name}


@pytest.mark.integration
def test_a_process_that_exits_leaves_no_cgroup(box: Sandbox) -> None:
    assert left("") == set()
    assert left("pid = os.fork()\nif pid: os.waitpid(pid, 0)") == set()


@pytest.mark.integration
def test_what_a_killed_process_leaves_the_next_one_removes(box: Sandbox) -> None:
    found = left("os.kill(os.getpid(), 9)")
    assert len(found) == 4  # one is the spare box's
    assert left("") == set()
    assert not found & set(os.listdir(own_cgroups().place.folder))


@pytest.mark.integration
def test_where_there_can_be_none_boxes_go_without_and_say_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cgroups, "_found", "nobody gave us any")
    monkeypatch.setattr(zygotes, "_running", {})
    with make_sandbox(**LIMITS) as box:
        assert isinstance(box, Bubblewrap)
        assert box._fork is not None
        assert box._fork.cgroup is None
        assert box.exec("print(1)").stdout == "1\n"
        assert box.exec(f"import os, signal\n{KILL}").limit is None
        assert box.notes == (
            "Boxes have no memory cgroup, so memory_mb is of each process: nobody gave us any.",
        )
    with make_sandbox(**LIMITS) as box:  # the spare one
        assert box.exec("print(2)").stdout == "2\n"
    zygotes._running.popitem()[1].close()


@pytest.mark.integration
def test_where_the_kernel_keeps_processes_out_boxes_go_without(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Writing to this device fails for everybody.
    monkeypatch.setattr(Cgroup, "entrance", lambda _: os.open("/dev/full", os.O_WRONLY))
    monkeypatch.setattr(zygotes, "_running", {})
    monkeypatch.setattr(cgroups, "_found", own_cgroups())
    for said in ("1\n", "2\n"):
        with make_sandbox(**LIMITS) as other:
            assert other.exec(f"print({said.strip()})").stdout == said
            assert "keeps a sandbox's processes out of theirs" in other.notes[0]
            assert "No space left on device" in other.notes[0]
    zygotes._running.popitem()[1].close()


@pytest.mark.integration
def test_the_doctor_says_whether_boxes_have_one(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rules in ("RULES", "ISOLATION_RULES"):
        monkeypatch.setattr(sandbox_check, rules, {})
    report = sandbox_check.check_sandbox("bubblewrap")
    place = own_cgroups().place
    assert f"Each box has a memory cgroup ({place}).\n" in str(report)
