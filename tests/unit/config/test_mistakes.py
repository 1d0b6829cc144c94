"""Every mistake is told: all at once, with line, key and remedy, without secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomnode import config
from dicomnode.errors import ConfigError

NOWHERE = {"CREDENTIALS_DIRECTORY": "/nonexistent"}
PIPELINE = """
[[destination]]
name = "PACS"
ae_title = "ORTHANC"
host = "127.0.0.1"
port = 4242
[[pipeline]]
name = "p"
bundle = "b"
destinations = ["PACS"]
"""
AFTER = f"""{PIPELINE}match = {{}}
[[pipeline]]
name = "q"
bundle = "b"
match = {{}}
mode = "shadow"
after = 'p'
"""


def complaint(folder: Path, text: str, environ: dict[str, str] | None = None) -> str:
    path = folder / "c.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        config.load(path, environ=NOWHERE | (environ or {}))
    return str(caught.value).replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[node]\n\nae_titel = 'X'", "c.toml:3: node.ae_titel is an unknown key; did "
         "you mean `ae_title`?"),
        ("[receiver]\nquiet_seconds = 3", "c.toml:2: receiver.quiet_seconds is an "
         "unknown key here; `quiet_seconds` belongs to [study]"),
        ("[nod]\nae_title = 'X'", "c.toml:1: nod is an unknown key; did you mean "
         "`node`?"),
        ("[receiver.tls]\nprt = 1", "c.toml:2: receiver.tls.prt is an unknown key; did "
         "you mean `port`?"),
        ("[[peer]]\nae_title='A'\nhosts=['h']\n[[peer]]\nae_title='B'\nhost='h'",
         "c.toml:6: peer[2].host is an unknown key; did you mean `hosts`?"),
        ("node.ae_titel = 'X'", "c.toml:1: node.ae_titel is an unknown key"),
        ("[receiver]\nport = 70000", "c.toml:2: receiver.port must be at most 65535"),
        ("[receiver]\nport = -1", "c.toml:2: receiver.port must be at least 0"),
        ("[receiver]\nport = 'x'", "receiver.port must be a whole number, without"),
        ("[receiver]\nport = 1.5", "receiver.port must be a whole number"),
        ("receiver = 3", "c.toml:1: receiver must be a table"),
        ("[receiver]\nunknown_peers = 'maybe'", "must be 'refuse' or 'accept'"),
        ("[receiver.tls]\nenabled = true", "name both PEM files"),
        ("[receiver.tls]\nrequired = true", "c.toml:1: receiver.tls is required and "
         "not enabled, so no port would be left; set enabled = true"),
        (PIPELINE.replace("4242", "4242\ntls = true\ntls_certificate = 'c'")
         + "match = {}", "has one of tls_certificate and tls_private_key"),
        (PIPELINE.replace("4242", "4242\ntls_ca = 'c'") + "match = {}",
         "does not use TLS, so what we send would go in the clear; set tls = true"),
        ("[[peer]]\nae_title='A'\nhosts=['h']\nservices=['find']",
         "services[1] must be 'store', 'echo' or 'commitment'"),
        ("[[peer]]\nae_title='A'\nhosts=['h']\nservices=[]", "name at least 1"),
        (PIPELINE.replace("4242", "4242\nstorage_commitment = 'always'")
         + "match = {}", "storage_commitment must be 'auto', 'required' or 'off'"),
        (PIPELINE.replace("4242", "4242\ncommitment_timeout_seconds = 0")
         + "match = {}", "commitment_timeout_seconds must be more than 0"),
        ("[[peer]]\nae_title='A'\nhosts=['h']\nport=70000",
         "c.toml:4: peer[1].port must be at most 65535"),
        ("[[retention.rule]]\nmatch={Modalty='CT'}\nkeep_days=1",
         "c.toml:2: retention.rule[1].match.Modalty is no DICOM keyword; did you mean "
         "Modality?"),
        ("[[retention.rule]]\nmatch={}\nkeep_days=-1",
         "c.toml:3: retention.rule[1].keep_days must be at least 0"),
        ("[retention]\nkeep_days=36501",
         "c.toml:2: retention.keep_days must be at most 36500"),
        ("[[retention.rule]]\nmatch={}", "c.toml:1: retention.rule[1].keep_days is "
         "missing; add `keep_days = ...`"),
        ("[[retention.rule]]\nkeep_days=1", "retention.rule[1].match is missing"),
        ("[[retention.rule]]\nmatch={}\nkeep_days=1\ndays=1",
         "c.toml:4: retention.rule[1].days is an unknown key"),
        ("[retention.rule]\nmatch={}\nkeep_days=1", "c.toml:1: retention.rule must be "
         "a list"),
        ("[[retention.rule]]\nmatch={Rows={min=1}}\nkeep_days=1\n"
         "[[retention.rule]]\nmatch={}\nkeep_days=1\n"
         "[[retention.rule]]\nmatch={Modality='CT'}\nkeep_days=1",
         "c.toml:7: retention.rule[3] is never reached: rule 2 takes every study that "
         "it could, and the first one that matches decides; move it before rule 2, or "
         "remove it"),
        ("[[retention.rule]]\nmatch={Modality='CT'}\nkeep_days=1\n"
         "[[retention.rule]]\nmatch={Modality='CT'}\nkeep_days=2",
         "c.toml:4: retention.rule[2] is never reached: rule 1 takes"),
        ("[node]\nae_title = 'SEVENTEEN_LETTERS'", "has 17 characters; shorten it"),
        ("[node]\nae_title = '   '", "is empty; write 1 to 16 characters"),
        ("[node]\nae_title = 'A\\B'", "holds a backslash"),
        ('[node]\nae_title = "A\\tB"', "a control character"),
        ("[node]\nae_title = 'Ä'", "beyond ASCII"),
        ("[web]\nhost = 'http://x'", "is no address"),
        ("[[peer]]\nae_title='A'\nhosts=['10.0.0.1/8']", "is no network"),
        ("[[peer]]\nae_title='A'\nhosts=[]", "must name at least 1"),
        ("[[peer]]\nae_title='A'", "c.toml:1: peer[1].hosts is missing; add `hosts"),
        ("[store]\nurl = 's3://k:s@b'", "must not hold credentials"),
        ("[store]\nurl = 'ftp://b'", "is no store we know"),
        ("[study]\nquiet_seconds = inf", "must be a finite number"),
        ("[study]\nquiet_seconds = nan", "study.quiet_seconds must be"),
        ("[worker]\ndevice = 'gpu'", "use auto, cpu, cuda or cuda:1"),
        ("[worker]\nheartbeat_seconds = 100", "at most half of lease_seconds"),
        ("[worker]\nretry_seconds = 5", "must be a list, in [brackets]"),
        ("[worker]\nretry_seconds = [5, -1]", "worker.retry_seconds[2] must be more"),
        ("[telemetry]\nlog_format = 'xml'", "must be 'json' or 'console'"),
        (PIPELINE, "c.toml:7: pipeline[1].match is missing"),
        (PIPELINE + "match = { Modalty = 'CR' }", "c.toml:11: pipeline[1].match.Modalty"
         " is no DICOM keyword; did you mean Modality?"),
        (PIPELINE + "[pipeline.match]\nPixelData = 'x'", "c.toml:12: pipeline[1].match."
         "PixelData holds no text"),
        (PIPELINE + "match = { Rows = { mni = 3 } }", "holds 'mni'; write { not ="),
        (PIPELINE + "match = { Rows = { min = 5, max = 3 } }", "a min above its max"),
        (PIPELINE + "match = { Rows = { min = 'a' } }", "min and max must be numbers"),
        (PIPELINE + "match = { Modality = [] }", "matches nothing; name a value"),
        (PIPELINE + "match = { Modality = true }", "must be a text, a number"),
        (PIPELINE + "match = {}\nresults = ['pdf']", "must be 'sr', 'sc' or 'gsps'"),
        (PIPELINE + "match = {}\nresults = ['gsps']", 'nothing; add "sr" or "sc"'),
        (PIPELINE + "match = {}\n[results]\nlanguage = 'it'", "results.language must"),
        ("[[pipeline]]\nname='p'\nbundle='../b'\nmatch={}", "is no name"),
        ("[[pipeline]]\nname='p'\nbundle='b'\nmatch={}", "has no destinations"),
        (PIPELINE.replace('["PACS"]', '["PACZ"]'), "c.toml:10: pipeline[1].destinations"
         "[1] names 'PACZ', which no [[destination]] defines; did you mean 'PACS'?"),
        (PIPELINE + "match = {}\nafter = 'q'", "c.toml:12: pipeline[1].after names "
         "'q', which no [[pipeline]] has; add one of that name"),
        (AFTER.replace("'p'", "'pp'"), "c.toml:17: pipeline[2].after names 'pp', "
         "which no [[pipeline]] has; did you mean 'p'? else add one of that name"),
        (PIPELINE + "match = {}\nafter = 'p'", "c.toml:12: pipeline[1].after waits for "
         "itself (p after p), so no job would ever start; set after = \"\" in one"),
        (AFTER.replace("match = {}", "match = {}\nafter = 'q'", 1), "c.toml:18: "
         "pipeline[2].after waits for itself (p after q after p)"),
        (PIPELINE + "match = {}\nafter = ' p'", "pipeline[1].after is no name"),
        (AFTER + "findings = { turned = 'NO' }", "c.toml:18: pipeline[2].findings."
         "turned[1] must be 'PRESENT', 'ABSENT' or 'UNDETERMINED'"),
        (AFTER + "findings = { turned = [] }", "turned must name at least 1"),
        (AFTER + "findings = { turned = true }", "turned must be a list, in ["),
        (PIPELINE + "match = {}\nfindings = { turned = 'ABSENT' }", "pipeline[1] has "
         "findings and comes after no pipeline"),
        ("[[peer]]\nae_title='A'\nhosts=['h']\n[[peer]]\nae_title='A '\nhosts=['h']",
         "c.toml:5: peer[2].ae_title 'A' is used twice"),
    ],
)  # fmt: skip
def test_each_mistake_has_its_line_and_remedy(
    tmp_path: Path, text: str, expected: str
) -> None:
    assert expected in complaint(tmp_path, text)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = "[node]\nae_titel = 'X'\n[web]\nport = 'x'\n[[pipeline]]\nname = 'p'\n"
    lines = complaint(tmp_path, text + "destinations = ['Q']").splitlines()
    keys = [line.split(": ", 1)[1].split(" ")[0] for line in lines]
    assert sorted(keys) == [
        "node.ae_titel",
        "pipeline[1].bundle",
        "pipeline[1].destinations[1]",
        "pipeline[1].match",
        "web.port",
    ]


def test_a_mistake_in_a_variable_names_the_variable(tmp_path: Path) -> None:
    environ = {"DICOMNODE_WEB__PRT": "1", "DICOMNODE_WBE__PORT": "1"}
    text = complaint(tmp_path, "", environ)
    assert "environment DICOMNODE_WEB__PRT: web.prt is an unknown key; did" in text
    assert "environment DICOMNODE_WBE__PORT: wbe is an unknown key; did" in text


def test_a_mistake_on_the_command_line_says_so() -> None:
    with pytest.raises(ConfigError, match=r"command line: receiver\.prt is an unknown"):
        config.load(overrides={"receiver.prt": "1"}, environ=NOWHERE)


@pytest.mark.parametrize(
    "url", ["mysql://user:geheim@host/db", "geheim", "postgresql:geheim"]
)
def test_a_wrong_database_url_is_never_repeated(tmp_path: Path, url: str) -> None:
    text = complaint(tmp_path, f"[database]\nurl = '{url}'")
    assert "c.toml:2: database.url is no database we know" in text
    assert "geheim" not in text


def test_syntax_errors_have_their_line(tmp_path: Path) -> None:
    text = complaint(tmp_path, "[node]\nae_title = DICOM\n")
    assert text.startswith("c.toml:2:12: not valid TOML: ")
    assert "dicomnode config example" in text
    assert "twice" not in complaint(tmp_path, "[a]\nb=1\nb=2")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; `dicomnode init --config"):
        config.load(tmp_path / "none.toml", environ=NOWHERE)
    with pytest.raises(ConfigError, match="name a readable file"):
        config.load(tmp_path, environ=NOWHERE)
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"# ok\n# caf\xe9\n")
    with pytest.raises(ConfigError, match=r"latin\.toml:2: not UTF-8"):
        config.load(latin, environ=NOWHERE)
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * 1_000_001)
    with pytest.raises(ConfigError, match="too large"):
        config.load(large, environ=NOWHERE)


def test_windows_line_ends_and_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(b"\xef\xbb\xbf[node]\r\nae_title = 'X'\r\n")
    found = config.load(path, environ=NOWHERE)
    assert found.node.ae_title == "X"
    assert config.origin(found)["node.ae_title"] == f"{path}:2"


ARCHIVE = """[[destination]]
name = "ARCHIVE"
retrieve = "dicomweb"
dicomweb_url = "https://pacs.hospital.org/dicom-web"
"""


def test_an_archive_that_is_only_read_needs_no_ae_title(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text(ARCHIVE)
    found = config.load(file, environ=NOWHERE)
    assert [one.takes_results for one in found.destination] == [False]
    assert found.result_destinations == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            ARCHIVE + "host = '10.0.0.9'\n",
            "destination[1] has not all of ae_title, host",
        ),
        (
            ARCHIVE.replace("dicomweb", "c-get", 1),
            "destination[1].ae_title is missing; add `ae_title = ...`",
        ),
        (ARCHIVE.replace("dicomweb", "c-get", 1), "destination[1].port is missing"),
        (
            ARCHIVE + PIPELINE.replace('["PACS"]', '["ARCHIVE"]'),
            "names 'ARCHIVE', which is only read by DICOMweb; give it ae_title, host",
        ),
    ],
)
def test_an_archive_that_gets_results_is_called(tmp_path, text, said):
    assert said in complaint(tmp_path, text)
