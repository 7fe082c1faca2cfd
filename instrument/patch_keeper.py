"""The patch that plays, as it stands on disk: edits, what undoes them, and what an editor saves.

A patch that is wrong changes nothing, neither what plays nor the file. While what an editor saved is wrong, what
plays lies beside it, for an engine that is started again.
"""

import logging
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from instrument.clock import Clock
from instrument.patch import Patch, PatchError
from instrument.patch_edit import LastRead, TomlValue, set_values
from instrument.patch_file import FoundPatch, parse_patch, patch_text, played_file, stamp_of, undone_file

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
"""How often the file is looked at for what an editor changed; two looks that agree, and it is played."""
ONE_EDIT_S = 2.0
"""Edits of the same value that come so soon after each other are undone together."""
MOST_UNDONE = 200


class PatchKeeper:
    """Keeps one `patch.toml` and what plays the same."""

    def __init__(
        self,
        file: Path,
        found: FoundPatch,
        *,
        play: Callable[[Patch], None],
        on_change: Callable[[], None],
        now_s: Clock,
    ) -> None:
        """`play` plays on with a patch, or raises and changes nothing; `on_change` is told that `problem` changed."""
        self._play = play
        self._on_change = on_change
        self._now_s = now_s
        self._looked_at_s = now_s()
        self.problem = ""
        """Why the patch as it is on disk does not play; the one before it does."""
        self.open(file, found)

    def open(self, file: Path, found: FoundPatch) -> None:
        """Keeps the patch in that file, where `found` was found, which plays already; knows of no edit of it."""
        self._file = file
        self._played = found.text
        self._undone: list[str] = []
        self._redone: list[str] = []
        self._last_edit: tuple[str, float] = ("", 0.0)
        self._last_read = LastRead()
        self._seen: tuple[int, int] | None = found.stamp
        self._edited: tuple[int, int] | None = None
        self._say(found.problem)

    def text(self) -> str:
        """What is on disk now. Raises PatchError where that is no text."""
        return patch_text(self._file)

    def with_values(self, pairs: Iterable[tuple[str, TomlValue]]) -> str:
        """What is on disk with those values set, as `set_values` does it; nothing is written."""
        return set_values(self.text(), pairs, self._last_read)

    def change(self, text: str, *, edit: str = "") -> None:
        """Plays on with that text as the patch, and writes it; `edit` names the value that was edited.

        Raises PatchError, SourceError, AssetError or OSError.
        """
        before = self._played
        self._write(text)
        self._note_edit(before, edit)

    def reload(self) -> None:
        """Plays what is on disk. Raises as `change` does."""
        text, before = self.text(), self._played
        self._play(parse_patch(text, self._file))
        self._played = text
        self._say("")
        self._note_edit(before, "")

    def undo(self, may_play: Callable[[str], None] = lambda _: None) -> None:
        """Plays the patch as it was before the last edit; one that was never played is put back to what plays.

        That one stays, where `undone_file` says, for whoever wrote it. `may_play` raises for a text that is not to be.
        Raises ValueError where there is none, and OSError.
        """
        if self.problem:
            self._keep_unplayed()
            self._write(self._played)
            return
        self._go_back(self._undone, self._redone, "undo", may_play)

    def redo(self, may_play: Callable[[str], None] = lambda _: None) -> None:
        """Plays the patch as it was before it was undone. Raises ValueError where nothing was."""
        self._go_back(self._redone, self._undone, "redo", may_play)

    def attend(self) -> None:
        """Plays what an editor made of the patch, once it has been written whole."""
        now_s = self._now_s()
        if now_s - self._looked_at_s < LOOK_EVERY_S:
            return
        self._looked_at_s = now_s
        stamp = stamp_of(self._file)
        if stamp == self._seen:
            return
        if stamp != self._edited:
            self._edited = stamp
            return
        self._seen = stamp
        try:
            if self.text() == self._played:
                self._say("")
                return
            self.reload()
        except Exception as error:  # on stage nothing stops
            log.error("patch.toml was changed and cannot be played; the one before plays on: %s", error)
            self._say(str(error))
        else:
            log.info("patch.toml was changed, and plays")

    def _note_edit(self, before: str, edit: str) -> None:
        now_s = self._now_s()
        is_same_edit = bool(edit) and edit == self._last_edit[0] and now_s - self._last_edit[1] < ONE_EDIT_S
        self._last_edit = (edit, now_s)
        if before != self._played and not is_same_edit:
            self._undone = [*self._undone[-MOST_UNDONE + 1 :], before]
        self._redone = []

    def _keep_unplayed(self) -> None:
        """What an editor wrote, and was not played, is not lost with what takes its place."""
        with suppress(PatchError):
            if self.text() == self._played:
                return
        with suppress(FileNotFoundError):
            shutil.copyfile(self._file, undone_file(self._file))
            log.info("what was not played is kept as %s", undone_file(self._file).name)

    def _go_back(self, texts: list[str], others: list[str], word: str, may_play: Callable[[str], None]) -> None:
        if not texts:
            raise ValueError(f"nothing of the patch to {word}")
        may_play(texts[-1])
        self._keep_unplayed()
        now = self._played
        self._write(texts[-1])
        texts.pop()
        others.append(now)

    def _write(self, text: str) -> None:
        patch = parse_patch(text, self._file)
        draft = self._file.with_suffix(".toml.new")
        try:
            _write_down(draft, text, _line_end(self._file))
            self._play(patch)
            draft.replace(self._file)
        finally:
            draft.unlink(missing_ok=True)
        self._played = text
        self._note_file()

    def _note_file(self) -> None:
        self._seen = stamp_of(self._file)
        self._say("")

    def _say(self, problem: str) -> None:
        with suppress(OSError):
            if not problem:
                played_file(self._file).unlink(missing_ok=True)
            elif not self.problem:
                played_file(self._file).write_text(self._played, encoding="utf-8")
        if problem != self.problem:
            self.problem = problem
            self._on_change()


def _line_end(file: Path) -> str:
    """What most lines of that file end with."""
    content = b""
    with suppress(OSError):
        content = file.read_bytes()
    return "\r\n" if 2 * content.count(b"\r\n") > content.count(b"\n") else "\n"


def _write_down(file: Path, text: str, line_end: str) -> None:
    try:
        file.write_text(text, encoding="utf-8", newline=line_end)
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"{file.parent}: the patch cannot be written ({reason}), so nothing was changed") from None
