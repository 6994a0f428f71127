"""The module's panel: joins its parts to one parameter node and follows the scene."""

import time
from collections.abc import Callable
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from diffoseg.errors import DiffOSegError
from diffoseg.version import __version__
from DiffOSegLib.panel.PanelWidget import PAPER
from DiffOSegLib.run.Parameters import DEVICES

from ..cases.TrainingParameters import TrainingParameterNode
from ..run.TrainingLogic import TICK_MS, DiffOSegTrainingLogic
from .CasesWidget import CasesWidget
from .CurvePlot import CurvePlot
from .ExpertWidget import ExpertWidget
from .ManageWidget import ManageWidget
from .ServerWidget import ServerWidget
from .TrainingWidget import TrainingWidget

_IDLE_MS = 500  # between two looks whether a segment was edited
_SETTLE_MS = 50  # changes of the scene that come within this time are shown together
_SHARE = 4  # with many cases so much longer than showing them took, to leave time for looking

Act = Callable[[Callable[[], Any]], None]


class PanelWidget(VTKObservationMixin):
    """All of the module's panel but its frame.

    The parameter node holds every choice and the cases, the library's folder the experts; the panel
    itself keeps nothing. While a scene is closed or read it lets go of the node.
    """

    def __init__(self, uiWidget: "slicer.qMRMLWidget", logic: DiffOSegTrainingLogic):
        """Bring the widgets of the .ui file to life."""
        VTKObservationMixin.__init__(self)
        self.ui = ui = slicer.util.childWidgetVariables(uiWidget)
        self.logic = logic
        self.parameters: TrainingParameterNode | None = None
        self._guiTag: int | None = None
        self._timer = qt.QTimer()
        self._timer.connect("timeout()", self._onTick)
        self._wasBusy = self._entered = False
        self._settle = qt.QTimer()
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SETTLE_MS)
        self._settle.connect("timeout()", self._update)
        self._plot = CurvePlot()
        self._expert = ExpertWidget(ui)
        self._cases = CasesWidget(ui, logic, self._saying(ui.casesMessageLabel))
        self._training = TrainingWidget(ui, logic, self._plot, self._wake)
        self._manage = ManageWidget(ui, self._saying(ui.manageMessageLabel))
        self._server = ServerWidget(ui, logic, self._saying(ui.serverMessageLabel))
        self._listDevices()
        ui.aboutLabel.text = _('DiffOSeg {version} \u00b7 <a href="{url}">how it works</a>').format(
            version=__version__, url=PAPER
        )
        self._stopObserving = logic.observe(self._onChanged)
        self._observeScene()
        self.takeParameterNode()

    def enter(self) -> None:
        """Be there when the module comes into view."""
        self._entered = True
        if self.parameters is None:
            self.takeParameterNode()
        if self.logic.description is None:
            self._training.enter()
        self._manage.update()
        self._update()
        self._wake()

    def exit(self) -> None:
        """Step back for another module; a training goes on."""
        self._entered = False
        self._rest()

    def cleanup(self) -> None:
        """Let go of everything, for good: nothing here may be called again."""
        self._training.stop()
        for timer, slot in ((self._timer, self._onTick), (self._settle, self._update)):
            timer.stop()
            timer.disconnect("timeout()", slot)
        self._stopObserving()
        self._manage.stop()
        self._cases.stop()
        self.logic.shutdown()
        self._plot.hide()
        self._letGo()
        self.removeObservers()

    # --- the parameter node ----------------------------------------------------------------------

    def takeParameterNode(self) -> None:
        """Show the scene's parameter node."""
        self._letGo()
        parameters = self.logic.getParameterNode()
        self.parameters = parameters
        mapping = {w.property("SlicerParameterName"): w for w in vars(self.ui).values()}
        mapping.pop(None, None)
        self._guiTag = parameters.connectParametersToGui(mapping)
        for part in (self._expert, self._cases, self._training):
            part.setParameters(parameters)
        self.addObserver(parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self._onChanged)
        self._update()

    def _letGo(self) -> None:
        """Forget the parameter node, which may be about to vanish."""
        if self.parameters is None:
            return
        self.removeObserver(
            self.parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self._onChanged
        )
        self.parameters.disconnectGui(self._guiTag)
        self.parameters = None
        for part in (self._expert, self._cases, self._training):
            part.setParameters(None)

    def _onChanged(self, *_args: object) -> None:
        if not self._settle.active:
            self._settle.start()

    def _update(self) -> None:
        """Show what the parameter node holds and what is known of its cases."""
        self._settle.stop()
        if self.parameters is None:
            return
        begun = time.perf_counter()
        self._expert.update()
        self._cases.update()
        self._training.update()
        self._server.update(self.parameters)
        self.ui.deviceComboBox.currentIndex = DEVICES.index(self.parameters.device)
        took = round(1000 * (time.perf_counter() - begun))
        self._settle.setInterval(max(_SETTLE_MS, _SHARE * took))

    # --- time ------------------------------------------------------------------------------------

    def _wake(self) -> None:
        """Have the logic tick fast until it has nothing more to do."""
        self._timer.setInterval(TICK_MS)
        self._timer.start()

    def _onTick(self) -> None:
        self.logic.tick()
        self._rest()
        if self._wasBusy != self.logic.busy:
            self._wasBusy = self.logic.busy
            self._update()

    def _rest(self) -> None:
        """Tick seldom while the logic has nothing to do, and not at all for a hidden panel."""
        interval = TICK_MS if self.logic.busy else _IDLE_MS
        if self._timer.interval != interval:
            self._timer.setInterval(interval)
        if not self.logic.busy and not self._entered:
            self._timer.stop()

    # --- the user's choices ----------------------------------------------------------------------

    def _listDevices(self) -> None:
        combo = self.ui.deviceComboBox
        names = (_("Automatic"), _("CPU"), _("NVIDIA graphics card"), _("Apple graphics card"))
        for device, name in zip(DEVICES, names, strict=True):
            combo.addItem(name, device)
        combo.connect("currentIndexChanged(int)", self._onDevice)

    def _onDevice(self, index: int) -> None:
        if self.parameters and self.parameters.device != DEVICES[index]:
            self.parameters.device = DEVICES[index]

    def _saying(self, label: "qt.QLabel") -> Act:
        """Return what does something and says in this label why it could not be done."""
        label.visible = False

        def act(do: Callable[[], Any]) -> None:
            sentence = ""
            try:
                do()
            except DiffOSegError as error:
                sentence = str(error)
            label.text = sentence
            label.visible = bool(sentence)
            self._update()
            self._wake()

        return act

    # --- the scene -------------------------------------------------------------------------------

    def _observeScene(self) -> None:
        scene = slicer.mrmlScene
        for event in (scene.StartCloseEvent, scene.StartImportEvent):
            self.addObserver(scene, event, self._onSceneGoes)
        for event in (scene.EndCloseEvent, scene.EndImportEvent):
            self.addObserver(scene, event, self._onSceneIsThere)

    def _onSceneGoes(self, *_args: object) -> None:
        self._letGo()

    def _onSceneIsThere(self, *_args: object) -> None:
        self.takeParameterNode()
