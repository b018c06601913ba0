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


def silent(what, share):
    pass


def files_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_file_is_fetched_once_with_progress(served, cache):
    served.files["a.gz"] = PACKED
    told = []
    assert download.read_gzip(FILE, lambda *news: told.append(news)) == BODY
    assert download.read_gzip(FILE, silent) == BODY
    assert len(served.asked) == 1
    assert files_in(cache) == ["a.gz"]
    assert told[-1] == ("downloading mnist/a.gz", 1.0)
    assert all(0 <= share <= 1 for _, share in told)


def test_an_error_of_the_server_is_tried_again(served):
    served.files["a.gz"], served.failures = PACKED, 2
    assert download.read_gzip(FILE, silent) == BODY
    assert len(served.asked) == 3


def test_the_second_mirror_serves_what_the_first_has_not(served, monkeypatch):
    served.files["a.gz"] = PACKED
    mirrors = (served.address + "gone/", served.address)
    monkeypatch.setattr(download, "MIRRORS", {"mnist": mirrors})
    assert download.read_gzip(FILE, silent) == BODY
    assert [name for name, _ in served.asked] == ["gone/a.gz", "a.gz"]


def test_a_wrong_checksum_is_refused_and_nothing_kept(served, cache):
    served.files["a.gz"] = gzip.compress(b"another")
    with pytest.raises(VaebenchError, match=r"a\.gz could not be downloaded from http://\S+ \(wrong checksum\)"):
        download.read_gzip(FILE, silent)
    assert files_in(cache) == []


def test_a_body_cut_short_is_refused_and_nothing_kept(served, cache):
    served.files["a.gz"], served.sent_share = PACKED, 0.5
    with pytest.raises(VaebenchError, match=r"\(cut short\)"):
        download.read_gzip(FILE, silent)
    assert files_in(cache) == []


def test_a_missing_file_is_not_asked_for_again_and_again(served):
    with pytest.raises(VaebenchError, match="HTTP 404"):
        download.read_gzip(FILE, silent)
    assert len(served.asked) == 1


def test_without_network_the_sentence_says_what_where_and_what_to_do(cache, monkeypatch):
    monkeypatch.setattr(download, "MIRRORS", {"mnist": ("http://127.0.0.1:1/", "http://127.0.0.1:2/")})
    with pytest.raises(VaebenchError) as caught:
        download.read_gzip(FILE, silent)
    said = str(caught.value)
    for part in ("a.gz", "http://127.0.0.1:1/a.gz (cannot be reached)", "http://127.0.0.1:2/a.gz"):
        assert part in said
    assert "$VAEBENCH_DATA/mnist/a.gz" in said
    assert "\n" not in said


def test_a_given_folder_comes_before_the_cache_and_may_be_packed_anew(served, cache, tmp_path, monkeypatch):
    given = tmp_path / "given" / "mnist" / "a.gz"
    given.parent.mkdir(parents=True)
    given.write_bytes(gzip.compress(BODY, compresslevel=1))
    (cache / "mnist").mkdir(parents=True)
    (cache / "mnist" / "a.gz").write_bytes(b"not looked at")
    monkeypatch.setenv("VAEBENCH_DATA", str(tmp_path / "given"))
    assert download.read_gzip(FILE, silent) == BODY
    assert served.asked == []


def test_a_file_that_the_given_folder_lacks_is_fetched(served, cache, tmp_path, monkeypatch):
    (tmp_path / "given").mkdir()
    monkeypatch.setenv("VAEBENCH_DATA", str(tmp_path / "given"))
    served.files["a.gz"] = PACKED
    assert download.read_gzip(FILE, silent) == BODY
    assert files_in(cache) == ["a.gz"]


def test_a_given_folder_that_is_none_is_named(cache, monkeypatch):
    monkeypatch.setenv("VAEBENCH_DATA", "/nowhere/at/all")
    with pytest.raises(VaebenchError, match="VAEBENCH_DATA is '/nowhere/at/all'"):
        download.read_gzip(FILE, silent)


@pytest.mark.parametrize(
    ("bytes_", "said"),
    [
        (gzip.compress(b"another", mtime=0), f"has md5 {md5(b'another')}"),
        (PACKED[:-40], "unpacked"),
        (b"no gz", "unpacked"),
    ],
    ids=["another file", "cut short", "not gzip"],
)
def test_a_damaged_local_file_is_named_and_how_to_mend_it(cache, bytes_, said):
    kept = cache / "mnist" / "a.gz"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(bytes_)
    with pytest.raises(VaebenchError, match=said) as caught:
        download.read_gzip(FILE, silent)
    assert str(kept) in str(caught.value)
    assert "delete it and run again" in str(caught.value)


def test_the_md5_of_a_whole_file_is_checked(cache):
    kept = cache / "mnist" / "a.gz"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(PACKED)
    assert download.fetch(FILE, silent) == kept
    kept.write_bytes(PACKED + b"x")
    with pytest.raises(VaebenchError, match=md5(PACKED + b"x")):
        download.fetch(FILE, silent)


def test_a_cache_that_cannot_be_written_is_named(served, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(download, "cache_folder", lambda: tmp_path / "file")
    served.files["a.gz"] = PACKED
    with pytest.raises(VaebenchError, match=r"file/mnist/a\.gz cannot be written"):
        download.read_gzip(FILE, silent)


def test_a_download_killed_half_way_leaves_nothing_under_the_final_name(served, cache):
    served.files["a.gz"], served.pause = os.urandom(1 << 20), 0.05
    program = (
        "from pathlib import Path\n"
        "from vaebench.data import download\n"
        f"download.cache_folder = lambda: Path({str(cache)!r})\n"
        f"download.MIRRORS = {{'mnist': ({served.address!r},)}}\n"
        f"file = download.Official('mnist', 'a.gz', {md5(served.files['a.gz'])!r})\n"
        "print(download.fetch(file, lambda what, share: print(share, flush=True)))"
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
    assert download.fetch(again, silent).read_bytes() == served.files["a.gz"]


def test_checking_47_megabytes_is_cheap(cache):
    kept = cache / "mnist" / "big"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(bytes(47 << 20))
    before = time.perf_counter()
    download.fetch(Official("mnist", "big", md5(bytes(47 << 20))), silent)
    assert time.perf_counter() - before < 2
