"""A Slicer without torch, whose installer lets events through as the real one does."""

import sys
import types
from typing import Any

import SlicerHost


def withoutTorch(monkeypatch: Any) -> list[str]:
    """Let torch be missing until it is installed; return what the installer was asked for."""
    from DiffOSegLib.run import Dependencies

    calls: list[str] = []
    done: list[bool] = []

    class PyTorchUtilsLogic:
        def installTorch(self, askConfirmation=False, torchVersionRequirement=None):
            calls.append(torchVersionRequirement)
            SlicerHost.waitForPip()
            done.append(True)

    def state() -> Any:
        missing = () if done else (Dependencies.Package("PyTorch", "runs", "big"),)
        return Dependencies.DependencyState(missing)

    module = types.ModuleType("PyTorchUtils")
    module.PyTorchUtilsLogic = PyTorchUtilsLogic
    monkeypatch.setitem(sys.modules, "PyTorchUtils", module)
    monkeypatch.setattr(Dependencies, "state", state)
    SlicerHost.answers.append(True)  # to the question before
    return calls
