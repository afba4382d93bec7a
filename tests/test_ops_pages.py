"""Large pages: when a program asks for them, and that asking changes nothing else."""

import os
import subprocess
import sys

import pytest

from hvc_jax.ops import pages


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A Linux with a recent glibc whose kernel gives large pages on request."""
    switch = tmp_path / "enabled"
    switch.write_text("always [madvise] never\n")
    monkeypatch.setattr(pages, "_SWITCH", switch)
    monkeypatch.setattr(pages.platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    return switch


def test_environment_gains_the_setting_alone(machine):
    found = pages.environment_with_large_pages()
    assert found.pop("GLIBC_TUNABLES") == "glibc.malloc.hugetlb=1"
    assert found == dict(os.environ)


@pytest.mark.parametrize("library", [("glibc", "2.31"), ("", ""), ("musl", "1.2")])
def test_other_libraries_are_left_alone(machine, monkeypatch, library):
    monkeypatch.setattr(pages.platform, "libc_ver", lambda: library)
    assert pages.environment_with_large_pages() is None


@pytest.mark.parametrize("chosen", ["[always] madvise never", "always madvise [never]", None])
def test_kernels_that_do_not_listen_are_left_alone(machine, chosen):
    if chosen is None:
        machine.unlink()
    else:
        machine.write_text(chosen)
    assert pages.environment_with_large_pages() is None


def test_what_the_user_says_stays(machine, monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=0")
    assert pages.environment_with_large_pages() is None


def test_a_program_restarts_once_as_itself(machine):
    program = (
        "import os, sys, pathlib\n"
        "from hvc_jax.ops import pages\n"
        "pages._SWITCH = pathlib.Path(sys.argv[1])\n"
        "pages.platform.libc_ver = lambda: ('glibc', '2.36')\n"
        "print(os.getpid(), sys.argv[2], os.environ.get('GLIBC_TUNABLES'), flush=True)\n"
        "pages.restart_with_large_pages()\n"
        "print('goes on')\n"
    )
    words = [sys.executable, "-c", program, str(machine), "an argument"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    first, second, end = done.stdout.splitlines()
    assert first.endswith("an argument None")
    assert second == first.replace("None", "glibc.malloc.hugetlb=1")
    assert end == "goes on"
