"""The module `qt` has PythonQt's habits, and the mistakes they catch are caught."""

from typing import Any

import numpy as np
import pytest
import qt


@pytest.fixture
def label(scene: Any) -> Any:
    return qt.QLabel("Ready")


@pytest.fixture
def heard() -> list[Any]:
    return []


def test_properties_are_read_and_written_without_parentheses(label: Any) -> None:
    label.text = "Go"
    label.setToolTip("Runs")
    assert (label.text, label.toolTip, label.enabled) == ("Go", "Runs", True)


def test_reading_a_property_with_parentheses_is_a_type_error(label: Any) -> None:
    with pytest.raises(TypeError):
        label.text()


def test_new_attributes_on_qt_objects_are_refused(label: Any) -> None:
    with pytest.raises(AttributeError, match="creating new attributes"):
        label.remark = 1


@pytest.mark.parametrize("kind", ["QLabel", "ctkCollapsibleButton", "qMRMLNodeComboBox"])
def test_misspelled_properties_are_refused(scene: Any, kind: str) -> None:
    import ctk
    import slicer

    cls = next(getattr(m, kind) for m in (qt, ctk, slicer) if hasattr(m, kind))
    with pytest.raises(AttributeError):
        cls().txt = "Go"
    with pytest.raises(AttributeError):
        cls().enabeld  # noqa: B018


@pytest.mark.parametrize("number", [np.int64(3), np.float32(3.7), np.int8(3), 3.7])
def test_numbers_are_truncated_where_a_property_is_an_int(scene: Any, number: Any) -> None:
    box = qt.QSpinBox()
    box.value = number
    assert box.value == 3


def test_a_double_of_numpys_is_no_int(scene: Any) -> None:
    box = qt.QSpinBox()
    with pytest.raises(AttributeError, match="float64"):
        box.value = np.float64(3)
    double = qt.QDoubleSpinBox()
    double.value = np.float64(3.5)
    assert double.value == 3.5


def test_numpys_truth_is_one(scene: Any) -> None:
    box = qt.QCheckBox()
    box.checked = np.bool_(True)
    assert box.checked is True


def test_no_text_is_the_word_none(label: Any) -> None:
    label.text = None
    assert label.text == "None"


def test_methods_cannot_be_overwritten(label: Any) -> None:
    with pytest.raises(AttributeError, match="can not be overwritten"):
        label.setText = print


def test_a_signal_that_does_not_exist_is_refused(scene: Any) -> None:
    import ctk

    for widget, signal in (
        (qt.QPushButton(), "pressed(bool)"),
        (qt.QPushButton(), "clickd()"),
        (ctk.ctkSliderWidget(), "valueChanged(int)"),
        (qt.QLineEdit(), "textChanged(int)"),
    ):
        with pytest.raises(ValueError, match="has no signal"):
            widget.connect(signal, print)


def test_surplus_arguments_of_a_signal_are_dropped(scene: Any, heard: list[Any]) -> None:
    button = qt.QPushButton()
    button.checkable = True
    button.connect("clicked(bool)", lambda: heard.append("nothing"))
    button.connect("clicked(bool)", lambda *all_: heard.append(all_))
    button.connect("clicked()", lambda: heard.append("clicked"))
    button.click()
    assert heard == ["nothing", (True,), "clicked"]


def test_what_was_connected_can_be_disconnected(scene: Any, heard: list[Any]) -> None:
    box = qt.QSpinBox()
    box.connect("valueChanged(int)", heard.append)
    box.value = 3
    assert box.disconnect("valueChanged(int)", heard.append)
    assert not box.disconnect("valueChanged(int)", heard.append)
    box.value = 4
    assert heard == [3]


def test_overloads_are_told_apart(scene: Any, heard: list[Any]) -> None:
    combo = qt.QComboBox()
    combo.addItems(["a", "b"])
    combo.connect("currentIndexChanged(int)", heard.append)
    combo.connect("currentTextChanged(QString)", heard.append)
    combo.currentIndex = 1
    assert sorted(heard, key=str) == [1, "b"]


def test_signals_are_also_attributes(scene: Any, heard: list[Any]) -> None:
    button = qt.QPushButton()
    button.clicked.connect(lambda: heard.append(1))
    button.click()
    assert heard == [1]


def test_dynamic_properties_and_named_children_are_attributes(scene: Any) -> None:
    frame = qt.QFrame()
    child = qt.QLabel("inner", frame)
    child.objectName = "inside"
    frame.setProperty("SlicerParameterName", "samples")
    assert frame.SlicerParameterName == "samples"
    assert frame.inside is child
    assert child.name == "inside"
    assert frame.findChildren("QLabel") == [child]


def test_a_timer_fires(scene: Any, host: Any, heard: list[Any]) -> None:
    timer = qt.QTimer()
    timer.singleShot = True
    timer.connect("timeout()", lambda: heard.append(1))
    timer.start(0)
    qt.QTimer.singleShot(0, lambda: heard.append(2))
    host.processEvents()
    assert sorted(heard) == [1, 2]
