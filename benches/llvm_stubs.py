#!/usr/bin/env python3
"""Writes a static library that stands in for LLVM, for a build with CUDA on a machine where LLVM can't be fetched. The library behind
CUDA links LLVM as a second compiler, and `pipeline` compiles its kernels with NVRTC: the functions must be there, and are never called.
Each of them says its name and aborts.
usage: llvm_stubs.py FOLDER      (run in this repository; writes FOLDER/libllvm_stubs.a; needs cargo, cc and ar)"""
import json, re, subprocess, sys
from pathlib import Path

# The crates that declare functions of LLVM, or of their own C++ code around it.
CRATES = ("llvm-sys", "pliron-llvm", "cubecl-llvm")


def sources():
    """The sources of these crates, in the versions that this repository is locked to."""
    command = ["cargo", "metadata", "--locked", "--format-version=1"]
    packages = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["packages"]
    folders = {package["name"]: Path(package["manifest_path"]).parent for package in packages if package["name"] in CRATES}
    for crate in CRATES:
        if crate not in folders:
            sys.exit(f"{crate} isn't among the dependencies any more: does the build still need this?")
        yield from sorted((folders[crate] / "src").rglob("*.rs"))


def declared(text):
    """Names of functions in blocks of `extern "C"`, and those that macros put together and only their calls show."""
    for block in re.findall(r'extern "C" \{(.*?)^\s*\}', text, re.S | re.M):
        yield from re.findall(r"\bfn\s+(\w+)", block)
    yield from re.findall(r"\b(LLVM[A-Z]\w*)\s*\(", text)


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    names = {name for path in sources() for name in declared(path.read_text()) if re.match("LLVM|cubecl_", name)}
    code, archive = folder / "llvm_stubs.c", folder / "libllvm_stubs.a"
    lines = ["#include <stdio.h>", "#include <stdlib.h>",
             "static void absent(const char *name) {",
             '    fprintf(stderr, "%s: this build has no LLVM (benches/gpu.sh --without-llvm)\\n", name);', "    abort();", "}"]
    code.write_text("\n".join(lines + [f'void {name}(void) {{ absent("{name}"); }}' for name in sorted(names)]) + "\n")
    # -w: some of the names are a compiler's own, with other types.
    subprocess.run(["cc", "-w", "-O1", "-c", code, "-o", code.with_suffix(".o")], check=True)
    archive.unlink(missing_ok=True)
    subprocess.run(["ar", "rcs", archive, code.with_suffix(".o")], check=True)
    print(f"{archive}: {len(names)} functions", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    main()
