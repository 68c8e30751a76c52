"""``hrd service``: hrd as a service of systemd."""

from __future__ import annotations

import argparse


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command and its three parts."""
    parser = subparsers.add_parser(
        "service",
        help="install, show or remove hrd as a systemd service",
        description=(
            "Makes hrd a service that starts at boot, restarts by itself and runs as a user of its "
            "own with next to no rights. Every step is shown; all may be repeated."
        ),
        epilog="example: sudo /opt/hrd/bin/hrd service install --dry-run",
    )
    parts = parser.add_subparsers(title="parts", metavar="PART", required=True)
    install = parts.add_parser("install", help="install the service or bring it up to date")
    install.add_argument(
        "--socket-activation",
        action="store_true",
        help="start when the first client connects, not at boot",
    )
    install.add_argument(
        "--web", action="store_true", help="the view for browsers too, on http://127.0.0.1:8088"
    )
    install.add_argument("--no-start", action="store_true", help="do not start it now")
    uninstall = parts.add_parser("uninstall", help="stop and remove the service")
    uninstall.add_argument(
        "--purge", action="store_true", help="remove config, cache and user as well"
    )
    status = parts.add_parser("status", help="how the service does; exits with 1 if it is not up")
    for part in (install, uninstall):
        part.add_argument("--dry-run", action="store_true", help="only say what would be done")
    install.set_defaults(run=_install)
    uninstall.set_defaults(run=_uninstall)
    status.set_defaults(run=_status)


def _install(args: argparse.Namespace) -> int:
    from hrd.service.install import Host, Options, install

    host = Host()
    if not args.dry_run:
        host.check()
    options = Options(socket_activation=args.socket_activation, start=not args.no_start)
    install(host, options, print, args.dry_run)
    if args.web:
        from hrd.service.web_unit import install_web

        install_web(host, print, not args.no_start, args.dry_run)
    return 0


def _uninstall(args: argparse.Namespace) -> int:
    from hrd.service.install import Host, Options, uninstall
    from hrd.service.web_unit import uninstall_web

    host = Host()
    if not args.dry_run:
        host.check()
    uninstall_web(host, print, args.dry_run)
    uninstall(host, Options(purge=args.purge), print, args.dry_run)
    return 0


def _status(args: argparse.Namespace) -> int:
    from hrd.service.install import Host, status

    return 0 if status(Host(), print) else 1
