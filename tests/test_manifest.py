"""manifest: reading, checking, targets and points."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_course import MANIFEST, make_course

from cvhelpers import manifest
from cvhelpers.manifest import Metric, load


def _load(tmp_path: Path, text: str) -> manifest.Manifest:
    path = tmp_path / "course.toml"
    path.write_text(text)
    return load(path)


def test_reads_everything(tmp_path: Path) -> None:
    course = _load(tmp_path, MANIFEST)
    assert list(course.sections) == ["1_zoo/1_lions", "1_zoo/2_tigers"]
    lions = course.section("1_zoo/1_lions")
    assert (lions.title, lions.assignment, lions.points) == ("Counting lions", "1_zoo", 20)
    assert (lions.timeout, lions.optional) == ({"smoke": 100, "quick": 200}, False)
    assert lions.metrics["accuracy"].points == ([0.6, 5], [0.7, 8])
    assert course.section("1_zoo/2_tigers").after == ("1_zoo/1_lions",)
    assert course.assignments["1_zoo"].formats == ("ipynb", "html")


def test_finds_the_manifest_above_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_course(tmp_path)
    monkeypatch.chdir(tmp_path / "notebooks" / "1_zoo")
    assert manifest.repository_root() == tmp_path
    assert "1_zoo/1_lions" in load().sections


def test_outside_any_checkout_the_package_finds_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (manifest.repository_root() / "cvhelpers").is_dir()


def test_an_installed_package_falls_back_on_its_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages" / "cvhelpers"
    package.mkdir(parents=True)
    (package / "course.toml").write_text(MANIFEST)
    monkeypatch.setattr(manifest, "_PACKAGE", package)
    monkeypatch.chdir(tmp_path)
    assert manifest.repository_root() == tmp_path
    assert "1_zoo/1_lions" in load().sections


def test_a_section_is_found_by_its_notebook_and_a_near_name_is_offered(tmp_path: Path) -> None:
    course = _load(tmp_path, MANIFEST)
    assert course.section("notebooks/1_zoo/1_lions.ipynb").id == "1_zoo/1_lions"
    with pytest.raises(ValueError, match="did you mean '1_zoo/1_lions'"):
        course.section("1_zoo/1_lion")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('title = "Counting lions"', 'titel = "x"', "1_zoo/1_lions: unknown key 'titel'"),
        ("smoke = 100", "smokey = 100", "timeout: unknown key 'smokey'.*'smoke'"),
        ("formats =", "form =", "assignments.1_zoo: unknown key 'form'"),
        ("target_provenance", "provenance", "metric accuracy: unknown key 'provenance'"),
        ("[[sections]]", "[[section]]", "the file: unknown key 'section'"),
        ('title = "Counting lions"\n', "", "title is missing"),
        ("points = 20", 'points = "20"', "points = '20' must be of type float"),
        ("points = 20", "points = true", "points = True must be of type float"),
        ("optional = true", "optional = 1", "optional = 1 must be of type bool"),
        ('"1_zoo/2_tigers"', '"1_zoo/1_lions"', "duplicate id"),
        ('"1_zoo/2_tigers"', '"2_sea/2_tigers"', "id must be ASSIGNMENT/NOTEBOOK"),
        ('better = "higher"', "", "a target without better"),
        ('better = "higher"', 'better = "more"', "better = 'more'"),
        ('better = "higher"', 'better = "lower"', "points are not sorted"),
        ("[[0.6, 5], [0.7, 8]]", "[[0.7, 8], [0.6, 5]]", "points are not sorted"),
        ("[[0.6, 5], [0.7, 8]]", "[[0.6, 8], [0.7, 5]]", "points are not sorted"),
        ("[[0.6, 5], [0.7, 8]]", "[0.6, 5]", r"write \[\[bar, points\]"),
        ('["real", "reduced"]', '["reel"]', "target_provenance 'reel'; did you mean 'real'"),
        ('main_figure = "curve"', 'main_figure = "map"', "main_figure 'map' is not in figures"),
        ('after = ["1_zoo/1_lions"]', 'after = ["1_zoo/3"]', "after names '1_zoo/3'"),
        ("[sections.timeout]", "[sections.timeout", "course.toml"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in MANIFEST
    with pytest.raises(ValueError, match=message) as caught:
        _load(tmp_path, MANIFEST.replace(old, new))
    assert "course.toml" in str(caught.value)


def test_target_and_points_hold_for_their_data_only() -> None:
    scale = ((0.65, 5), (0.67, 8))
    metric = Metric("a", "A", target=0.67, target_provenance=("real", "reduced"), points=scale)
    assert metric.reached(0.67, ["real"]) is True
    assert metric.reached(0.6699, ["real", "reduced"]) is False
    assert metric.reached(0.9, ["sample"]) is None
    assert metric.reached(0.9, ["real", "sample"]) is None
    assert metric.reached(0.9, []) is None
    assert Metric("a", "A").reached(0.9, ["real"]) is None
    assert [metric.points_for(value) for value in (0.64, 0.65, 0.9)] == [0, 5, 8]
    assert Metric("a", "A").points_for(0.9) is None


def test_lower_is_better() -> None:
    metric = Metric("loss", "L", better="lower", target=0.5, points=((1.0, 1), (0.5, 2)))
    assert metric.reached(0.4, ["real"]) is True
    assert metric.reached(0.6, ["real"]) is False
    assert [metric.points_for(value) for value in (1.1, 0.7, 0.5)] == [0, 1, 2]


def test_the_course_itself_is_sound() -> None:
    course = load(Path(__file__).parents[1] / "notebooks" / "course.toml")
    for section in course.sections.values():
        assert set(section.timeout) == {"smoke", "quick", "full"}
    for assignment in course.assignments.values():
        assert "{student}" in assignment.template


def test_a_target_may_hold_for_named_weights_alone() -> None:
    metric = Metric("iou", "IoU", target=0.7, target_weights=("mobilenet_v2",))
    assert metric.reached(0.8, ["real"], "mobilenet_v2") is True
    assert metric.reached(0.6, ["real"], "mobilenet_v2") is False
    assert metric.reached(0.8, ["real"], "resnet18") is None
    assert metric.reached(0.8, ["real"]) is None  # random weights
    assert metric.reached(0.8, ["sample"], "mobilenet_v2") is None
    anything = Metric("iou", "IoU", target=0.7)
    assert anything.reached(0.8, ["real"], "resnet18") is True
