"""
What CI runs, by name; ``nox -l`` lists all.

The tests find a PostgreSQL themselves (tests/fixtures/discovery.py).
Arguments after ``--`` go to pytest: ``nox -s "tests(3.11)" -- -k trigger``.
"""

from __future__ import annotations

import json
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["tests(3.11)", "lint", "types", "architecture", "docs"]
nox.options.default_venv_backend = "venv"

NEWEST = ("sqlalchemy>=2.1", "alembic>=1.20")
BETWEEN = ("sqlalchemy>=2.0.40,<2.1", "alembic==1.19.2")
LOWEST = ("--constraint", "tests/lowest.txt")
# Each version that is supported is in one cell at least.
CELLS = [
    # python, what pip is told beside ours
    nox.param("3.11", NEWEST, id="3.11"),
    nox.param("3.12", NEWEST, id="3.12"),
    nox.param("3.13", NEWEST, id="3.13"),
    nox.param("3.14", NEWEST, id="3.14"),
    nox.param("3.13", BETWEEN, id="between"),
    nox.param("3.11", LOWEST, id="lowest"),
]


@nox.session
@nox.parametrize(["python", "versions"], CELLS)
def tests(session: nox.Session, versions: tuple[str, ...]) -> None:
    """
    Run the suite.
    """
    session.install("-e", ".[dev]", *versions)
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """
    Check style, format, spelling, and what GitHub is asked to run.
    """
    session.install("ruff", "codespell", "check-jsonschema")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("codespell")
    workflows = map(str, sorted(Path(".github/workflows").glob("*.yml")))
    session.run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows)


@nox.session
def types(session: nox.Session) -> None:
    """
    Check the source strictly, and the uses of it in tests/typing with two checkers.
    """
    session.install("-e", ".[dev]", "basedpyright")
    session.run("mypy")
    session.run("basedpyright", "--level", "error")


@nox.session
def architecture(session: nox.Session) -> None:
    """
    Check who imports whom.
    """
    session.install("-e", ".[dev]")
    session.run("lint-imports")


@nox.session
def docs(session: nox.Session) -> None:
    """
    Build the documentation; a warning is an error.
    """
    session.install("-e", ".[dev]")
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html")


@nox.session
def peers(session: nox.Session) -> None:
    """
    Follow the pages "Moving from …" with every library, also the one that wants SQLAlchemy 2.0.
    """
    session.install("-e", ".[dev]", "sqlalchemy-easy-softdelete>=0.9", "sqlalchemy<2.1")
    session.run("pytest", "tests/docs/test_moving_from.py", *session.posargs)


@nox.session
def bare(session: nox.Session) -> None:
    """
    Import the built package with SQLAlchemy and nothing else.
    """
    session.install(".")
    session.run("python", "-I", "-c", "import pgultra; print(pgultra.__version__)")


@nox.session
def package(session: nox.Session) -> None:
    """
    Build wheel and sdist, install each into an empty environment, and use it.
    """
    session.install("build")
    built = Path(session.create_tmp()) / "dist"
    session.run("python", "-m", "build", "--outdir", str(built))
    for archive in sorted(built.glob("pgultra-*")):
        session.run("python", "-m", "venv", "--clear", f"{built}/empty", silent=True)
        pip, python = f"{built}/empty/bin/pip", f"{built}/empty/bin/python"
        session.run(pip, "install", "-q", str(archive), external=True)
        session.run(python, "-I", "tests/smoke.py", "bare", external=True)
        session.run(pip, "install", "-q", f"{archive}[demo]", external=True)
        session.run(python, "-I", "tests/smoke.py", external=True)
        if archive.suffix == ".whl":
            session.run("bash", ".ci/example", "sparkle_universe", str(archive), external=True)
        archive.unlink()


@nox.session
def container(session: nox.Session) -> None:
    """
    Run a few tests of each kind with PostgreSQL in a container; there must be a Docker engine.
    """
    session.install("-e", ".[dev]")
    folders = [f"tests/{each}" for each in ("fixtures", "objects", "test_readme.py")]
    session.run("pytest", "--docker", "-m", "not slow", *folders, *session.posargs)


@nox.session
def audit(session: nox.Session) -> None:
    """
    Look for known vulnerabilities in all that is installed; list it in build/sbom.json (CycloneDX).
    """
    session.install("-e", ".[dev]", "pip-audit")
    listed = Path("build/sbom.json")
    listed.parent.mkdir(exist_ok=True)
    installed = Path(session.create_tmp()) / "installed.txt"
    installed.write_text(str(session.run("pip", "freeze", "--exclude-editable", silent=True)))
    # Unless it is strict, it passes where its service answers for nothing at all.
    session.run(
        *("pip-audit", "--strict", "--disable-pip", "--no-deps", "--requirement", str(installed)),
        *("--format", "cyclonedx-json", "--output", str(listed)),
    )


@nox.session
def coverage(session: nox.Session) -> None:
    """
    Run the suite and ask for 95 of 100 branches.
    """
    session.install("-e", ".[dev]")
    figures = Path("build") / "coverage.json"  # no create_tmp: tests would run within it
    figures.parent.mkdir(exist_ok=True)
    reports = ("--cov-report=term", f"--cov-report=json:{figures}")
    session.run("pytest", "--cov", *reports, *session.posargs)
    # Not --cov-fail-under: it counts lines with the branches, and they are easier to reach.
    totals = json.loads(figures.read_text())["totals"]
    covered, branches = totals["covered_branches"], totals["num_branches"]
    session.log(f"{covered} of {branches} branches: {100 * covered / branches:.1f} %")
    if covered < 0.95 * branches:
        session.error("fewer than 95 of 100 branches")


@nox.session
def examples(session: nox.Session) -> None:
    """
    Run every example as its README says.
    """
    session.install("-e", ".[dev]")
    for example in sorted(Path("examples").glob("*/app.py")):
        session.run("python", str(example))


@nox.session
def bench(session: nox.Session) -> None:
    """
    Measure, both sides in the same run; medians and ratios are printed.

    ``--docs`` writes them to docs/benchmarks/results and makes the pages of docs/benchmarks,
    ``--json FOLDER`` writes them to that folder.
    """
    session.install("-e", ".[dev]", "-r", "benchmarks/requirements.txt")
    session.run("python", "-m", "benchmarks", *session.posargs)
