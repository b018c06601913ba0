"""Tables of labels as spreadsheets and labelling tools write them."""

import csv
import json
import subprocess
import sys
import unicodedata

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaebench.core.errors import VaebenchError
from vaebench.data.label_files import read_labels

NAMES = ("a.png", "b.png", "c.png")
CAT_DOG = {"a.png": "cat", "b.png": "dog"}


def read(tmp_path, content, names=NAMES, root="photos", file="labels.csv"):
    path = tmp_path / file
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_labels([path], names, root)


def write(tmp_path, rows, encoding="utf-8", names=NAMES, **options):
    path = tmp_path / "labels.csv"
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file, **options).writerows(rows)
    return read_labels([path], names, "photos")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_unicode_encodings_are_read_without_a_warning(tmp_path, encoding):
    result = write(tmp_path, [["file", "label"], ["a.png", "hütte"], ["b.png", "犬"]], encoding)
    assert result == ({"a.png": "hütte", "b.png": "犬"}, ())


def test_windows_1252_keeps_classes_apart_and_is_said(tmp_path):
    result = write(tmp_path, [["file", "label"], ["a.png", "hütte"], ["b.png", "hätte"]], "cp1252", delimiter=";")
    assert result.labels == {"a.png": "hütte", "b.png": "hätte"}
    assert result.warnings == ("labels.csv is read as Windows-1252, as it is not UTF-8",)


def test_file_names_that_are_not_unicode_keep_their_bytes(tmp_path):
    result = read(tmp_path, b"file,label\n\xff.png,cat\nb.png,h\xc3\xbctte\n", ("\udcff.png", "b.png"))
    assert result == ({"\udcff.png": "cat", "b.png": "hütte"}, ())


@pytest.mark.parametrize(
    "content",
    [
        "sep=;\nfile;label\na.png;cat\nb.png;dog\n",
        '"sep=,"\r\nfile,label\r\na.png,cat\r\nb.png,dog\r\n',
        "file,label\ra.png,cat\rb.png,dog\r",
        "file|label\na.png|cat\nb.png|dog\n",
        '"file";"label"\n"a.png";"cat"\n"b.png";"dog"\n',
        'a.png, "cat"\nb.png, "dog"\n',
        "cat,a.png\ndog,b.png\n",
        "a,cat\na,cat\nb,dog\n",
    ],
)
def test_forms_of_csv(tmp_path, content):
    assert read(tmp_path, content).labels == CAT_DOG


def test_quoted_cells_hold_separators_and_line_ends(tmp_path):
    result = write(tmp_path, [["file", "label"], ["a.png", "big, red"], ["b.png", 'a "b";\nc']])
    assert result.labels == {"a.png": "big, red", "b.png": 'a "b"; c'}


