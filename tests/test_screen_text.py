"""Text out of what a terminal is sent."""

from __future__ import annotations

import pytest

from fixtures.screen_text import ScreenText, screen_text

DRAWN = {
    "plain": ("a\r\nb\r\n", "a\r\nb\r\n"),
    "colours": ("\x1b[31mred\x1b[0m", "red"),
    "first-screen": ("\x1b[2J\x1b[m\x1b[H\x1b[?25lhello\x1b[?25h\r\n", "hello\r\n"),
    "title-until-bell": ("\x1b]0;C:\\cmd.exe\x07>", ">"),
    "title-until-terminator": ("\x1b]0;cmd\x1b\\>", ">"),
    "blank-as-a-step": ("a\x1b[K\x1b[1Cb", "a b"),
    "steps": ("a\x1b[3Cb\x1b[Cc", "a   b c"),
    "jump": ("a\x1b[5;1Hb", "a\r\nb"),
    "character-set": ("\x1b(Ba\x1b=b\x1b7", "ab"),
}


@pytest.mark.parametrize(("sent", "text"), DRAWN.values(), ids=DRAWN.keys())
def test_sequences_are_taken_out(sent: str, text: str) -> None:
    assert screen_text(sent) == text


@pytest.mark.parametrize(("sent", "text"), DRAWN.values(), ids=DRAWN.keys())
@pytest.mark.parametrize("size", [1, 2, 3])
def test_pieces_may_cut_sequences(sent: str, text: str, size: int) -> None:
    screen = ScreenText()
    assert "".join(screen.feed(sent[at : at + size]) for at in range(0, len(sent), size)) == text
