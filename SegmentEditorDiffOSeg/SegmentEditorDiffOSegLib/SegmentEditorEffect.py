"""The Segment Editor effect "DiffOSeg": the model draws, the reader looks, and takes it or not."""

import time
from pathlib import Path
from typing import Any

import qt
import slicer
from SegmentEditorEffects import AbstractScriptedSegmentEditorEffect
from slicer.i18n import tr as _

from .Operations import Operation
from .OptionsWidget import REGION_ROI, REGION_SEGMENT, OptionsWidget, choose, chosen, setQuietly

_DEFAULT_MODEL = "default"  # the parameter's value; Slicer takes an empty one for a missing one


class SegmentEditorEffect(AbstractScriptedSegmentEditorEffect):
    """Connects the options, the parameters in the scene and the proposal for the segment.

    Parameters, "DiffOSeg.*" of the Segment Editor node: Model, Expert, Samples, Region ("segment"
    or "roi"), MarginMm, Threshold, Operation, and the node reference Roi.

    What needs the DiffOSeg module is imported only when the options are set up, so that an
    incomplete installation is told in a sentence.
    """

    def __init__(self, scriptedEffect: Any):
        scriptedEffect.name = "DiffOSeg"
        scriptedEffect.perSegment = True
        scriptedEffect.requireSegments = True
        AbstractScriptedSegmentEditorEffect.__init__(self, scriptedEffect)
        scriptedEffect.showEffectCursorInSliceView = False  # nothing is done with the mouse
        self.proposal: Any = None
        self._cards: dict[str, Any] = {}
        self._sentence = ""
        self._notes: list[str] = []
        self._connections: list[tuple[Any, str, Any]] = []
        self._stopObservingExperts: Any = None
        self._stopObservingInstalls: Any = None
        self._stopObservingRemovals: Any = None
        self._isActive = False
        self._startedAt = 0.0  # when the last run was started, by the monotonic clock

    # -- what Slicer asks

    def clone(self) -> Any:
        """Return an effect of the same kind, for another Segment Editor."""
        import qSlicerSegmentationsEditorEffectsPythonQt as effects

        clonedEffect = effects.qSlicerSegmentEditorScriptedEffect(None)
        clonedEffect.setPythonSource(__file__.replace("\\", "/"))
        return clonedEffect

    def icon(self) -> Any:
        """Return the picture on the effect's button."""
        path = Path(__file__).with_name("SegmentEditorEffect.png")
        return qt.QIcon(str(path)) if path.exists() else qt.QIcon()

    def helpText(self) -> str:
        """Return what the Segment Editor's help shows."""
        return "<html>" + _(
            "Let DiffOSeg draw the selected segment in the style of an expert.<p>Choose whose"
            " style and where to look, then press <b>Run</b>. The result is a preview; the segment"
            " is not changed. Drag the <b>threshold</b>: the preview follows. Then <b>Apply</b> it"
            " or <b>Discard</b> it.<p>The result acts inside the region only, and respects masking."
            " Where <b>Modify other segments</b> is <i>Overwrite all</i>, which is Slicer's"
            " default, it takes from other segments what it draws; <i>Allow overlap</i> leaves them"
            " alone. It is a prediction in an expert's style, not that expert's"
            " opinion."
        )

    def setupOptionsFrame(self) -> None:
        """Make the options and connect them."""
        self.options = OptionsWidget()
        self.options.addTo(self.scriptedEffect)
        self._timer = qt.QTimer()
        try:
            self._openEngine()
        except ImportError as error:
            self._sentence = _(
                "The DiffOSeg module that does the work cannot be loaded ({reason}). Install the"
                " DiffOSeg extension again."
            ).format(reason=error.msg)
        self._connections = self._signals()
        for widget, signal, slot in self._connections:
            widget.connect(signal, slot)
        self._refresh()

    def setMRMLDefaults(self) -> None:
        """Give parameters that the scene does not hold their first values, those of the module."""
        try:
            from DiffOSegLib.run.Parameters import MARGIN_MM, SAMPLES
        except ImportError:  # which the options tell; without values they show nothing
            return
        defaults: dict[str, str | int | float] = {
            "Model": _DEFAULT_MODEL,
            "Expert": "consensus",
            "Samples": SAMPLES,
            "Region": REGION_SEGMENT,
            "MarginMm": MARGIN_MM,
            "Threshold": 0.5,  # until an answer brings its own
            "Operation": Operation.REPLACE.value,
        }
        for name, value in defaults.items():
            self.scriptedEffect.setParameterDefault(name, value)

    def activate(self) -> None:
        """Offer the models that there are now: the reader chose this effect."""
        self._isActive = True
        if self.proposal is not None:
            self._fillModels()
        self.updateGUIFromMRML()

    def deactivate(self) -> None:
        """Leave nothing in the views: the reader chose another effect."""
        self._isActive = False
        if self.proposal is not None:
            self.proposal.discard()
            self._sentence = ""

    def cleanup(self) -> None:
        """Let go of everything that keeps the effect alive; harmless a second time."""
        if not self._connections:
            return
        self.deactivate()
        self._timer.stop()
        for widget, signal, slot in self._connections:
            widget.disconnect(signal, slot)
        self.options.roiSelector.setMRMLScene(None)
        if self._stopObservingExperts is not None:
            self._stopObservingExperts()
            self._stopObservingInstalls()
            self._stopObservingRemovals()
        self._connections = []

    def interactionNodeModified(self, interactionNode: Any) -> None:
        """Stay active while the reader places a box or another markup: the mouse is not ours."""

    def sourceVolumeNodeChanged(self) -> None:
        """Drop a result of another volume."""
        if self.proposal is not None:
            self.proposal.check()

    def referenceGeometryChanged(self) -> None:
        """Bring the preview to the grid that the segment is now edited on."""
        if self.proposal is not None:
            self.proposal.replace()

    def updateGUIFromMRML(self) -> None:
        """Show the parameters."""
        effect, options = self.scriptedEffect, self.options
        if effect.parameterSetNode() is None or self.proposal is None:
            return
        choose(options.modelCombo, effect.parameter("Model"))
        self._fillExperts()
        choose(options.expertCombo, effect.parameter("Expert"))
        choose(options.regionCombo, effect.parameter("Region"))
        choose(options.operationCombo, effect.parameter("Operation"))
        setQuietly(options.samplesSpinBox, effect.integerParameter("Samples"))
        setQuietly(options.marginSpinBox, effect.doubleParameter("MarginMm"))
        setQuietly(options.thresholdSlider, effect.doubleParameter("Threshold"))
        blocked = options.roiSelector.blockSignals(True)
        options.roiSelector.setCurrentNode(effect.nodeReference("Roi"))
        options.roiSelector.blockSignals(blocked)
        inBox = effect.parameter("Region") == REGION_ROI
        options.showRow("margin", not inBox)
        options.showRow("roi", inBox)
        self.proposal.setThreshold(effect.doubleParameter("Threshold"))
        self._refresh()

    def updateMRMLFromGUI(self) -> None:
        """Nothing to do: every widget writes its own parameter when it changes."""

    # -- what the reader does

    def _signals(self) -> list[tuple[Any, str, Any]]:
        options = self.options
        return [
            (options.modelCombo, "currentIndexChanged(int)", self._onModel),
            (options.expertCombo, "currentIndexChanged(int)", self._onExpert),
            (options.samplesSpinBox, "valueChanged(int)", self._onSamples),
            (options.regionCombo, "currentIndexChanged(int)", self._onRegion),
            (options.marginSpinBox, "valueChanged(double)", self._onMargin),
            (options.roiSelector, "currentNodeChanged(vtkMRMLNode*)", self._onRoi),
            (options.runButton, "clicked(bool)", self._onRunOrCancel),
            (options.thresholdSlider, "valueChanged(double)", self._onThreshold),
            (options.operationCombo, "currentIndexChanged(int)", self._onOperation),
            (options.discardButton, "clicked(bool)", self._onDiscard),
            (options.applyButton, "clicked(bool)", self._onApply),
            (self._timer, "timeout()", self._onTick),
        ]

    def _onModel(self, _index: int) -> None:
        self._set("Model", chosen(self.options.modelCombo))

    def _onExpert(self, _index: int) -> None:
        self._set("Expert", chosen(self.options.expertCombo))

    def _onSamples(self, value: int) -> None:
        self._set("Samples", int(value))

    def _onMargin(self, value: float) -> None:
        self._set("MarginMm", float(value))

    def _onThreshold(self, value: float) -> None:
        self._set("Threshold", float(value))

    def _onOperation(self, _index: int) -> None:
        self._set("Operation", chosen(self.options.operationCombo))

    def _onRoi(self, roiNode: Any) -> None:
        self.scriptedEffect.setNodeReference("Roi", roiNode)
        self.updateGUIFromMRML()

    def _onAboutToBeRemoved(self, node: Any) -> None:
        """Choose no box in place of one that goes; Slicer would choose its neighbour."""
        if self.scriptedEffect.parameterSetNode() is None:
            return
        if self.scriptedEffect.nodeReference("Roi") is node:
            self.options.roiSelector.setCurrentNode(None)

    def _onRegion(self, _index: int) -> None:
        """Make and show a box where one is asked for and there is none."""
        region = chosen(self.options.regionCombo)
        if region == REGION_ROI and self.scriptedEffect.nodeReference("Roi") is None:
            self._attempt(self._makeBox)
        self._set("Region", region)

    def _onRunOrCancel(self, _checked: bool = False) -> None:
        from DiffOSegLib.panel.RunWidget import isDoubleClick

        if self.proposal.running and isDoubleClick(self._startedAt):
            return  # the second half of a double click does not mean Cancel
        if self.proposal.running:
            self._onChange(_("Stopping."))
            self.proposal.cancel()
        else:
            self._attempt(self._run)

    def _onDiscard(self, _checked: bool = False) -> None:
        self.proposal.discard()

    def _onApply(self, _checked: bool = False) -> None:
        operation = Operation(self.scriptedEffect.parameter("Operation"))
        self._attempt(lambda: self.proposal.apply(operation))

    def _onTaughtExperts(self) -> None:
        """List those who were taught here anew; what they drew stays."""
        if self._isActive:
            self.updateGUIFromMRML()

    def _onTick(self) -> None:
        from DiffOSegLib.run.Logic import sharedLogic

        logic = sharedLogic()
        logic.tick()
        if not logic.busy:
            self._timer.stop()

    # -- what the effect does

    def _openEngine(self) -> None:
        """Import what the DiffOSeg module brings; raises ImportError where it is not there."""
        from DiffOSegLib.run import Dependencies, LocalExperts
        from DiffOSegLib.run.Logic import TICK_MS
        from DiffOSegLib.run.Parameters import LARGEST_MARGIN_MM, MOST_SAMPLES
        from DiffOSegLib.scene.Removals import observeRemovals

        from .Proposal import Proposal

        self._stopObservingExperts = LocalExperts.observe(self._onTaughtExperts)
        self._stopObservingRemovals = observeRemovals(self._onAboutToBeRemoved)
        self._stopObservingInstalls = Dependencies.observeInstalling(self._refresh)
        self._timer.setInterval(TICK_MS)
        self.options.setLimits(MOST_SAMPLES, LARGEST_MARGIN_MM)
        self.proposal = Proposal(self.scriptedEffect, self._onChange, self._onProgress)
        self._fillModels()

    def _fillModels(self) -> None:
        from diffoseg.model.cards import available_cards
        from DiffOSegLib.panel.Sentences import noModel

        cards = available_cards()
        names = [_DEFAULT_MODEL, *(card.name for card in cards[1:])]
        self._cards = dict(zip(names, cards, strict=False))
        self.options.setModels([(name, card.title) for name, card in self._cards.items()])
        if not cards:
            self._sentence = noModel()

    def _fillExperts(self) -> None:
        """Offer the answers of the chosen model; one that is not there any more is given up."""
        from DiffOSegLib.run import LocalExperts

        from .OfferedExperts import offeredBy

        card = self._cards.get(chosen(self.options.modelCombo))
        if card is None:
            return
        offered = offeredBy(card)
        self.options.setExperts(offered)
        asked, first = self.scriptedEffect.parameter("Expert"), offered[0].name
        if asked not in [expert.name for expert in offered]:
            self._sentence = LocalExperts.goneFor(asked, first)
            self.scriptedEffect.setParameter("Expert", first)

    def _makeBox(self) -> None:
        from DiffOSegLib.panel.RegionWidget import showBox
        from DiffOSegLib.scene import SceneInputs

        volumeNode = self.scriptedEffect.parameterSetNode().GetSourceVolumeNode()
        SceneInputs.checkVolume(volumeNode)
        roiNode = SceneInputs.defaultRoi(volumeNode)
        showBox(roiNode)
        self.scriptedEffect.setNodeReference("Roi", roiNode)
        self._sentence = _(
            "A box was placed in the scan. Move it over the finding, then press Run."
        )

    def _run(self) -> None:
        from DiffOSegLib.run import Dependencies

        request = self._request()
        if request and Dependencies.install(ask=Dependencies.confirm, report=self._reportInstall):
            request = self._request()  # the scene may be another one by now
        if request is not None:
            self.proposal.start(request)
            self._startedAt = time.monotonic()
            self._timer.start()

    def _reportInstall(self, sentence: str) -> None:
        """Say what is being installed, and have it seen before the wait."""
        self._onChange(sentence)
        slicer.app.processEvents()

    def _request(self) -> Any:
        """Return what Run asks for; None where a box was placed first, or the editor is gone."""
        from .Proposal import Question

        effect = self.scriptedEffect
        if not self._connections or effect.parameterSetNode() is None:
            return None
        inBox = effect.parameter("Region") == REGION_ROI
        roiNode = effect.nodeReference("Roi")
        if inBox and roiNode is None:
            self._makeBox()
            return None
        model = chosen(self.options.modelCombo)
        question = Question(
            model="" if model == _DEFAULT_MODEL else model,
            expert=chosen(self.options.expertCombo),
            samples=effect.integerParameter("Samples"),
            roiNode=roiNode if inBox else None,
            marginMm=effect.doubleParameter("MarginMm"),
        )
        return self.proposal.requestFor(question)

    def _attempt(self, action: Any) -> None:
        """Do something; what prevents it is told below the Run button."""
        from diffoseg.errors import DiffOSegError

        self._sentence, self._notes = "", []
        try:
            action()
        except DiffOSegError as error:
            self._sentence = str(error)
        self._refresh()

    # -- what the options show

    def _set(self, name: str, value: str | int | float) -> None:
        self.scriptedEffect.setParameter(name, value)
        self.updateGUIFromMRML()

    def _onChange(self, sentence: str) -> None:
        self._sentence = sentence
        self.options.progressBar.value = 0
        if self.proposal.answer is not None:  # a new one is drawn as the model would draw it
            self._set("Threshold", self.proposal.threshold)
        self._refresh()

    def _onProgress(self, event: Any) -> None:
        """Show how far the run is, and what it ended with."""
        from DiffOSegLib.panel.Sentences import progress

        options = self.options
        if event.kind == "note":
            self._notes.append(event.sentence)
        elif event.kind == "progress":
            self._sentence = progress(event)
            options.progressBar.value = round(100 * (event.fraction or 0))
        elif event.kind not in ("outline", "result"):  # which the preview shows
            shown = event.kind == "done" and self.proposal.answer is not None
            self._sentence = "" if shown else event.sentence
        options.statusLabel.toolTip = event.details
        self._refresh()

    def _refresh(self) -> None:
        proposal = self.proposal
        answer = proposal.answer if proposal is not None else None
        running = proposal is not None and proposal.running
        self.options.showState(
            ready=bool(self._cards) and not _installing(),
            running=running,
            answered=answer is not None,
        )
        texts = [self._sentence]
        if answer is not None and not running:
            from . import Sentences

            threshold = self.scriptedEffect.doubleParameter("Threshold")
            texts.append(Sentences.preview(answer, threshold, proposal.drawnMl))
        texts += [f"\u26a0 {note}" for note in self._notes]
        self.options.statusLabel.text = "\n".join(filter(None, texts))


def _installing() -> bool:
    from DiffOSegLib.run import Dependencies

    return Dependencies.whyWait() is not None
