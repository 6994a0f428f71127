"""Pictures of a module's panel as Slicer opens it, alone and beside the views."""

from pathlib import Path
from typing import Any

import qt
import slicer

import SlicerHost

WIDTH = 420  # pixels, of Slicer's module panel as it opens
VIEWS = (1060, 760)

_GAP = 8


def fitted(inPanel: Any) -> Any:
    """Return the frame of the module that a widget is in, as high as what is in it."""
    frame = inPanel.window()
    for _ in range(3):
        slicer.app.processEvents()
        frame.resize(WIDTH, frame.layout().heightForWidth(WIDTH))
    return frame


def cutOff(frame: Any) -> list[str]:
    """Return the visible labels and buttons that have less room than their text needs."""
    shown = [w for w in frame.findChildren("QWidget") if w.isVisibleTo(frame)]
    texts = [w for w in shown if w.className() in ("QLabel", "QPushButton", "QCheckBox")]
    return [w.objectName for w in texts if w.text and not _fits(w)]


def _fits(widget: Any) -> bool:
    if getattr(widget, "wordWrap", False):
        return widget.width > 0 and widget.height >= widget.heightForWidth(widget.width)
    return widget.width >= widget.sizeHint().width() and widget.height >= widget.sizeHint().height()


def saveBesideViews(frame: Any, path: Path, scratch: Path) -> bool:
    """Write a picture of a frame with the application's views to its right; say whether it went."""
    left = qt.QImage(str(SlicerHost.savePng(frame, scratch / "left.png")))
    height = max(VIEWS[1], left.height())
    right = qt.QImage(str(SlicerHost.saveLayoutPng(scratch / "right.png", (VIEWS[0], height))))
    picture = qt.QImage(WIDTH + _GAP + VIEWS[0], height, qt.QImage.Format_RGB32)
    picture.fill(frame.palette.color(qt.QPalette.Window))
    painter = qt.QPainter(picture)
    painter.drawImage(0, 0, left)
    painter.drawImage(WIDTH + _GAP, 0, right)
    painter.end()
    return bool(picture.save(str(path)))
