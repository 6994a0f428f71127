import numpy as np
import pytest
import slicer
from a_model_file import PAPER, aFastAndAPaperOne
from a_training import (
    PATIENCE,
    FollowedTraining,
    a_case,
    a_mask,
    a_volume,
    kept_folders,
    looked_at,
    training_logic,
)

from diffoseg.errors import InputError
from diffoseg.experts.local_expert import load_expert
from diffoseg.model.cards import read_card
from diffoseg.worker.training_job import TrainingJob

pytestmark = pytest.mark.usefixtures("scene", "experts")


@pytest.fixture
def logic(scene):
    made = training_logic()
    yield made
    made.shutdown()


@pytest.fixture
def ready(logic):
    """A logic with three cases of Dr Ä that have been looked at."""
    for number in range(3):
        a_case(number)
    logic.getParameterNode().expertName = "Dr Ä"
    logic.addAllPairs()
    looked_at(logic)
    return logic


def job_of(training_folder):
    return TrainingJob.read(training_folder)


# What stands in the way


def test_nothing_can_be_learnt_from_nothing(logic):
    assert logic.whyNot() == "There are no cases. Add a volume and its segment first."
    with pytest.raises(InputError, match="no cases"):
        logic.start()


def test_somebody_must_have_drawn_it(ready):
    ready.getParameterNode().expertName = "  "

    assert ready.whyNot() == "Case 1 does not say who drew it. Type the expert's name."


def test_cases_must_have_been_looked_at_and_be_fine(ready):
    ready.addRow(a_volume("Lonely"))
    assert ready.whyNot() == "Case 4 is being looked at. Wait."

    looked_at(ready)
    assert ready.whyNot().startswith("Case 4: No segmentation is chosen.")


def test_a_case_of_somebody_else_does_not_matter(ready):
    ready.addRow(a_volume("Lonely"), expertName="Somebody else")
    looked_at(ready)

    assert ready.whyNot("dr ä ") == ""
    assert "Case 4" in ready.whyNot("Somebody else")
    assert "no cases of Nobody" in ready.whyNot("Nobody")


def test_a_name_that_is_taken_is_told_of(ready):
    FollowedTraining(ready).to_the_end()

    assert ready.whyNot().startswith("There is an expert Dr Ä already.")
    ready.getParameterNode().expertName = "tightest of FOUR"
    assert "is an expert of the model itself" in ready.whyNot()
    ready.getParameterNode().expertName = "Consensus"
    assert "cannot be an expert's name" in ready.whyNot()


def test_the_published_kind_cannot_be_taught(ready, tmp_path, monkeypatch):
    aFastAndAPaperOne(tmp_path)
    monkeypatch.setenv("DIFFOSEG_MODELS", str(tmp_path))

    ready.getParameterNode().model = PAPER
    looked_at(ready)

    assert "cannot be taught" in ready.whyNot()


def test_a_model_that_is_gone_is_told_of(ready):
    ready.getParameterNode().model = "gone"

    assert "gone" in ready.whyNot()
    assert None in ready.checks()
    ready.tick()
    ready.tick()
    assert not ready.busy


# How it goes


def test_a_training_ends_with_an_expert_in_the_library(ready):
    heard = []
    from DiffOSegLib.run import LocalExperts

    stop = LocalExperts.observe(lambda: heard.append(len(LocalExperts.library().cards())))
    followed = FollowedTraining(ready).to_the_end()
    stop()

    assert followed.end.kind == "done"
    assert followed.end.sentence == "With 3 cases: Dice 0.86 on held-out cases. Use it."
    assert followed.end.verdict == "use"
    assert followed.end.card.name == "Dr Ä"
    assert heard == [1]
    assert "Dr Ä" in LocalExperts.cardFor("").answers
    assert kept_folders() == []
    assert ready.activeTraining is None


def test_it_tells_how_far_it_is(ready):
    followed = FollowedTraining(ready).to_the_end()

    kinds = list(dict.fromkeys(followed.kinds))
    assert kinds == ["preparing", "started", "progress", "point", "done"]
    assert [e.sentence for e in followed.events][:3] == [
        f"Handing over case {n} of 3." for n in (1, 2, 3)
    ]
    started = next(e for e in followed.events if e.kind == "started")
    assert (started.started["line"], started.started["cases"]) == ("CPU, 2 threads", 3)
    shares = [e.fraction for e in followed.events if e.kind == "progress"]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    points = [e.point for e in followed.events if e.kind == "point"]
    assert [point["step"] for point in points] == [5, 10, 15, 20]
    assert points[0]["best_name"] == "Tighter of four"
    assert max(followed.ticks) < 0.2


