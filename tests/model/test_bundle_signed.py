"""Signed bundles and bundles as one file: what is not right does not get in."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from model import bundle
from model.__main__ import main
from model.bundle import BundleError, archive, integrity
from tests.model.foreign import key_pair

SHIPPED = Path(bundle.__file__).parents[1] / "bundles" / "cxr-qc"


@pytest.fixture
def copy(tmp_path):
    return Path(shutil.copytree(SHIPPED, tmp_path / "copy"))


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return key_pair(tmp_path_factory.mktemp("keys"))


def test_a_signed_bundle_passes_with_its_key_only(copy, keys, tmp_path):
    private, public = keys
    digest = bundle.describe(copy).digest
    with pytest.raises(BundleError, match=r"no MANIFEST\.sig"):
        bundle.describe(copy, public)
    bundle.sign_bundle(copy, private)
    assert bundle.describe(copy, public).digest == digest
    assert bundle.describe(copy).digest == digest  # the signature is not in the digest
    _, other = key_pair(tmp_path)
    with pytest.raises(BundleError, match="is not of"):
        bundle.describe(copy, other)


def test_the_signature_holds_for_these_files_only(copy, keys):
    private, public = keys
    bundle.sign_bundle(copy, private)
    card = copy / "model_card.md"
    card.write_text(card.read_text("utf-8") + "better than it is\n", "utf-8")
    (copy / integrity.MANIFEST).write_bytes(integrity.build(copy))
    bundle.describe(copy)  # the hashes are right again
    with pytest.raises(BundleError, match="is not of"):
        bundle.describe(copy, public)


@pytest.mark.parametrize("raw", [b"", b"no base64!", b"QUJD\n", b"A" * 4000])
def test_what_is_no_signature_is_refused(copy, keys, raw):
    (copy / integrity.SIGNATURE).write_bytes(raw)
    with pytest.raises(BundleError, match=r"is not of|no MANIFEST.sig"):
        bundle.describe(copy, keys[1])


def test_a_changed_bundle_is_not_signed(copy, keys):
    with (copy / "model_card.md").open("a", encoding="utf-8") as file:
        file.write("x")
    with pytest.raises(BundleError, match="another size"):
        bundle.sign_bundle(copy, keys[0])


def test_another_kind_of_key_is_named(copy, keys, tmp_path):
    (tmp_path / "no.pem").write_text("-----BEGIN NOTHING-----\n", "utf-8")
    with pytest.raises(BundleError, match="openssl genpkey"):
        bundle.sign_bundle(copy, tmp_path / "no.pem")
    bundle.sign_bundle(copy, keys[0])
    with pytest.raises(BundleError, match="openssl pkey"):
        bundle.describe(copy, keys[0])  # the private key is not the public one


def test_keys_as_openssl_writes_them(copy, tmp_path, require_command, capsys):
    """The commands of docs/models.md."""
    openssl = require_command("openssl")
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    make = ["genpkey", "-algorithm", "ed25519", "-out", str(private)]
    subprocess.run([openssl, *make], check=True)
    derive = ["pkey", "-in", str(private), "-pubout", "-out", str(public)]
    subprocess.run([openssl, *derive], check=True)
    assert main(["sign", str(copy), "--key", str(private)]) == 0
    assert main(["verify", str(copy), "--public-key", str(public)]) == 0
    assert "is signed and as packed" in capsys.readouterr().out


def test_the_archive_is_the_same_bytes_and_gives_the_bundle_back(copy, keys, tmp_path):
    bundle.sign_bundle(copy, keys[0])
    first = archive.write(copy, tmp_path / "a.zip").read_bytes()
    (copy / "bundle.json").touch()
    assert archive.write(copy, tmp_path / "b.zip").read_bytes() == first
    out = archive.extract(tmp_path / "a.zip", tmp_path / "out")
    assert bundle.describe(out, keys[1]) == bundle.describe(copy, keys[1])


@pytest.mark.parametrize(
    ("name", "mode", "method", "hint"),
    [
        ("../evil.json", 0o100644, zipfile.ZIP_STORED, "leaves the folder"),
        ("/etc/evil.json", 0o100644, zipfile.ZIP_STORED, "leaves the folder"),
        ("a\\evil.json", 0o100644, zipfile.ZIP_STORED, "leaves the folder"),
        ("evil.pt", 0o100644, zipfile.ZIP_STORED, "never pickles"),
        ("evil.json", 0o120777, zipfile.ZIP_STORED, "not a plain stored file"),
        ("bomb.json", 0o100644, zipfile.ZIP_DEFLATED, "not a plain stored file"),
    ],
)
def test_an_archive_that_could_do_harm_is_refused(tmp_path, name, mode, method, hint):
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as file:
        entry = zipfile.ZipInfo(name)
        entry.external_attr, entry.compress_type = mode << 16, method
        file.writestr(entry, b"x" * 1000)
    with pytest.raises(BundleError, match=hint):
        archive.extract(path, tmp_path / "out")
    assert not list(tmp_path.rglob("evil.json"))


def test_an_archive_that_is_too_large_or_none_is_refused(tmp_path, monkeypatch):
    (tmp_path / "no.zip").write_bytes(b"PK and nothing")
    with pytest.raises(BundleError, match=r"no .zip"):
        archive.extract(tmp_path / "no.zip", tmp_path / "out")
    path = archive.write(SHIPPED, tmp_path / "a.zip")
    monkeypatch.setattr(archive, "MOST_BYTES", 1000)
    with pytest.raises(BundleError, match="more than 1000 bytes"):
        archive.extract(path, tmp_path / "out")