@pytest.mark.parametrize(
    "value",
    [
        [{"file": "a.png", "label": "cat"}, {"file": "b.png", "label": "dog"}, {"file": "c.png", "label": None}],
        {"a.png": "cat", "b.png": "dog"},
        {"a.png": {"label": "cat"}, "b.png": {"label": "dog"}},
        {"labels": [["a.png", "cat"], ["b.png", "dog"]]},
        {"cat": ["a.png"], "dog": ["b.png"]},
        {"file": ["a.png", "b.png"], "label": ["cat", "dog"]},
        {"file": {"0": "a.png", "1": "b.png"}, "label": {"0": "cat", "1": "dog"}},
        {
            "images": [{"id": 5, "file_name": "a.png"}, {"id": 7, "file_name": "b.png"}],
            "annotations": [{"image_id": 7, "category_id": 2}, {"image_id": 5, "category_id": 1}],
            "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        },
        [
            {
                "id": i,
                "data": {"image": f"/data/upload/1/3f2a1b4{i}-{file}"},
                "annotations": [{"result": [{"value": {"choices": [label]}, "type": "choices"}]}],
            }
            for i, (file, label) in enumerate(CAT_DOG.items())
        ],
    ],
)
def test_forms_of_json(tmp_path, value):
    assert read(tmp_path, json.dumps(value), file="labels.json").labels == CAT_DOG


def test_json_lines(tmp_path):
    lines = "\n".join(json.dumps({"file": file, "label": label}) for file, label in CAT_DOG.items())
    assert read(tmp_path, lines, file="labels.jsonl") == (CAT_DOG, ())


def test_tables_of_pandas(tmp_path):
    table = pd.DataFrame({"filename": ["a.png", "b.png", "c.png"], "label": [1, 2, None]})
    for index in (True, False):
        table.to_csv(tmp_path / "labels.csv", index=index)
        result = read_labels([tmp_path / "labels.csv"], NAMES, "photos")
        assert result.labels == {"a.png": "1", "b.png": "2"}
        assert "1 row has no label (empty 1)" in result.warnings
        assert "labels such as 1.0 are read as 1, as all are whole numbers" in result.warnings
    table.to_json(tmp_path / "labels.json")
    assert read_labels([tmp_path / "labels.json"], NAMES, "photos").labels == {"a.png": "1", "b.png": "2"}


@pytest.mark.parametrize(
    ("content", "file", "message"),
    [
        (b"PK\x03\x04", "labels.csv", "is a spreadsheet; expected a CSV of file and label: save the sheet as CSV"),
        (b"", "labels.xlsx", "is a spreadsheet"),
        (b"\x00\x01", "labels.csv", "contains zero bytes"),
        (b"a.png,\x81\n", "labels.csv", "is neither UTF-8 nor Windows-1252"),
        (b"{", "labels.json", "is not valid JSON"),
        (b"3", "labels.json", "has an unknown form; expected a list of records"),
        (b'{"images": 1, "annotations": 2, "categories": 3}', "labels.json", "has an unknown form"),
        (b'[{"file": "a.png", "label": ["cat", "dog"]}]', "labels.json", "are several labels"),
        (b"file,label\na.png,big, red\n", "labels.csv", "line 2: 'a.png,big, red' has 3 columns; expected a file"),
        (b"a.png,cat,3\nb.png,dog,4\n", "labels.csv", "could all be the label; expected one: add a header"),
        (b"image,x,y\na.png,1,2\nb.png,2,3\n", "labels.csv", "the columns 'x', 'y' could all be the label"),
        (b"image,type,species\na.png,1,2\nb.png,1,3\n", "labels.csv", "the columns 'type', 'species' could all be"),
        (b"image,cat,dog\na.png,1,0\nb.png,1,1\n", "labels.csv", "line 3: the columns 'cat', 'dog' are all 1"),
        (b"a.png,c\x07t\n", "labels.csv", "line 1: the label 'c\\x07t' has an unprintable character"),
    ],
)
def test_unusable_tables_are_refused_in_one_sentence(tmp_path, content, file, message):
    with pytest.raises(VaebenchError) as error:
        read(tmp_path, content, file=file)
    assert message in str(error.value)
    assert file in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "unread"),
    [
        ("id,file_path,label\n0,a.png,cat\n1,b.png,dog\n", "'id'"),
        (",name,file,label\n0,cat,a.png,cat\n1,dog,b.png,dog\n", "'', 'name'"),
        ("image,x,y,type\na.png,1,2,cat\nb.png,3,4,dog\n", "'x', 'y'"),
        ("image,class_id,class_name\na.png,0,cat\nb.png,1,dog\n", "'class_id'"),
        ("image,class,label\na.png,0,cat\nb.png,0,dog\n", "'class'"),
        ("Image Path,Size,Class\na.png,0,cat\nb.png,0,dog\n", "'Size'"),
        ("annotation_id,annotator,choice,id,image\n1,1,cat,3,a.png\n2,1,dog,4,b.png\n", "'annotation_id', "),
    ],
)
def test_columns_are_known_by_name_and_by_what_they_hold(tmp_path, content, unread):
    result = read(tmp_path, content)
    assert result.labels == CAT_DOG
    assert len(result.warnings) == 1
    assert f", nothing from {unread}" in result.warnings[0]


