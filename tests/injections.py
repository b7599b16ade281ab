"""Text that would make a simulator or a shell do something, were it let through."""

from __future__ import annotations

CARDS = [  # lines behind a good model
    ".control\nshell touch executed\n.endc", "  .CONTROL\nshell touch executed", "\t.control", ".Control quit",
    ".include /etc/hostname", ".inc /etc/hostname", ".INCLUDE '/etc/hostname'", ".lib /etc/hostname tt", ".lib tt",
    ".endl", ".options rawfile=executed", ".option x", ".opt num_threads=9", ".csparam a=1", ".func f(x)={x}",
    ".subckt a b c", ".ends", ".end", ".tran 1n 2n", ".dc V1 0 1 1", ".op", ".measure tran x", ".save all",
    ".print tran all", ".global g", ".temp 100", ".ic v(a)=1", ".nodeset v(a)=1", ".title x", ".width out=80",
    ".pre_osdi x.osdi", ".if 1", ".else", ".data", ".prot", "A1 a b reader", "R1 a 0 1k", "B1 a 0 V=1", "V1 a 0 1",
    "X1 a sub", "M1 d g s b nch", "shell touch executed", "!touch executed", "| touch executed",
    "`touch executed`", "source /etc/hostname", "set rawfile=executed", ":", "\\",
]  # fmt: skip
WORDS = [  # words on the line of a good model
    "vth0=`touch executed`", "vth0=$(touch executed)=", "file=/etc/hostname", 'file="executed"',
    "vth0=0.4 .control", "vth0={system('touch executed')}", "vth0='`touch executed`'", "vth0={a;b}",
    "vth0=0.4\r.control", "vth0=0.4\x00.control", "vth0=0.4\x0b.control", "vth0=0.4\x0c.include /etc/hostname",
    "vth0=0.4\x85.control", "vth0=0.4\u2028.control", "vth0=0.4\n+ .control", "vth0=0.4\n+ \n+ `x`",
    "vth0=0.4 & touch executed", "vth0=0.4 | touch executed", "vth0=<(x)", "vth0=0.4 > executed", "vth0=~/x",
    "vth0=%s", "vth0=#x", "vth0=0.4 *#shell touch executed", "vth0=\u03c4", "vth0={\n}",
]  # fmt: skip
MODELS = [  # whole files
    ".model `x` nmos", ".model a/b nmos", ".model ../x nmos", ".model nch filesource(file=executed)",
    ".model nch d_osdi", ".model nch nmos\\", ".model 'nch' nmos", ".model nch$x nmos", ".model nch", ".model",
    ".model nch nmos;x\n.control", ".model " + "n" * 500 + " nmos", ".models nch nmos", ".model nch NMOSX",
    ".param a=`x`", ".param 1=1", ".param a",
]  # fmt: skip
NAMES = [  # names of models
    "nch\n.control", "`touch executed`", "nch nmos", "$(touch executed)", "../nch", "", "nch;x", "\x1b[2J",
    "nch\r\n.end",
]  # fmt: skip
PATHS = [  # names of files
    "none\n.control.pm", "`touch executed`", "| touch executed", "$(touch executed)", "none.pm; touch executed",
    "\x1b[2Jx", "../../../../etc/hostname", "/etc/passwd", "file:///etc/hostname", "x" * 5000,
]  # fmt: skip
