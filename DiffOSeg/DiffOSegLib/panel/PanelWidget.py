"""The module's panel: joins its parts to one parameter node and follows the scene."""

import random
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from diffoseg.errors import DiffOSegError, WeightsError
from diffoseg.model.cards import ModelCard
from diffoseg.version import __version__

from ..run import LocalExperts
from ..run.Logic import DiffOSegLogic
from ..run.Parameters import DEVICES, MAXIMUM_SEED, DiffOSegParameterNode
from ..scene import SceneInputs, SegmentTags
from ..scene.Removals import observeRemovals
from ..scene.ResultMaps import MAP
from ..scene.RunRequest import RunRequest
from ..scene.SceneResults import SceneResults
from ..views.ComparisonViews import ComparisonViews
from .CompareWidget import CompareWidget, scanOf
from .ExpertsTableWidget import NOBODY, ExpertsTableWidget
from .ModelWidget import ModelWidget
from .QualityWidget import QualityWidget
from .RegionWidget import RegionWidget
from .RunWidget import RunWidget
from .Sentences import noModel

PAPER = "https://arxiv.org/abs/2507.13087"

_SETTLE_MS = 150  # after a box was dragged, before the panel looks whether it will do
_CHOSEN = ("outputSegmentation", "regionSegmentation", "regionRoi")  # and then nothing else
_INPUT_EVENTS = (
    vtk.vtkCommand.ModifiedEvent,
    slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent,
    slicer.vtkMRMLTransformableNode.TransformModifiedEvent,
    slicer.vtkMRMLMarkupsNode.PointModifiedEvent,
    slicer.vtkSegmentation.SegmentAdded,
    slicer.vtkSegmentation.SegmentRemoved,
    slicer.vtkSegmentation.SegmentModified,
)