def test_id_is_the_file_where_its_values_are_images(tmp_path):
    assert read(tmp_path, "id,label\na,cat\nb,dog\n").labels == CAT_DOG


def test_one_column_a_class(tmp_path):
    result = read(tmp_path, "image,cat,dog\na,1.0,0.0\nb,0.0,1.0\nc,0.0,0.0\n")
    assert result.labels == CAT_DOG
    assert "labels.csv: the labels are the names of the columns 'cat', 'dog'" in result.warnings


def test_a_header_of_unknown_names_is_said(tmp_path):
    result = read(tmp_path, "photo,what it is\na.png,cat\nb.png,dog\n")
    assert result == (CAT_DOG, ("labels.csv: the first line, 'photo', 'what it is', is read as a header",))


def test_a_missing_file_in_the_first_line_is_not_a_header(tmp_path):
    result = read(tmp_path, "gone,cat\na,cat\nb,dog\n")
    assert result.labels == CAT_DOG
    assert "1 labelled file is not among the images read: gone" in result.warnings


def test_values_that_mean_no_label_are_counted(tmp_path):
    values = ["", "unlabelled", "nan", "None", "-1", "?", "null", "N/A"]
    names = [f"{i}.png" for i in range(10)]
    rows = [["file", "label"], ["8.png", "unknown"], ["9.png", "none"], *zip(names, values, strict=False)]
    result = write(tmp_path, rows, names=names)
    assert result.labels == {"8.png": "unknown", "9.png": "none"}
    each = "empty 1, unlabelled 1, nan 1, None 1, -1 1, ? 1, null 1, N/A 1"
    assert result.warnings == (f"8 rows have no label ({each})",)


def test_minus_one_beside_one_is_a_class(tmp_path):
    result = read(tmp_path, "a.png,1\nb.png,-1\n")
    assert result == ({"a.png": "1", "b.png": "-1"}, ("-1 is a class, as 1 is the only other label",))


@pytest.mark.parametrize("other", ["Boot", "BOOT", "bo\ufb00t"])
def test_spellings_of_a_class_are_kept_apart_and_named(tmp_path, other):
    first = "bofft" if "\ufb00" in other else "boot"
    result = write(tmp_path, [["a.png", first], ["b.png", other], ["c.png", first]])
    assert set(result.labels.values()) == {first, other}
    assert "look like one class written in 2 ways; they are kept apart" in result.warnings[0]
    assert f"{first!r} (2)" in result.warnings[0]


def test_spaces_hyphens_and_underscores_are_spellings(tmp_path):
    result = write(tmp_path, [["a.png", "ankle boot"], ["b.png", "ankle_boot"], ["c.png", "ankle  boot"]])
    assert len(set(result.labels.values())) == 3
    assert "written in 3 ways" in result.warnings[0]


def test_unicode_forms_of_a_class_are_the_same_class(tmp_path):
    result = write(tmp_path, [["a.png", "hu\u0308tte"], ["b.png", "h\u00fctte"], ["c.png", "New\u00a0York\u200b"]])
    assert result == ({"a.png": "h\u00fctte", "b.png": "h\u00fctte", "c.png": "New York"}, ())


MY_CAT, MUTZE = "my cat.jpg", "m\u00fctze.png"
IMAGES = ("cat/01.png", "dog/02.png", MY_CAT, MUTZE)


