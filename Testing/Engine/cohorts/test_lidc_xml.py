"""LIDC-IDRI's XML: what it says, and that no file from outside does any harm."""

import pytest
from a_lidc_download import FOUR, Nodule, Session, a_disk, a_point, an_xml

from diffoseg.cohorts.lidc_xml import read_lidc_xml, series_named_in
from diffoseg.errors import InputError


@pytest.fixture
def path(tmp_path):
    return an_xml(tmp_path / "069.xml", "1.3.6.1", FOUR, {5: "1.2.5"})


def changed(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


def test_sessions_nodules_and_outlines_are_read(path):
    found = read_lidc_xml(path)

    assert (found.series, found.source) == ("1.3.6.1", "XML")
    assert [(r.session, r.nodule, len(r.outlines)) for r in found.readings] == [
        (1, "Nodule 001", 4),
        (2, "IL057_1273", 4),
        (3, "MI014_121", 2),
    ]
    first = found.readings[0].outlines[0]
    assert (first.z, first.image, first.inclusion) == (-50.0, "1.2.5", True)
    disk = a_disk(20, 18, 5)
    assert first.points.tolist() == [list(point) for point in (*disk, disk[0])]
    assert set(found.readings[1].ratings.values()) == {5}
    assert len(found.readings[1].ratings) == 9


def test_nodules_under_3_mm_and_what_is_none_are_counted_and_not_drawn(path):
    found = read_lidc_xml(path)
    assert (found.small, found.non_nodules) == (1, 2)


def test_a_nodule_needs_no_ratings_and_a_hole_is_one(tmp_path):
    hole = Nodule("1", ((3, True, a_disk(9, 9, 6)), (3, False, a_disk(9, 9, 2))))
    path = an_xml(tmp_path / "x.xml", "1.2", (Session((hole, a_point("2", 1, 1, 1))),) * 4)
    found = read_lidc_xml(path)
    assert [outline.inclusion for outline in found.readings[3].outlines] == [True, False]
    assert found.readings[0].ratings == {}
    assert found.small == 4


def test_xml_of_something_else_is_left_alone(path):
    for text in ('<IdriReadMessage xmlns="http://www.nih.gov/idri"/>', "<html></html>"):
        path.write_text(text)
        assert read_lidc_xml(path) is None


def test_prefixes_of_names_do_not_matter(path):
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace("<", "<n:")
        .replace("<n:/", "</n:")
        .replace("<n:?", "<?")
        .replace('xmlns="', 'xmlns:n="'),
        encoding="utf-8",
    )
    assert len(read_lidc_xml(path).readings) == 3


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("</readingSession>", "", "damaged: mismatched tag"),
        ("<SeriesInstanceUid>1.3.6.1</SeriesInstanceUid>", "", "which series"),
        ("-50.000000", "here", "could not convert"),
        ("-50.000000", "nan", "no number"),
        ("<xCoord>25</xCoord>", "<xCoord>25.5</xCoord>", "'25.5' stands"),
        ("<xCoord>25</xCoord>", "<xCoord>1e300</xCoord>", "'1e300' stands"),
        ("<xCoord>25</xCoord>", "<xCoord>inf</xCoord>", "'inf' stands"),
        ("<xCoord>25</xCoord>", "", "has no xCoord"),
        ("<inclusion>TRUE</inclusion>", "<inclusion>perhaps</inclusion>", "'PERHAPS'"),
        ("<subtlety>5</subtlety>", "<subtlety>much</subtlety>", "could not convert"),
        ("readingSession>", "anotherSession>", "0 reading sessions instead of 4"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(path, old, new, words):
    with pytest.raises(InputError, match=words) as refused:
        read_lidc_xml(changed(path, old, new))
    assert str(refused.value).startswith("069.xml is damaged: ")
    assert "\n" not in str(refused.value)


LAUGHS = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
SECRET = '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
REMOTE = '<!DOCTYPE a SYSTEM "http://127.0.0.1:1/a.dtd">'


@pytest.mark.parametrize("doctype", [LAUGHS, SECRET, REMOTE])
def test_a_document_type_is_refused_before_any_entity_means_anything(path, doctype):
    text = path.read_text(encoding="utf-8")
    head, _, rest = text.partition("\n")
    path.write_text(f"{head}\n{doctype}\n{rest.replace('069', '&a;')}", encoding="utf-8")
    with pytest.raises(InputError, match="document type"):
        read_lidc_xml(path)


def test_bounds_on_depth_size_and_signs(path):
    path.write_text("<LidcReadMessage>" + "<a>" * 10**5, encoding="utf-8")
    with pytest.raises(InputError, match="nested too deeply"):
        read_lidc_xml(path)
    with path.open("wb") as file:
        file.truncate(2**25 + 1)
    with pytest.raises(InputError, match="too large"):
        read_lidc_xml(path)
    for data in (b"", b"\0" * 99, b'<?xml version="1.0" encoding="x-what"?><a/>', b"\xff\xfe<a"):
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"069\.xml is damaged"):
            read_lidc_xml(path)


def test_the_series_of_a_damaged_file_is_told_where_its_beginning_is_whole(path):
    path.write_bytes(path.read_bytes()[:900])
    assert series_named_in(path) == "1.3.6.1"
    path.write_bytes(b"\0")
    assert series_named_in(path) == ""
