"""Which netlists are let into a simulator: cards known to be harmless, and nothing else.

Names come from checkpoints, and ngspice executes ``.control`` blocks, ``*#`` comments and ``*ng_script`` titles, reads
any file through ``.include`` and turns unknown ``.options`` into variables of its shell.
"""

from __future__ import annotations

import re

from ..circuits.errors import Error

# Resistor to subcircuit; not A: its code models read and write files, and start processes.
_ELEMENTS = frozenset("rclkviefghbswdqjmzxto")
_CARDS = frozenset(
    ".title .model .subckt .ends .param .func .options .option .opt .tran .dc .ac .noise .op .print .save .ic "
    ".nodeset .temp .global .width .end".split()
)
_ANALYSES = (".tran", ".dc", ".ac", ".noise", ".op")
_OPTION_CARDS = (".options", ".option", ".opt")
_OPTIONS = frozenset(
    "abstol reltol vntol chgtol trtol method maxord itl1 itl2 itl3 itl4 itl5 itl6 gmin gminsteps "
    "srcsteps gshunt rshunt cshunt pivrel pivtol xmu temp tnom noopiter noinit ramptime convstep "
    "convlimit bypass autostop interp savecurrents trytocompact minbreak oldlimit badmos3 defad "
    "defas defl defw scale seed warn maxwarns acct list node nomod nopage opts numdgt keepopinfo "
    "trap gear sparse klu".split()
)
_PLAIN = re.compile(r"[\t -_a-~]*")
_OPTION_NAME = re.compile(r"([A-Za-z_][\w.]*)\s*(?:=\s*[^\s=]+)?")


def check_netlist(text: str) -> str:
    """Refuses a netlist that could make ngspice do anything but simulate; returns its analysis, such as "tran".

    >>> check_netlist("rc\\nR1 a 0 1k\\nC1 a 0 1p\\n.tran 1n 5n uic\\n.end\\n")
    'tran'
    >>> check_netlist("title\\n.control\\nshell ls\\n.endc\\n.end\\n")
    Traceback (most recent call last):
        ...
    dsmachine.circuits.errors.Error: netlist line 2: card '.control' is not allowed: only \
elements, .subckt, .model, .param, .options, one analysis, .save and .print are
    """
    lines = text.replace("\r\n", "\n").split("\n")
    if len(lines) - (lines[-1] == "") != len(text.splitlines()):
        raise Error("netlist holds control characters that end lines: leave only newlines")
    title = lines[0].strip()
    if not title or title[0] in ".+" or _is_command(title):
        raise Error(f"netlist title {title[:60]!r} is not allowed: start it with a word")
    analyses: list[str] = []
    card = ""
    for number, line in enumerate(lines[1:], start=2):
        line = line.strip()
        if line:
            card = _check_line(line, card, f"netlist line {number}")
            analyses += [card] if line[0] == "." and card in _ANALYSES else []
    if len(analyses) != 1:
        raise Error(f"netlist holds {len(analyses)} analyses: write exactly one of {', '.join(_ANALYSES)}")
    return analyses[0][1:]


def _check_line(line: str, card: str, where: str) -> str:
    """One line after the title; `card`: what a continuation continues. Returns what the next one would."""
    if line[0] == "*":
        if _is_command(line):
            raise Error(f"{where}: comment {line[:60]!r} is a command to ngspice: reword it")
        return card
    if not _PLAIN.fullmatch(line):
        raise Error(f"{where}: {line[:60]!r} holds a back quote or is not printable ASCII")
    if line[0] == "+":
        if card in _OPTION_CARDS:
            _check_options(line[1:], where)
        return card
    if line[0] == ".":
        card = line.split(None, 1)[0].lower()
        _check_card(card, line, where)
        return card
    if line[0].lower() not in _ELEMENTS:
        raise Error(f"{where}: element '{line.split()[0][:60]}' of a kind not allowed")
    return line[0].lower()


def _is_command(comment: str) -> bool:
    return comment.startswith("*#") or comment.lower().startswith("*ng_script")


def _check_card(card: str, line: str, where: str) -> None:
    if card not in _CARDS:
        raise Error(
            f"{where}: card '{card[:60]}' is not allowed: only elements, .subckt, .model, .param, "
            ".options, one analysis, .save and .print are"
        )
    if card in _OPTION_CARDS:
        _check_options(line[len(card) :], where)


def _check_options(text: str, where: str) -> None:
    # ngspice sets every option that it does not know as a variable of its shell.
    for name in _OPTION_NAME.findall(text):
        if name.lower() not in _OPTIONS:
            raise Error(f"{where}: option '{name[:60]}' is unknown: remove it")
    rest = _OPTION_NAME.sub(" ", text).split("$")[0].split(";")[0].strip()
    if rest:
        raise Error(f"{where}: option text '{rest[:60]}' is not understood: write name=value")
