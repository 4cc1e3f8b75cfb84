import fake_data
import pytest

from cvhelpers import data
from cvhelpers.data import cli

NOWHERE = ("http://127.0.0.1:9/pictures.zip", "0" * 32)


@pytest.fixture(autouse=True)
def entry(tmp_path, monkeypatch):
    monkeypatch.setenv("CVHELPERS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "*")
    entry = fake_data.fake(NOWHERE)
    monkeypatch.setitem(data.CATALOG, "fake", entry)
    return entry


def test_the_list_has_every_set_with_size_licence_and_state(tmp_path, capsys, entry):
    entry.path.mkdir()
    fake_data.write(entry.path)
    (entry.path / "provenance.json").write_text('{"kind": "reduced", "note": "halved"}')
    assert cli.main([]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "137 MB" in lines["caltech101"]
    assert "CC BY 4.0" in lines["caltech101"]
    assert lines["caltech101"].endswith("not here")
    assert lines["fake"].endswith("reduced: halved")
    assert set(data.CATALOG) < set(lines)
    assert str(tmp_path) in lines["data"]


def test_the_lists_columns_do_not_run_into_each_other(capsys):
    assert cli.main([]) == 0
    _, head, *rows = capsys.readouterr().out.splitlines()
    begins = head.index("state")
    for entry, row in zip(data.CATALOG.values(), rows, strict=False):
        assert row[:begins].endswith("  "), row
        assert f"  {entry.licence}  " in row


def test_the_list_survives_a_broken_provenance(capsys, entry):
    entry.path.mkdir()
    fake_data.write(entry.path)
    (entry.path / "provenance.json").write_text("{")
    assert cli.main([]) == 0
    assert "broken: " in capsys.readouterr().out


def test_a_failed_download_is_told_and_counted(capsys):
    assert cli.main(["fake"]) == 1
    assert f"- {NOWHERE[0]}: " in capsys.readouterr().err


def test_an_unknown_name_does_not_stop_the_others(capsys, entry):
    entry.path.mkdir()
    fake_data.write(entry.path)
    assert cli.main(["flours", "fake"]) == 1
    output = capsys.readouterr()
    assert "unknown data set 'flours'" in output.err
    assert f"fake: in {entry.path}, unverified" in output.out


def test_all_means_every_set(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(cli, "download", lambda entry: asked.append(entry.name))
    assert cli.main(["all"]) == 0
    assert asked == list(data.CATALOG)