class PanelWidget(VTKObservationMixin):
    """All of the module's panel but its frame.

    The parameter node holds every choice and the names of the last results; the panel itself keeps
    nothing but the run that it started. While a scene is closed or read it lets go of the node.
    """

    def __init__(self, uiWidget: "slicer.qMRMLWidget", logic: DiffOSegLogic):
        """Bring the widgets of the .ui file to life."""
        VTKObservationMixin.__init__(self)
        self.ui = ui = slicer.util.childWidgetVariables(uiWidget)
        self.logic = logic
        self.parameters: DiffOSegParameterNode | None = None
        self._guiTag: int | None = None
        self._settle = qt.QTimer()
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SETTLE_MS)
        self._settle.connect("timeout()", self._update)
        self._observed: list[Any] = []
        self._lookThere = False  # the next result is where nobody has looked yet
        self._views = ComparisonViews()
        self._model = ModelWidget(ui)
        self._quality = QualityWidget(ui)
        self._region = RegionWidget(ui, complain=lambda sentence: self._run.say(sentence))
        self._experts = ExpertsTableWidget(ui, self._onExperts)
        self._compare = CompareWidget(ui, self._views)
        self._run = RunWidget(
            ui, logic, self._obstacle, self._likelyRequest, self._prepare, self._onResults
        )
        self._connect()
        self._observeScene()
        self._stopObservingRemovals = observeRemovals(self._onAboutToBeRemoved)
        self._stopObservingExperts = LocalExperts.observe(self._onTaughtExperts)
        self.takeParameterNode()

    def enter(self) -> None:
        """Be there when the module comes into view."""
        if self.parameters is None:
            self.takeParameterNode()
        self._compare.bindKeys()
        if self.logic.description is None:
            self._run.enter()
        self._onTaughtExperts()  # another Slicer may have changed them

    def exit(self) -> None:
        """Step back for another module; a run goes on."""
        self._compare.releaseKeys()

    def cleanup(self) -> None:
        """Let go of everything, for good: nothing here may be called again."""
        self._stopObservingExperts()
        self._stopObservingRemovals()
        self._settle.stop()
        self._settle.disconnect("timeout()", self._update)
        self._compare.releaseKeys()
        # At Slicer's end the run has ended by now, with a sentence of its own.
        self.logic.shutdown(_("The run was cancelled because the module was reloaded."))
        self._run.stop()
        self._letGo()
        self._views.cleanup()
        self.removeObservers()

    # --- the parameter node ----------------------------------------------------------------------

    def takeParameterNode(self) -> None:
        """Show the scene's parameter node, choosing the volume in view where none is chosen."""
        self._letGo()
        parameters = self.logic.getParameterNode()
        if parameters.inputVolume is None:
            parameters.inputVolume = _volumeInView()
        self.parameters = parameters
        mapping = {w.property("SlicerParameterName"): w for w in vars(self.ui).values()}
        mapping.pop(None, None)
        self._guiTag = parameters.connectParametersToGui(mapping)
        unusable = self._model.setParameters(parameters)
        self._quality.setParameters(parameters)
        self._run.setNotes((*parameters.corrections, *unusable))
        self._region.setParameters(parameters)
        self._run.setParameters(parameters)
        self.addObserver(parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self._onModified)
        self._update()

    def _letGo(self) -> None:
        """Forget the parameter node, which may be about to vanish."""
        if self.parameters is None:
            return
        self.removeObserver(
            self.parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self._onModified
        )
        self._observeInputs(None)
        self.parameters.disconnectGui(self._guiTag)
        self.parameters = None
        self._model.setParameters(None)
        self._quality.setParameters(None)
        self._region.setParameters(None)
        self._compare.setParameters(None, None)
        self._run.setParameters(None)

    def _onModified(self, *_args: object) -> None:
        self._update()

    def _update(self) -> None:
        """Show what the parameter node holds."""
        if self.parameters is None:
            return
        self._model.update()
        self._quality.update(self._model.card)
        self._region.update()
        self._experts.setCard(self._model.card)
        self._experts.setTicked(tuple(self.parameters.experts))
        self.ui.deviceComboBox.currentIndex = DEVICES.index(self.parameters.device)
        self._compare.setParameters(self.parameters, self._model.card)
        self._observeInputs(self.parameters)
        self._run.setForeseen(self._model.foreseen())
        self._run.update()

    # --- the user's choices ----------------------------------------------------------------------

    def _connect(self) -> None:
        ui = self.ui
        names = (_("Automatic"), _("CPU"), _("NVIDIA graphics card"), _("Apple graphics card"))
        for device, name in zip(DEVICES, names, strict=True):
            ui.deviceComboBox.addItem(name, device)
        ui.deviceComboBox.connect("currentIndexChanged(int)", self._onDevice)
        ui.newSeedButton.connect("clicked(bool)", self._onNewSeed)
        ui.aboutLabel.openExternalLinks = True
        ui.aboutLabel.text = _('DiffOSeg {version} \u00b7 <a href="{url}">how it works</a>').format(
            version=__version__, url=PAPER
        )

    def _onDevice(self, index: int) -> None:
        if self.parameters and self.parameters.device != DEVICES[index]:
            self.parameters.device = DEVICES[index]
            self._run.describe()

    def _onNewSeed(self, *_args: object) -> None:
        if self.parameters:
            self.parameters.seed = random.SystemRandom().randint(0, MAXIMUM_SEED)

    def _onExperts(self, ticked: tuple[str, ...]) -> None:
        if self.parameters:
            self.parameters.experts = list(ticked)

    def _onTaughtExperts(self) -> None:
        """List those who were taught here anew; what they drew stays in the scene."""
        for sentence in self._model.dropUnknown():
            self._run.addNote(sentence)
        self._update()

    # --- a run -----------------------------------------------------------------------------------

    def _obstacle(self) -> str | None:
        """Return why no run can start now, in a sentence that says what to do about it."""
        if self.parameters is None:
            return _("Wait until the scene is read.")
        if self._model.card is None:
            return noModel()
        if tuple(self.parameters.experts) == NOBODY:
            return _("Nobody is ticked under Experts. Tick at least one.")
        try:
            self._likelyRequest()
        except DiffOSegError as error:
            return str(error)
        return None

    def _likelyRequest(self) -> RunRequest:
        """Return what Apply would ask for, the default box included; raises DiffOSegError."""
        assert self.parameters is not None
        if self.parameters.regionKind != "roi" or self.parameters.regionRoi:
            return self.logic.requestFrom(self.parameters)
        SceneInputs.checkVolume(self.parameters.inputVolume)
        box = SceneInputs.defaultBox(self.parameters.inputVolume)
        return self.logic.requestIn(box, self.parameters)

    def _prepare(self) -> ModelCard:
        """Place the default box where there is none; return the model; raises DiffOSegError."""
        self._lookThere = self._region.ensureBox()
        if self._model.card is None:
            raise WeightsError(noModel())
        return self._model.card

    def _onResults(self, results: SceneResults) -> None:
        """Show what has just come into the scene."""
        parameters, node = self.parameters, results.segmentationNode
        if parameters is None or node is None or node.GetScene() is None:
            return
        isFirst = parameters.resultSegmentation is not node
        with slicer.util.NodeModify(parameters.parameterNode):
            parameters.resultSegmentation = node
            parameters.resultDisagreement = results.disagreementNode
            parameters.resultTable = results.tableNode
        if isFirst and not self._views.gridShown:
            self._views.showOutlines(node, scanOf(parameters))
        if self._lookThere:
            self._lookThere = False
            self._views.centerOn(node)

    # --- the scene -------------------------------------------------------------------------------

    def _observeScene(self) -> None:
        scene = slicer.mrmlScene
        SegmentTags.observeResults(scene)
        for event in (scene.StartCloseEvent, scene.StartImportEvent):
            self.addObserver(scene, event, self._onSceneGoes)
        for event in (scene.EndCloseEvent, scene.EndImportEvent):
            self.addObserver(scene, event, self._onSceneIsThere)

    def _onAboutToBeRemoved(self, node: Any) -> None:
        """Choose nothing in place of a node that goes; Slicer would choose its neighbour."""
        if self.parameters is None:
            return
        for name in _CHOSEN:
            if getattr(self.parameters, name) is node:
                setattr(self.parameters, name, None)

    def _onSceneGoes(self, *_args: object) -> None:
        self._letGo()

    def _onSceneIsThere(self, *_args: object) -> None:
        self.takeParameterNode()

    def _observeInputs(self, parameters: DiffOSegParameterNode | None) -> None:
        """Watch the nodes whose changes change what a run would take."""
        names = ("inputVolume", "regionRoi", "regionSegmentation") if parameters else ()
        wanted = [node for name in names if (node := getattr(parameters, name)) is not None]
        if wanted == self._observed:
            return
        for node in self._observed:
            for event in _INPUT_EVENTS:
                self.removeObserver(node, event, self._onInput)
        for node in wanted:
            for event in _INPUT_EVENTS:
                self.addObserver(node, event, self._onInput)
        self._observed = wanted

    def _onInput(self, *_args: object) -> None:
        self._settle.start()


def _volumeInView() -> "slicer.vtkMRMLScalarVolumeNode | None":
    """Return the volume that the reader looks at, else the first that can be drawn on."""
    selection = slicer.app.applicationLogic().GetSelectionNode()
    active = slicer.mrmlScene.GetNodeByID(selection.GetActiveVolumeID() or "")
    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    for node in (active, *volumes):
        isScan = node is not None and node.GetClassName() == "vtkMRMLScalarVolumeNode"
        if isScan and not node.GetAttribute(MAP):
            return node
    return None