@pytest.mark.parametrize(
    ("entry", "name", "said"),
    [
        ("photos/cat/01.png", "cat/01.png", ""),
        ("C:\\me\\photos\\cat\\01.png", "cat/01.png", ""),
        ("./cat/./01.png", "cat/01.png", ""),
        ("01.png", "cat/01.png", ""),
        ("cat/01", "cat/01.png", "1 without a suffix (cat/01 is cat/01.png)"),
        ("01", "cat/01.png", "1 without a suffix"),
        ("Cat/01.PNG", "cat/01.png", "1 in another case"),
        ("my%20cat.jpg", MY_CAT, "1 with characters encoded as in an address"),
        (unicodedata.normalize("NFD", MUTZE), MUTZE, "1 with accents in another Unicode form"),
        ("3f2a1b4c-01.png", "cat/01.png", "1 with the prefix of a labelling tool"),
        ("upload/12/3f2a1b4c-01.png", "cat/01.png", "1 with the prefix of a labelling tool"),
        ("/data/local-files/?d=cat/01.png", "cat/01.png", ""),
        ("/data/local-files/?d=my%20cat.jpg", MY_CAT, ""),
        ("s3://bucket/data/cat/01.png", "cat/01.png", "1 in a folder that is not above the images"),
        ("/old/place/cat/01.png", "cat/01.png", "1 in a folder that is not above the images"),
        ("cow/01.png", None, ""),
        ("photos/01.png", None, ""),
        ("cat/02.png", None, ""),
        ("/old/place/cow/01.png", None, ""),
        ("https://host/01.png", None, ""),
    ],
)
def test_entries_and_their_images(tmp_path, entry, name, said):
    result = write(tmp_path, [["file", "label"], ["dog/02.png", "dog"]], names=IMAGES)
    path = tmp_path / "more.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["file", "label"], [entry, "cat"]])
    result = read_labels([tmp_path / "labels.csv", path], IMAGES, "photos")
    assert result.labels == {"dog/02.png": "dog"} | ({} if name is None else {name: "cat"})
    assert said in "".join(result.warnings)
    assert bool(result.warnings) == bool(said or name is None)


def test_a_path_never_takes_an_image_of_another_folder(tmp_path):
    names = [f"{folder}/{i:02d}.png" for folder in ("boot", "shirt") for i in range(12)]
    rows = [["file", "label"], ["boot/11.png", "boot"], ["socks/11.png", "sock"], ["shirt/07.png", "shirt"]]
    for more in ([], ["boot/x.png"]):
        result = write(tmp_path, rows, names=names + more)
        assert result.labels == {"boot/11.png": "boot", "shirt/07.png": "shirt"}
        assert result.warnings == ("1 labelled file is not among the images read: socks/11.png",)


def test_ambiguous_entries_are_reported(tmp_path):
    rows = [["a", "cat"], ["b.png", "dog"]]
    result = write(tmp_path, rows, names=("a.png", "a.jpg", "b.png"))
    assert result.labels == {"b.png": "dog"}
    assert result.warnings == ("1 labelled file is the name of several images, so that a folder is needed: a",)


def test_the_outer_folder_of_a_zip_may_be_left_out(tmp_path):
    names = ("outer/in/cat/1.png", "outer/in/dog/1.png")
    for outer in ("outer/in/", "in/", ""):
        result = write(tmp_path, [[f"{outer}cat/1.png", "cat"], [f"{outer}dog/1.png", "dog"]], names=names)
        assert result == ({names[0]: "cat", names[1]: "dog"}, ())


def test_an_image_with_a_row_of_its_own_takes_no_other(tmp_path):
    result = write(tmp_path, [["file", "label"], ["A.png", "dog"], ["a.png", "cat"]])
    assert result.labels == {"a.png": "cat"}
    assert result.warnings == ("1 labelled file is not among the images read: A.png",)


@given(st.one_of(st.binary(max_size=60), st.text('ab.png,;\t"\n\r{}[]:1\ufeff\u0308', max_size=60).map(str.encode)))
def test_garbage_is_read_or_refused_in_one_sentence(tmp_path_factory, data):
    try:
        result = read(tmp_path_factory.mktemp("any"), data)
    except VaebenchError as refused:
        message = str(refused)
    else:
        message = ""
        assert result.labels.keys() <= set(NAMES)
        assert all(label.isprintable() for label in result.labels.values())
    assert "\n" not in message


CLASS = st.text(st.characters(categories=("L", "M", "N", "P", "S")), min_size=1)


