"""Slice and 3D views: slicer-core's logics and displayable managers, rendered off screen."""

from pathlib import Path
from typing import Any

import slicer
import vtk

SIZE = (512, 512)
SLICE_MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLScalarBarDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLTransformsDisplayableManager2D",
    "vtkMRMLColorLegendDisplayableManager",
)
THREE_D_MANAGERS = (
    "vtkMRMLVolumeRenderingDisplayableManager",
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLThreeDReformatDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
)


def pictureOf(window: Any) -> Any:
    """Render a window and return a vtkImageData of 8 bit RGB."""
    window.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.SetInputBufferTypeToRGB()
    grab.Update()
    return grab.GetOutput()


def writePng(pixels: Any, path: Path | str) -> Path:
    writer = vtk.vtkPNGWriter()
    writer.SetFileName(str(path))
    writer.SetInputData(pixels)
    writer.Write()
    return Path(path)


class View:
    """A view node drawn by its displayable managers; the window is made when first asked for."""

    factory: Any
    managers: tuple[str, ...]
    logic: Any

    def __init__(self, node: Any, application: Any) -> None:
        self.node, self._application = node, application
        self._size = SIZE
        self._window: Any = None

    def renderWindow(self) -> Any:
        if self._window is None:
            self._open()
        return self._window

    def renderer(self) -> Any:
        return self.renderWindow().GetRenderers().GetFirstRenderer()

    firstRenderer = renderer

    def displayableManagerByClassName(self, name: str) -> Any:
        self.renderWindow()
        return self._group.GetDisplayableManagerByClassName(name)

    def setSize(self, size: tuple[int, int]) -> None:
        """Resize as a layout does; in pixels."""
        self._size = size
        if self._window is not None:
            self._window.SetSize(*size)
            self._interactor.SetSize(*size)

    def pixels(self) -> Any:
        """Render and return a vtkImageData of 8 bit RGB."""
        return pictureOf(self.renderWindow())

    def savePng(self, path: Path | str) -> Path:
        return writePng(self.pixels(), path)

    def scheduleRender(self) -> None:
        """Answer module code; this host renders when a picture is wanted."""

    def forceRender(self) -> None:
        self.renderWindow().Render()

    def close(self) -> None:
        """Stop answering the scene.

        Python frees a view at any moment, also in the midst of what its own logic does on an event.
        """
        self.logic.RemoveAllObservers()
        self.logic.SetMRMLScene(None)
        if self._window is not None:
            self._group.SetMRMLDisplayableNode(None)

    def _open(self) -> None:
        renderer, self._window = vtk.vtkRenderer(), vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(1)
        self._window.ShowWindowOff()
        self._window.AddRenderer(renderer)
        self._interactor = vtk.vtkRenderWindowInteractor()
        self._interactor.SetRenderWindow(self._window)
        self.setSize(self._size)
        self._interactor.Initialize()
        self._drawFirst(renderer)
        self._group = self._displayableManagers(renderer)
        self._interact()
        self.node.SetMappedInLayout(1)
        self._group.SetMRMLDisplayableNode(self.node)

    def _displayableManagers(self, renderer: Any) -> Any:
        factory = self.factory.GetInstance()
        factory.SetMRMLApplicationLogic(self._application)
        for name in self.managers:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        group = slicer.vtkMRMLDisplayableManagerGroup()
        group.SetRenderer(renderer)
        group.Initialize(factory, renderer)
        return group

    def _drawFirst(self, renderer: Any) -> None:
        """Add what has to lie under all the managers draw."""

    def _interact(self) -> None:
        raise NotImplementedError


class SliceView(View):
    """One slice plane through the scene, background and overlays."""

    factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory
    managers = SLICE_MANAGERS

    def __init__(self, node: Any, application: Any, scene: Any) -> None:
        super().__init__(node, application)
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(application)
        application.GetSliceLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(scene)
        self.logic.SetSliceNode(node)
        self.logic.ResizeSliceNode(*self._size)

    def mrmlSliceNode(self) -> Any:
        return self.node

    def setSize(self, size: tuple[int, int]) -> None:
        super().setSize(size)
        self.logic.ResizeSliceNode(*size)

    def _drawFirst(self, renderer: Any) -> None:
        """Add the image itself: 2D actors are drawn in the order they came, with a depth test.

        Added after the segments it would be hidden behind them and they would blend with black.
        """
        renderer.GetActiveCamera().ParallelProjectionOn()
        self._mapper, self._image = vtk.vtkImageMapper(), vtk.vtkActor2D()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._image.SetMapper(self._mapper)
        self._image.GetProperty().SetDisplayLocationToBackground()
        renderer.AddViewProp(self._image)
        self.logic.AddObserver(vtk.vtkCommand.ModifiedEvent, self._connectImage)
        self._connectImage()

    def _connectImage(self, *_: Any) -> None:
        connection = self.logic.GetImageDataConnection()
        self._mapper.SetInputConnection(connection)
        self._image.SetVisibility(bool(connection))

    def _interact(self) -> None:
        overlay = vtk.vtkRenderer()
        overlay.SetLayer(1)
        self._window.SetNumberOfLayers(2)
        self._window.AddRenderer(overlay)
        self._style = slicer.vtkMRMLSliceViewInteractorStyle()
        self._style.SetDisplayableManagers(self._group)
        self._style.SetSliceLogic(self.logic)
        self._style.SetInteractor(self._interactor)
        self._interactor.SetInteractorStyle(vtk.vtkInteractorStyleUser())


class ThreeDView(View):
    """The scene in perspective."""

    factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory
    managers = THREE_D_MANAGERS

    def __init__(self, node: Any, application: Any, scene: Any) -> None:
        super().__init__(node, application)
        self.logic = slicer.vtkMRMLViewLogic()
        self.logic.SetMRMLApplicationLogic(application)
        application.GetViewLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(scene)
        self.logic.AddViewNode(node.GetLayoutName())  # finds the node of that name

    def mrmlViewNode(self) -> Any:
        return self.node

    def resetFocalPoint(self) -> None:
        """Look at the middle of what is shown, from where the camera is."""
        bounds = vtk.vtkBoundingBox()
        found = [0.0] * 6
        self.renderer().ComputeVisiblePropBounds(found)
        bounds.SetBounds(found)
        if bounds.IsValid():
            self.renderer().ResetCamera(found)

    def _interact(self) -> None:
        self._style = slicer.vtkMRMLThreeDViewInteractorStyle()
        self._style.SetDisplayableManagers(self._group)
        self._style.SetInteractor(self._interactor)
        self._interactor.SetInteractorStyle(vtk.vtkInteractorStyle3D())