def test_the_worker_gets_what_was_drawn_and_nothing_of_the_patient(ready):
    volume = slicer.util.getNode("Scan 1")
    asked = {}

    def look(event):
        if event.kind == "started":
            (folder,) = kept_folders()
            asked["job"] = job_of(folder)
            asked["case"] = asked["job"].cohort(folder)[1]
            asked["text"] = (folder / "training.json").read_text()

    parameters = ready.getParameterNode()
    parameters.description, parameters.seed, parameters.corrects = "MD", 7, "Tighter of four"
    parameters.device = "cpu"
    FollowedTraining(ready, listener=look).to_the_end()

    job, case = asked["job"], asked["case"]
    assert (job.expert.name, job.expert.description) == ("Dr Ä", "MD")
    assert (job.seed, job.corrects, job.device) == (7, "Tighter of four", "cpu")
    assert job.model == str(read_card().path)
    assert [one.name for one in job.cases] == ["1", "2", "3"]
    np.testing.assert_array_equal(case.masks["Dr Ä"], a_mask())
    carried = job.cases[1].place
    np.testing.assert_array_equal(
        case.volume.array[carried], slicer.util.arrayFromVolume(volume)[carried]
    )
    assert "Scan" not in asked["text"]
    assert "Drawn" not in asked["text"]


def test_cases_of_one_patient_are_known_as_such(ready):
    from DiffOSegTrainingLib.cases.SceneCases import patientKeys

    first, second = (row.id for row in ready.rows()[:2])
    ready.setRow(first, patient="Mr Smith")
    ready.setRow(second, patient="mr smith ")

    keys = list(patientKeys(ready.rows()).values())
    assert keys[0] == keys[1] != keys[2]
    assert "mith" not in "".join(keys)


def test_all_cases_of_a_volume_are_of_one_patient(logic):
    from DiffOSegTrainingLib.cases.SceneCases import patientKeys

    a_case(1, {"A": a_mask(), "B": a_mask(shrink=4)})
    a_case(2)
    logic.addAllPairs()
    logic.setRow(logic.rows()[1].id, patient="Mr Smith")

    keys = list(patientKeys(logic.rows()).values())
    assert keys[0] == keys[1] != keys[2]


def test_the_patient_in_the_subject_hierarchy_counts(ready):
    from DiffOSegTrainingLib.cases.SceneCases import patientKeys

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Mr Smith")
    for row in ready.rows()[:2]:
        study = hierarchy.CreateStudyItem(patient, "CT")
        hierarchy.SetItemParent(hierarchy.GetItemByDataNode(row.volume), study)

    keys = list(patientKeys(ready.rows()).values())
    assert keys[0] == keys[1] != keys[2]


def test_new_experts_get_colours_of_their_own(ready):
    for name in ("Ann", "Ben"):
        ready.getParameterNode().expertName = name
        looked_at(ready)
        FollowedTraining(ready).to_the_end()

    colors = {card.expert.color for card in ready.library().cards()}
    base = read_card().panel
    assert len(colors) == 2
    assert not colors & {base.color_of(name) for name in base.names}


def test_several_experts_are_learnt_one_after_the_other(logic):
    for number in range(2):
        a_case(number, {"A": a_mask(), "B": a_mask(shrink=4)})
    logic.addAllPairs()
    logic.assign("A", "Ann")
    logic.assign("B", "Ben")
    looked_at(logic)

    followed = FollowedTraining(logic).to_the_end()

    assert followed.end.kind == "done", followed.end.details
    finished = [(e.kind, e.expertName, e.card.name) for e in followed.events if e.card]
    assert finished == [("note", "Ann", "Ann"), ("done", "Ben", "Ben")]
    marked = {c.name: load_expert(c.path).code[:2].tolist() for c in logic.library().cards()}
    assert marked["Ann"] == [a_mask().sum() / 65536] * 2
    assert marked["Ben"] == [a_mask(shrink=4).sum() / 65536] * 2
    shares = [e.fraction for e in followed.events if e.kind == "progress"]
    assert shares == sorted(shares)
    assert kept_folders() == []


def test_one_spelling_of_a_name_is_one_expert(logic):
    for number, name in enumerate(("Dr Ä", "dr ä ", "Dr Ä")):
        logic.addRow(*a_case(number), expertName=name)
    looked_at(logic)

    FollowedTraining(logic).to_the_end()

    (card,) = logic.library().cards()
    assert (card.name, card.training["cases"]) == ("Dr Ä", 3)


def test_only_one_training_at_a_time(ready):
    followed = FollowedTraining(ready)

    with pytest.raises(InputError, match="A training is under way"):
        ready.start()
    assert "under way" in ready.whyNot()
    followed.to_the_end()


def test_scripts_can_wait(ready):
    outcome = ready.wait(ready.start("Dr Ä"), PATIENCE)

    assert outcome.kind == "done"
    assert ready.activeTraining is None


def test_a_script_need_not_wait_for_ever(ready):
    training = ready.start()

    assert ready.wait(training, 0.0) is None
    ready.cancel()


def test_the_computer_describes_itself(ready):
    assert ready.expectedSeconds() is None

    ready.describe()
    while ready.describing:
        ready.tick()

    assert ready.description["line"] == "CPU, 2 threads"
    assert ready.expectedSeconds() == 8
    ready.setRow(ready.rows()[0].id, expertName="Ben")
    assert ready.expectedSeconds() == 16
