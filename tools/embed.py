#!/usr/bin/env python3
"""Puts files into the binary: embed.py OUT.c OUT.h PREFIX NAME=FILE ...

OUT.h declares, for PREFIX "page":

    struct page_file {const char *name; sv body; const char *etag;};
    extern const struct page_file page_files[];
    extern const unsigned page_files_n;

sorted by name. The bytes come in by .incbin, so nothing is written out as C literals. The etag is a digest of
the content in quotes, as HTTP wants it. Bodies are followed by a NUL that is not counted.
"""
import hashlib
import os
import sys


def main():
    out_c, out_h, prefix = sys.argv[1:4]
    files = sorted(a.split("=", 1) for a in sys.argv[4:])
    struct = f"struct {prefix}_file"
    with open(out_h, "w") as h:
        h.write(f"/* Made by tools/embed.py. */\n#pragma once\n#include \"base/sv.h\"\n\n{struct} {{\n"
                "    const char *name;\n    sv body;\n    const char *etag;\n};\n"
                f"extern const {struct} {prefix}_files[];\nextern const unsigned {prefix}_files_n;\n")
    with open(out_c, "w") as c:
        c.write(f"/* Made by tools/embed.py. */\n#include \"{os.path.basename(out_h)}\"\n\n")
        rows = []
        for i, (name, path) in enumerate(files):
            with open(path, "rb") as f:
                body = f.read()
            symbol = f"{prefix}_embedded_{i}"
            c.write(f'__asm__(".section .rodata\\n.balign 16\\n{symbol}:\\n.incbin '
                    f'\\"{os.path.abspath(path)}\\"\\n.byte 0\\n.text\\n");\n'
                    f"extern const char {symbol}[] __asm__(\"{symbol}\");\n")
            etag = hashlib.sha256(body).hexdigest()[:16]
            rows.append(f'    {{"{name}", {{{symbol}, {len(body)}}}, "\\"{etag}\\""}},\n')
        c.write(f"\nconst {struct} {prefix}_files[] = {{\n{''.join(rows)}}};\n"
                f"const unsigned {prefix}_files_n = {len(rows)};\n")


main()
