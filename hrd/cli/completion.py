"""``hrd completion``: what a shell needs to complete hrd's command line (by argcomplete)."""

from __future__ import annotations

import argparse

SHELLS = ("bash", "zsh", "fish")

_EPILOG = """\
Run the line of your shell, then open a new one:
  bash  hrd completion bash > ~/.hrd-completion && echo '. ~/.hrd-completion' >> ~/.bashrc
  zsh   hrd completion zsh > ~/.hrd-completion && echo '. ~/.hrd-completion' >> ~/.zshrc
        (~/.zshrc must have run  autoload -Uz compinit && compinit  before)
  fish  mkdir -p ~/.config/fish/completions
        hrd completion fish > ~/.config/fish/completions/hrd.fish
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "completion",
        help="completion of commands and options for bash, zsh or fish",
        description="Prints what makes a shell complete hrd's commands, options and their values.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print it."""
    import argcomplete

    print(argcomplete.shellcode(["hrd"], shell=args.shell))
    return 0


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell that asks (``$_ARGCOMPLETE``) and end the process."""
    import argcomplete

    argcomplete.autocomplete(parser)
