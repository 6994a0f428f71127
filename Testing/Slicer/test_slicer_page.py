"""What Docs/slicer.md tells people to type into Slicer's Python does what it says."""

import re
from pathlib import Path

import slicer
from a_run import add_volume

PAGE = Path(__file__).resolve().parents[2] / "Docs" / "slicer.md"


def test_the_pages_lines_draw_everyone_and_say_how_it_goes(scene, capsys):
    volume = add_volume(size=(70, 70, 1), name="CT")
    box = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "R")
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    box.SetCenter([(low + high) / 2 for low, high in zip(bounds[::2], bounds[1::2], strict=True)])
    box.SetSize(8, 8, 8)
    lines = next(
        block
        for block in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
        if "sharedLogic" in block
    )
    names = {"getNode": slicer.util.getNode}

    try:
        exec(lines, names)
    finally:
        names["logic"].shutdown()

    drawn = names["results"].segmentationNode.GetSegmentation()
    found = [drawn.GetNthSegment(n).GetName() for n in range(drawn.GetNumberOfSegments())]
    assert found == [
        "Consensus",
        "Tightest of four",
        "Tighter of four",
        "Wider of four",
        "Widest of four",
    ]
    assert "kind='done'" in capsys.readouterr().out
