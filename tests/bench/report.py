"""Rows of the report, and how they are printed.

A section returns a list of rows made by speed(), fact() and aim().
"""
import json
import textwrap

COLUMNS = (("per_second", "a second", "{:,.0f}"), ("p50_ms", "p50 ms", "{:.2f}"), ("p99_ms", "p99 ms", "{:.2f}"),
           ("p999_ms", "p99.9 ms", "{:.2f}"), ("cpu_us", "CPU us", "{:.1f}"))


def speed(name, measured, beside=None):
    """measured: what load.py gives. beside: (the yardstick's name, what it gave): their ratio is printed."""
    row = {"kind": "speed", "name": name, **{k: measured[k] for k, _, _ in COLUMNS if k in measured}}
    if beside:
        row |= {"ratio": round(measured["per_second"] / beside[1]["per_second"], 3), "ratio_to": beside[0]}
    return row


def fact(name, value, unit=""):
    return {"kind": "fact", "name": name, "value": value, "unit": unit}


def aim(name, value, at_least=None, at_most=None, unit="", why=""):
    """An aim beside what was measured. why: the reason, in numbers, said where it is missed."""
    met = value >= at_least if at_least is not None else value <= at_most
    limit = at_least if at_least is not None else at_most
    return {"kind": "aim", "name": name, "value": value, "limit": limit, "unit": unit, "met": met,
            "bound": "at least" if at_least is not None else "at most", **({} if met or not why else {"why": why})}


def number(v):
    if isinstance(v, float):
        return f"{v:,.2f}" if abs(v) < 100 else f"{v:,.0f}"
    return f"{v:,}" if isinstance(v, int) else str(v)


def with_unit(v, unit):
    return f"{number(v)} {unit}".rstrip()


def speed_cells(row):
    ratio = f"{row['ratio']:.2f} of {row['ratio_to']}" if "ratio" in row else ""
    return [row["name"], *(f.format(row[k]) if k in row else "" for k, _, f in COLUMNS), ratio]


def tables(rows):
    """(head, lines, columns to the right) of the three kinds that are there."""
    speeds = [speed_cells(r) for r in rows if r["kind"] == "speed"]
    facts = [[r["name"], with_unit(r["value"], r["unit"])] for r in rows if r["kind"] == "fact"]
    aims = [[r["name"], f"{r['bound']} {with_unit(r['limit'], r['unit'])}", with_unit(r["value"], r["unit"]),
             "met" if r["met"] else "missed" + (f": {r['why']}" if "why" in r else "")] for r in rows
            if r["kind"] == "aim"]
    return [t for t in ((["", *(h for _, h, _ in COLUMNS), "beside"], speeds), (["", ""], facts),
                        (["aim", "limit", "measured", ""], aims)) if t[1]]


def markdown(sections):
    out = []
    for name, title, rows in sections:
        out += [f"### {title}", ""]
        for head, lines in tables(rows):
            right = ["---"] + ["---:"] * (len(head) - 1)
            if head[-1] in ("beside", "") and len(head) > 2:
                right[-1] = "---"
            out += ["| " + " | ".join(c) + " |" for c in (head, right, *lines)] + [""]
    return "\n".join(out).rstrip() + "\n"


def plain(sections):
    out = []
    for name, title, rows in sections:
        out += ["", f"{title}  [{name}]"]
        for head, lines in tables(rows):
            wide = [max(len(line[i]) for line in (head, *lines)) for i in range(len(head))]
            for line in ([head] if any(head) else []) + lines:
                last = textwrap.shorten(line[-1], 110)
                cells = [line[0].ljust(wide[0]), *(c.rjust(w) for c, w in zip(line[1:-1], wide[1:-1]))]
                out.append("  " + "  ".join([*cells, last]).rstrip())
    missed = sum(r["kind"] == "aim" and not r["met"] for _, _, rows in sections for r in rows)
    aims = sum(r["kind"] == "aim" for _, _, rows in sections for r in rows)
    return "\n".join(out) + f"\n\n{aims - missed} of {aims} aims met\n"


BEGIN, END = "<!-- ./dev bench --write-docs writes from here -->", "<!-- to here -->"


def write_docs(path, text):
    """Between the marks of the document."""
    before, _, rest = path.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")


def summary(sections, about):
    """All aims in one table; then every section's rows."""
    how = (f"`./dev bench{' --quick' if about['quick'] else ''}`, {about['date']}, commit {about['commit']}: "
           f"{about['processors']} processors ({about['processor']}), {about['members']:,} members, medians of "
           f"{about['rounds']} rounds, {about['seconds'] // 60} minutes.")
    lines = [[f"{r['name']}", f"{r['bound']} {with_unit(r['limit'], r['unit'])}", with_unit(r["value"], r["unit"]),
              "met" if r["met"] else "**missed**"] for _, _, rows in sections for r in rows if r["kind"] == "aim"]
    out = [how, "", "| aim | limit | measured | |", "| --- | ---: | ---: | --- |"]
    return "\n".join(out + ["| " + " | ".join(line) + " |" for line in lines] + ["", markdown(sections)])


def as_json(sections, about):
    return json.dumps({**about, "sections": [{"name": n, "title": t, "rows": r} for n, t, r in sections]}, indent=1)
