"""JSON that people edit: read as editors save it, or the cause said."""

import json

import pytest

from diffoseg.cohorts.datalist import read_datalist
from diffoseg.errors import InputError
from diffoseg.files.json_text import JsonError, parse_json

VALUE = {"training": [{"image": "Bär.nrrd", "label": "m.nrrd"}], "n": [1, 2.5, None]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_text_is_read_in_what_editors_save(encoding):
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    text = json.dumps(VALUE, ensure_ascii=False)
    assert parse_json(mark + text.encode(encoding)) == VALUE


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ('{\n"a": "C:\\data"\n}', "a backslash in line 2 must be written twice"),
        ('{"a": "C:\\Users\\x"}', "a backslash in line 1 must be written twice"),
        ('{"a": 1,\n}', "has a comma too many"),
        ("[1, 2,\n]", "has a comma too many"),
        ("[1,,2]", "line 1 has a comma too many"),
        ('// mine\n{"a": 1}', "line 1 has a comment"),
        ('{"a": 1,\n# mine\n"b": 2}', "line 2 has a comment"),
        ("{'a': 1}", "line 1 has ' in place of \""),
        ("{\u201ca\u201d: 1}", 'in place of "'),
        ('{"a": [1, 2', "it ends in line 1 before it is whole"),
        ("", "it is empty"),
        ("  \n", "it is empty"),
        ('{"a": 1} x', "line 1 is not as JSON has it"),
        ("[" * 100_000, "too deep"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text, cause):
    with pytest.raises(JsonError) as error:
        parse_json(text.encode())
    assert cause in str(error.value)


def test_other_letters_are_said_with_their_line():
    with pytest.raises(JsonError, match="line 2 holds letters that are not UTF-8"):
        parse_json(b'{\n"a": "M\xfcller"}')


def test_a_data_list_says_the_cause(tmp_path):
    path = tmp_path / "list.json"
    path.write_text('{"training": [{"image": "C:\\scans\\ct.nrrd"}]}')
    with pytest.raises(InputError, match=r"list\.json is not JSON: a backslash in line 1"):
        read_datalist(path)
    path.write_text('{"training": [{"image": "C:\\temp\\new.nrrd", "label": "x.nrrd"}]}')
    with pytest.raises(InputError, match="Write each backslash twice"):
        read_datalist(path)
