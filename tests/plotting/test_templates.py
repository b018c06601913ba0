"""JSON inside the script elements of pages."""

import json

from vaebench.plotting.templates import script_json


def test_embedded_json_cannot_close_its_element():
    value = {"name": "</script><!--&", "file": "\udcff é \N{GRINNING FACE}.png"}
    text = script_json(value)
    assert text.isascii()
    assert not set(text) & set("<>&")
    assert json.loads(text) == value
