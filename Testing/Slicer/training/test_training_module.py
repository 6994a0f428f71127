import pytest
import slicer
from a_fresh_process import HEAVY, imported
from a_training import training_logic
from a_training_panel import TRAINING, aTrainingPanel

import SlicerHost

pytestmark = pytest.mark.usefixtures("scene", "experts")


@pytest.fixture
def module(host):
    return SlicerHost.loadModule(TRAINING)


def test_importing_the_module_imports_nothing_else_of_ours():
    found = imported(f"sys.path.append({str(TRAINING.parent)!r}); import DiffOSegTraining")

    assert "DiffOSegTraining" in found
    ours = ("diffoseg", "DiffOSegLib", "DiffOSegTrainingLib")
    assert not {name for name in found if name.startswith(ours)}
    assert not HEAVY & found


def test_opening_the_panel_imports_nothing_heavy_either():
    found = imported(
        f"sys.path.append({str(TRAINING.parent)!r})\n"
        f"SlicerHost.loadModule({str(TRAINING)!r}).widgetRepresentation()"
    )

    assert "DiffOSegTrainingLib.panel.PanelWidget" in found
    assert not HEAVY & found


def test_what_slicer_lists_about_it_says_what_it_is_for_and_what_to_mind(module):
    assert module.title == "DiffOSeg Training"
    assert module.categories == ["Segmentation"]
    assert module.dependencies == ["DiffOSeg"]
    assert module.contributors
    assert "not for clinical use" in module.helpText.replace("\n", " ")
    assert "personal data" in module.helpText.replace("\n", " ")
    assert "arxiv.org/abs/2507.13087" in module.acknowledgementText
    assert not module.icon.isNull()


def test_in_a_slicer_that_is_too_old_it_opens_and_says_which_one_it_needs(module, monkeypatch):
    monkeypatch.setattr(type(slicer.app), "minorVersion", 10)
    frame = module.createNewWidgetRepresentation()
    widget = slicer.modules.DiffOSegTrainingWidget
    widget.enter()

    (label,) = frame.findChildren("QLabel", "slicerTooOldLabel")

    assert "5.12.1" in label.text
    assert widget.panel is None
    widget.exit()
    widget.cleanup()


def test_it_opens_without_a_main_window(monkeypatch):
    monkeypatch.setattr(slicer.util, "mainWindow", lambda *_: None)
    with aTrainingPanel(monkeypatch) as panel:
        assert panel.parameters is not None


def test_after_cleanup_nothing_of_the_panel_is_called_any_more(monkeypatch):
    from DiffOSegLib.run import LocalExperts

    with aTrainingPanel(monkeypatch) as panel:
        node = panel.parameters.parameterNode
    calls = []
    monkeypatch.setattr(type(panel), "_update", lambda self: calls.append("updated"))
    monkeypatch.setattr(type(panel._manage), "update", lambda self: calls.append("listed"))

    node.Modified()
    slicer.mrmlScene.Clear(False)
    LocalExperts.changed()
    slicer.app.processEvents()

    assert calls == []
    assert panel.Observations == []


def test_a_scene_can_be_closed_and_a_new_one_filled(monkeypatch):
    with aTrainingPanel(monkeypatch) as panel:
        panel.ui.expertNameLineEdit.text = "Reader A"
        slicer.mrmlScene.Clear(False)
        slicer.app.processEvents()
        assert panel.ui.expertNameLineEdit.text == ""
        panel.ui.expertNameLineEdit.text = "Reader B"
        assert panel.parameters.expertName == "Reader B"


def test_reloading_gives_a_working_panel_and_the_old_one_lets_go(module, monkeypatch):
    from DiffOSegTrainingLib.run import TrainingLogic

    monkeypatch.setattr(TrainingLogic, "_shared", training_logic())
    module.createNewWidgetRepresentation()
    old = slicer.modules.DiffOSegTrainingWidget
    old.enter()
    old.cleanup()
    module.createNewWidgetRepresentation()
    new = slicer.modules.DiffOSegTrainingWidget
    new.enter()

    assert old.panel is None
    assert new.panel.parameters is not None
    new.exit()
    new.cleanup()


@pytest.mark.slow
def test_the_modules_own_self_test_passes_here_as_it_would_in_slicer(module, monkeypatch):
    from DiffOSegTrainingLib.run import TrainingLogic

    logic = TrainingLogic.DiffOSegTrainingLogic()  # with the real worker
    monkeypatch.setattr(TrainingLogic, "_shared", logic)
    module.widgetRepresentation()
    try:
        slicer.selfTests["DiffOSegTraining"]()
    finally:
        slicer.modules.DiffOSegTrainingWidget.cleanup()
        module._widget = None
