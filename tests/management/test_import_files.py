"""The import's hand on files: YAML keeps what a person wrote, and several files change together or not at all."""

import os
from pathlib import Path

import pytest

from shared.management.file_changes import FileChange, write_all
from shared.management.yaml_file import YamlFile
from tests.management.importing import texts

SECTIONS = ("named_values", "backends", "products", "apis")

COMMENTED = """\
# What we serve.
limits: {max_request_body: 1024}   # bytes

backends:
  # the first one
  one:
    url: "http://one"   # beside
    tls: {validate_certificate_name: False}
    list:
      - a
      - b   # last of the list

  # two:
  #   url: http://two

# ---- APIs ----
apis:
  chat:
    path: chat
    description: >
      folded
      text

# The end.
"""


def test_new_entry_adds_lines_and_touches_none() -> None:
    file = YamlFile(COMMENTED, SECTIONS)
    assert file.put("backends", "three", {"url": "http://three"}) == "added"
    assert file.put("products", "gold", {"display_name": "Gold"}) == "added"
    assert file.put("apis", "more", {"path": "more", "products": ["gold"]}) == "added"
    expected = COMMENTED.replace(
        "  #   url: http://two\n",
        "  #   url: http://two\n  three:\n    url: http://three\n\nproducts:\n  gold:\n    display_name: Gold\n",
    ).replace("      text\n", "      text\n  more:\n    path: more\n    products: [gold]\n")
    assert file.text() == expected


def test_update_replaces_only_what_differs() -> None:
    file = YamlFile(COMMENTED, SECTIONS)
    assert file.put("backends", "one", {"url": "http://one"}) == "unchanged"
    assert file.text() == COMMENTED
    assert file.put("backends", "one", {"url": "http://new", "list": ["c"]}) == "updated"
    text = file.text()
    assert '    url: "http://new"   # beside\n    tls: {validate_certificate_name: False}\n    list: [c]' in text
    assert all(comment in text for comment in ("# the first one", "# two:", "# ---- APIs ----\napis:", "# The end."))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a comment\n",
        "---\nbackends: {}\n# none yet\napis:\n# todo\n",
        "apis:\n  a: {path: a}",
        "backends:\n    a:\n        text: |\n            two\n        # after it\n\n# apis\napis:\n    a: 1\n",
        "backends:\r\n  a:\r\n    url: http://a\r\n\r\napis: # ours\r\n  a:\r\n    path: a\r\n",
        "apis:\n  a:\n    list:\n    - one\n    - two\n",
        "\n# after an empty line\nbackends:\n  a: { url: http://a,  tls: null }\n  b: {url: 'x'}\napis:\n  a: ~\n",
    ],
)
def test_any_layout_keeps_its_lines_and_a_second_time_changes_nothing(text: str) -> None:
    def put(text: str) -> str:
        file = YamlFile(text, SECTIONS)
        for section in SECTIONS:
            file.put(section, "new", {"value": "{{x}}", "more": {"deep": [1, 2]}})
        return file.text()

    once = put(text)
    kept = [line for line in text.splitlines() if not line.endswith("{}")]
    lines = iter(once.splitlines())
    assert all(line in lines for line in kept), once  # each old line, in the old order
    assert put(once) == once
    assert ("\r\n" in once) == ("\r\n" in text)
    assert YamlFile(once, SECTIONS).entry("apis", "new") == {"value": "{{x}}", "more": {"deep": [1, 2]}}


def test_files_change_together_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("old")
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "inside").write_text("x")
    changes = [
        FileChange(tmp_path / "one", "old", "new"),
        FileChange(tmp_path / "folder" / "two", None, "new"),
        FileChange(tmp_path / "blocked", None, "a file cannot take a folder's place"),
    ]
    with pytest.raises(OSError):
        write_all(changes)
    assert texts(tmp_path) == {"blocked/inside": "x", "one": "old"}
    write_all(changes[:2])
    assert texts(tmp_path) == {"blocked/inside": "x", "folder/two": "new", "one": "new"}


def test_file_keeps_its_permissions_and_a_private_one_is_the_owners_alone(tmp_path: Path) -> None:
    file, link = tmp_path / "real", tmp_path / "link"
    file.write_text("old")
    file.chmod(0o640)
    link.symlink_to(file)
    write_all([FileChange(link, "old", "new"), FileChange(tmp_path / "secret", None, "s", private=True)])
    assert link.is_symlink()
    assert file.read_text() == "new"
    assert [os.stat(path).st_mode & 0o777 for path in (file, tmp_path / "secret")] == [0o640, 0o600]
