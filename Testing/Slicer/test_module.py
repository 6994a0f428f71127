import pytest
import qt
import slicer
from a_fresh_process import HEAVY, imported
from a_panel import MODULE, openPanel
from a_run import logic_with

import SlicerHost

pytestmark = pytest.mark.usefixtures("scene")


@pytest.fixture
def module():
    return SlicerHost.loadModule(MODULE)


def test_importing_the_module_imports_nothing_else_of_ours():
    found = imported("import DiffOSeg")

    assert "DiffOSeg" in found
    assert not {name for name in found if name.startswith(("diffoseg", "DiffOSegLib"))}
    assert not HEAVY & found


def test_opening_the_panel_imports_nothing_heavy_either():
    found = imported(f"SlicerHost.loadModule({str(MODULE)!r}).widgetRepresentation()")

    assert "DiffOSegLib.panel.PanelWidget" in found
    assert not HEAVY & found


def test_what_slicer_lists_about_it_says_what_it_is_for_and_whom_to_cite(module):
    assert module.title == "DiffOSeg"
    assert module.categories == ["Segmentation"]
    assert module.contributors
    assert "not for clinical use" in module.helpText.replace("\n", " ")
    assert "arxiv.org/abs/2507.13087" in module.acknowledgementText
    assert not module.icon.isNull()


@pytest.mark.parametrize("name", ["DiffOSeg", "DiffOSegTraining", "SegmentEditorDiffOSeg"])
def test_it_passes_the_test_that_slicer_puts_every_module_through(name):
    """Slicer's factory asks each module, hidden ones too, for these in its generic test."""
    module = SlicerHost.loadModule(MODULE.parents[1] / name / f"{name}.py")

    for said in (module.title, module.helpText, module.acknowledgementText):
        assert said
    assert module.contributors
    assert module.categories
    assert module.logic() is not None


def test_in_a_slicer_that_is_too_old_it_opens_and_says_which_one_it_needs(module, monkeypatch):
    monkeypatch.setattr(type(slicer.app), "minorVersion", 10)
    frame = module.createNewWidgetRepresentation()
    widget = slicer.modules.DiffOSegWidget
    widget.enter()

    (label,) = frame.findChildren("QLabel", "slicerTooOldLabel")

    assert "5.12.1" in label.text
    assert widget.panel is None
    widget.exit()
    widget.cleanup()


def test_it_opens_without_a_main_window(monkeypatch):
    monkeypatch.setattr(slicer.util, "mainWindow", lambda *_: None)
    with openPanel(logic_with(), monkeypatch) as widget:
        assert widget.panel is not None


def test_after_cleanup_nothing_of_the_panel_is_called_any_more(monkeypatch):
    logic = logic_with()
    with openPanel(logic, monkeypatch) as widget:
        panel = widget.panel
        node = panel.parameters.parameterNode
    calls = []
    monkeypatch.setattr(type(panel), "_update", lambda self: calls.append("updated"))

    node.Modified()
    slicer.mrmlScene.Clear(False)
    slicer.app.processEvents()

    assert calls == []
    assert not logic._worker.running
    assert panel.Observations == []


def test_reloading_gives_a_working_panel_and_the_old_one_lets_go(module, monkeypatch):
    from DiffOSegLib.run import Logic

    monkeypatch.setattr(Logic, "_shared", logic_with())
    module.createNewWidgetRepresentation()
    old = slicer.modules.DiffOSegWidget
    old.enter()
    old.cleanup()
    module.createNewWidgetRepresentation()
    new = slicer.modules.DiffOSegWidget
    new.enter()

    assert old.panel is None
    assert new.panel.parameters is not None
    new.exit()
    new.cleanup()


def test_the_keys_are_bound_while_the_module_is_shown_and_only_then(monkeypatch):
    window = slicer.util.mainWindow()

    def bound():
        keys = window.findChildren(qt.QShortcut)
        return sorted(k.key.toString() for k in keys if k.enabled)

    before = bound()
    with openPanel(logic_with(), monkeypatch) as widget:
        assert bound() == sorted([*before, *"0123456789U"])
        widget.exit()
        slicer.app.processEvents()
        assert bound() == before
        widget.enter()
        widget.enter()
        assert bound() == sorted([*before, *"0123456789U"])
    slicer.app.processEvents()
    assert bound() == before


@pytest.mark.slow
def test_the_modules_own_self_test_passes_here_as_it_would_in_slicer(module):
    module.widgetRepresentation()
    try:
        slicer.selfTests["DiffOSeg"]()
    finally:
        slicer.modules.DiffOSegWidget.cleanup()
        module._widget = None
