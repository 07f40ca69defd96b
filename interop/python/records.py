"""How records go in and out of these programs: one a line, fields between tabs.

topic, offset, time in ms, key, value, then name and value of each header. Keys, values and both
parts of a header are in hexadecimal, "-" is null.
"""
import sys


def _bytes(field):
    return None if field == "-" else bytes.fromhex(field)


def _field(data):
    return "-" if data is None else bytes(data).hex()


def wanted():
    """The records to write, from standard input: dicts of key, value, headers, timestamp."""
    records = []
    for line in sys.stdin:
        f = line.rstrip("\n").split("\t")
        headers = [(bytes.fromhex(name).decode(), _bytes(value)) for name, value in zip(f[5::2], f[6::2])]
        records.append({"timestamp": int(f[2]), "key": _bytes(f[3]), "value": _bytes(f[4]), "headers": headers})
    return records


def show(topic, offset, timestamp, key, value, headers):
    """Prints a record that was read."""
    fields = [topic, str(offset), str(timestamp), _field(key), _field(value)]
    for name, data in headers or ():
        fields += [name.encode().hex(), _field(data)]
    print("\t".join(fields))


def by_codec(arguments):
    """Pairs of codec and topic from arguments of the form codec=topic."""
    return [a.split("=", 1) for a in arguments]


def dispatch(**verbs):
    """Runs the function of the verb that the first argument names; returns what it returns."""
    return verbs[sys.argv[1]](sys.argv[2], *sys.argv[3:])


def same(what, got, want):
    if got != want:
        sys.exit(f"{what} {got}, want {want}")
