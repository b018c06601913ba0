"""Labels from CSV files and class folders, and error messages."""

import pytest

from vaebench.core.errors import VaebenchError
from vaebench.data.label_files import read_labels

NAMES = ("a.png", "sub/b.png", "sub/c.jpg", "other/c.jpg", "x,y.png", "two\nlines.png")


def labels(tmp_path, text, names=NAMES, root="photos"):
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_labels([path], names, root)


@pytest.mark.parametrize(
    "text",
    [
        "a.png,cat\nsub/b.png,dog\n",
        "file,label\na.png,cat\nsub/b.png,dog\n",
        "\ufefffile,label\r\na.png,cat\r\nsub/b.png,dog\r\n",
        "a.png;cat\nsub/b.png;dog",
        "a.png\tcat\nsub/b.png\tdog\n\n",
        "rank,file,guess,label\n1,a.png,dog,cat\n2,sub/b.png,cat,dog\n",
        "./a.png,cat\nphotos/sub/b.png,dog\n",
        "/home/me/photos/a.png,cat\nsub\\b.png,dog\n",
        ' a.png , cat \n"sub/b.png","dog"\n',
        "a.png,cat\nb.png,dog\na.png,cat\n",
    ],
)
def test_two_labels_in_many_forms(tmp_path, text):
    assert labels(tmp_path, text) == ({"a.png": "cat", "sub/b.png": "dog"}, ())


def test_names_with_commas_and_newlines(tmp_path):
    result = labels(tmp_path, '"x,y.png",cat\n"two\nlines.png","dog, small"\n')
    assert result.labels == {"x,y.png": "cat", "two\nlines.png": "dog, small"}


def test_later_files_add_labels(tmp_path):
    (tmp_path / "one.csv").write_text("a.png,cat\n")
    (tmp_path / "two.csv").write_text("rank,file,label\n1,sub/b.png,dog\n")
    paths = [tmp_path / "one.csv", tmp_path / "two.csv"]
    assert read_labels(paths, NAMES, "photos").labels == {"a.png": "cat", "sub/b.png": "dog"}


def test_unknown_files_are_warned_about(tmp_path):
    result = labels(tmp_path, "a.png,cat\n" + "".join(f"gone{i}.png,dog\n" for i in range(5)))
    assert result.labels == {"a.png": "cat"}
    assert result.warnings == ("5 labelled files are not among the images read: gone0.png, gone1.png, gone2.png, ...",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.png,cat\na.png,dog\n", "line 2: a.png has the labels 'cat' and 'dog'; expected one label per image"),
        ("c.jpg,cat\n", "labels none of the 6 images; expected lines such as a.png,some class, not c.jpg"),
        ("gone.png,cat\n", "labels none of the 6 images"),
        ("a.png,\n", "labels none of the 6 images"),
        ("", "labels none of the 6 images"),
        ("a.png\n", "line 1: 'a.png' has 1 column; expected a file and its label"),
        (
            "size,colour,weight\na.png,cat,3\n",
            "the columns 'colour', 'weight' could all be the label; expected one: call",
        ),
        ('"a.png,cat\n', "expected a CSV of file and label"),
    ],
)
def test_errors_are_one_sentence(tmp_path, text, message):
    with pytest.raises(VaebenchError, match=r"labels\.csv") as error:
        labels(tmp_path, text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(VaebenchError, match=r"gone.csv cannot be read \(No such file"):
        read_labels([tmp_path / "gone.csv"], NAMES, "photos")