@given(
    st.lists(CLASS, min_size=2, max_size=8, unique_by=lambda text: unicodedata.normalize("NFC", text)),
    st.sampled_from(",;\t|"),
)
def test_any_classes_come_back_as_they_were_written(tmp_path_factory, labels, delimiter):
    names = [f"{i}.png" for i in range(len(labels))]
    labels = [f"class {label}" for label in labels]
    rows = [["file", "label"], *zip(names, labels, strict=True)]
    result = write(tmp_path_factory.mktemp("any"), rows, names=names, delimiter=delimiter)
    written = [unicodedata.normalize("NFC", label) for label in labels]
    assert result.labels == dict(zip(names, written, strict=True))


TIMED = """
import sys, time
from pathlib import Path
from vaebench.data.label_files import read_labels
names = [f"c{i % 10}/{i:06d}.jpg" for i in range(100_000)]
rows = [f"{i},/x/{name},class {i % 10}" for i, name in enumerate(names)]
path = Path(sys.argv[1])
path.write_text("\\n".join(["id,file,label", *rows]))
started = time.process_time()
assert len(read_labels([path], names, "photos").labels) == 100_000
print(time.process_time() - started)
"""


def test_a_hundred_thousand_rows_are_read_in_seconds(tmp_path):
    # in a process of its own, in which types are not checked; 1 to 2 s on a free core
    done = subprocess.run([sys.executable, "-c", TIMED, tmp_path / "l.csv"], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 8


def test_rows_may_end_in_empty_fields_that_the_header_lacks(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("file,label\na.png,cat\nb.png,dog,\nc.png,cat,,\n")
    assert read_labels([table], ("a.png", "b.png", "c.png"), "photos").labels == {
        "a.png": "cat",
        "b.png": "dog",
        "c.png": "cat",
    }


SPECIES = "image,type,species\na.png,1,cat\nb.png,1,dog\n"


@pytest.mark.parametrize(
    ("content", "column", "labels"),
    [
        (SPECIES, "species", CAT_DOG),
        (SPECIES, "type", {"a.png": "1", "b.png": "1"}),
        (SPECIES, "Species", CAT_DOG),
        ("image,label,coat colour\na.png,1,cat\nb.png,1,dog\n", "coat colour", CAT_DOG),
        ("image,label,a:b\na.png,1,cat\nb.png,1,dog\n", "a:b", CAT_DOG),
        ("what,a thing\na.png,cat\nb.png,dog\n", "a thing", CAT_DOG),
        ('{"file":["a.png","b.png"],"x":["cat","dog"],"y":[1,1]}', "x", CAT_DOG),
    ],
)
def test_the_column_of_labels_can_be_named(tmp_path, content, column, labels):
    (tmp_path / "labels.csv").write_text(content)
    assert read_labels([tmp_path / f"labels.csv:{column}"], NAMES, "photos").labels == labels


@pytest.mark.parametrize(
    ("content", "column", "message"),
    [
        (SPECIES, "breed", "labels.csv has no column 'breed'; expected one of the others, 'type', 'species'"),
        (SPECIES, "image", "labels.csv has its files in the column 'image'; expected one of the others, 'type'"),
        ("a.png,cat\nb.png,dog\n", "label", "no column 'label'; expected a header that names the columns"),
        ("image,x,x\na.png,1,2\n", "x", "has several columns 'x'"),
    ],
)
def test_a_named_column_that_is_not_there_is_refused_with_those_that_are(tmp_path, content, column, message):
    (tmp_path / "labels.csv").write_text(content)
    with pytest.raises(VaebenchError) as error:
        read_labels([tmp_path / f"labels.csv:{column}"], NAMES, "photos")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_may_have_a_colon_in_its_name(tmp_path):
    (tmp_path / "labels:2.csv").write_text("image,label\na.png,cat\n")
    (tmp_path / "labels").write_text(SPECIES)
    assert read_labels([tmp_path / "labels:2.csv"], NAMES, "photos").labels == {"a.png": "cat"}
    with pytest.raises(VaebenchError, match=r"gone\.csv:x cannot be read"):
        read_labels([tmp_path / "gone.csv:x"], NAMES, "photos")
