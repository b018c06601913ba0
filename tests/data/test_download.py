import gzip
import hashlib
import os
import signal
import subprocess
import sys
import time

import pytest

from vaebench.core.errors import VaebenchError
from vaebench.data import download
from vaebench.data.download import Official

BODY = bytes(range(256)) * 600
PACKED = gzip.compress(BODY, mtime=0)


def md5(data):
    return hashlib.md5(data).hexdigest()


FILE = Official("mnist", "a.gz", md5(PACKED), md5(BODY))


def files_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_file_is_fetched_once_with_progress(served, cache):
    served.files["a.gz"] = PACKED
    calls = []
    assert download.read_gzip(FILE, lambda *arguments: calls.append(arguments)) == BODY
    assert download.read_gzip(FILE) == BODY
    assert len(served.requests) == 1
    assert files_in(cache) == ["a.gz"]
    assert calls[-1] == ("downloading mnist/a.gz", 1.0)
    assert all(0 <= fraction <= 1 for _, fraction in calls)


def test_a_server_error_is_retried(served):
    served.files["a.gz"], served.failures = PACKED, 2
    assert download.read_gzip(FILE) == BODY
    assert len(served.requests) == 3


def test_the_second_mirror_is_used_if_the_first_lacks_the_file(served, monkeypatch):
    served.files["a.gz"] = PACKED
    mirrors = (served.address + "gone/", served.address)
    monkeypatch.setattr(download, "MIRRORS", {"mnist": mirrors})
    assert download.read_gzip(FILE) == BODY
    assert [name for name, _ in served.requests] == ["gone/a.gz", "a.gz"]


def test_a_wrong_checksum_is_refused_and_leaves_no_file(served, cache):
    served.files["a.gz"] = gzip.compress(b"another")
    with pytest.raises(VaebenchError, match=r"a\.gz could not be downloaded from http://\S+ \(wrong checksum\)"):
        download.read_gzip(FILE)
    assert files_in(cache) == []


def test_a_truncated_body_is_refused_and_leaves_no_file(served, cache):
    served.files["a.gz"], served.sent_fraction = PACKED, 0.5
    with pytest.raises(VaebenchError, match=r"\(truncated\)"):
        download.read_gzip(FILE)
    assert files_in(cache) == []


def test_a_missing_file_is_requested_once(served):
    with pytest.raises(VaebenchError, match="HTTP 404"):
        download.read_gzip(FILE)
    assert len(served.requests) == 1


def test_without_network_the_message_names_file_urls_and_remedy(cache, monkeypatch):
    monkeypatch.setattr(download, "MIRRORS", {"mnist": ("http://127.0.0.1:1/", "http://127.0.0.1:2/")})
    with pytest.raises(VaebenchError) as caught:
        download.read_gzip(FILE)
    message = str(caught.value)
    for part in ("a.gz", "http://127.0.0.1:1/a.gz (cannot be reached)", "http://127.0.0.1:2/a.gz"):
        assert part in message
    assert "$VAEBENCH_DATA/mnist/a.gz" in message
    assert "\n" not in message


def test_a_local_file_precedes_the_cache_and_may_be_recompressed(served, cache, tmp_path, monkeypatch):
    local = tmp_path / "local" / "mnist" / "a.gz"
    local.parent.mkdir(parents=True)
    local.write_bytes(gzip.compress(BODY, compresslevel=1))
    (cache / "mnist").mkdir(parents=True)
    (cache / "mnist" / "a.gz").write_bytes(b"unused")
    monkeypatch.setenv("VAEBENCH_DATA", str(tmp_path / "local"))
    assert download.read_gzip(FILE) == BODY
    assert served.requests == []


def test_a_file_missing_from_the_data_folder_is_downloaded(served, cache, tmp_path, monkeypatch):
    (tmp_path / "local").mkdir()
    monkeypatch.setenv("VAEBENCH_DATA", str(tmp_path / "local"))
    served.files["a.gz"] = PACKED
    assert download.read_gzip(FILE) == BODY
    assert files_in(cache) == ["a.gz"]


def test_an_invalid_data_folder_is_named(cache, monkeypatch):
    monkeypatch.setenv("VAEBENCH_DATA", "/nowhere/at/all")
    with pytest.raises(VaebenchError, match="VAEBENCH_DATA is '/nowhere/at/all'"):
        download.read_gzip(FILE)


@pytest.mark.parametrize(
    ("bytes_", "message"),
    [
        (gzip.compress(b"another", mtime=0), f"has md5 {md5(b'another')}"),
        (PACKED[:-40], "unpacked"),
        (b"no gz", "unpacked"),
    ],
    ids=["another file", "cut short", "not gzip"],
)
def test_a_damaged_local_file_is_named_with_the_remedy(cache, bytes_, message):
    file = cache / "mnist" / "a.gz"
    file.parent.mkdir(parents=True)
    file.write_bytes(bytes_)
    with pytest.raises(VaebenchError, match=message) as caught:
        download.read_gzip(FILE)
    assert str(file) in str(caught.value)
    assert "delete it and run again" in str(caught.value)


def test_fetch_checks_the_md5(cache):
    file = cache / "mnist" / "a.gz"
    file.parent.mkdir(parents=True)
    file.write_bytes(PACKED)
    assert download.fetch(FILE) == file
    file.write_bytes(PACKED + b"x")
    with pytest.raises(VaebenchError, match=md5(PACKED + b"x")):
        download.fetch(FILE)


def test_a_cache_that_cannot_be_written_is_named(served, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setattr(download, "cache_folder", lambda: tmp_path / "file")
    served.files["a.gz"] = PACKED
    with pytest.raises(VaebenchError, match=r"file/mnist/a\.gz cannot be written"):
        download.read_gzip(FILE)


def test_a_killed_download_leaves_no_file_of_the_final_name(served, cache):
    served.files["a.gz"], served.pause = os.urandom(1 << 20), 0.05
    program = (
        "from pathlib import Path\n"
        "from vaebench.data import download\n"
        f"download.cache_folder = lambda: Path({str(cache)!r})\n"
        f"download.MIRRORS = {{'mnist': ({served.address!r},)}}\n"
        f"file = download.Official('mnist', 'a.gz', {md5(served.files['a.gz'])!r})\n"
        "print(download.fetch(file, lambda task, fraction: print(fraction, flush=True)))"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    while float(child.stdout.readline()) < 0.2:
        pass
    child.send_signal(signal.SIGKILL)
    child.wait(10)
    child.stdout.close()
    assert not (cache / "mnist" / "a.gz").exists()
    served.pause = 0.0
    again = Official("mnist", "a.gz", md5(served.files["a.gz"]))
    assert download.fetch(again).read_bytes() == served.files["a.gz"]


def test_checking_47_megabytes_is_fast(cache):
    file = cache / "mnist" / "big"
    file.parent.mkdir(parents=True)
    file.write_bytes(bytes(47 << 20))
    before = time.perf_counter()
    download.fetch(Official("mnist", "big", md5(bytes(47 << 20))))
    assert time.perf_counter() - before < 2
