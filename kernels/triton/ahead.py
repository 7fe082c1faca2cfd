"""Compiles every kernel for every kind of GPU, on a machine that has none: `python -m instrument.kernels.triton.ahead`.

Prints a table of registers, shared memory and spills, and fails when one does not compile, spills, or
wants more shared memory than the chip has. Each is compiled as it is launched: same tiles, same types.
"""

import contextlib
import io
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

SHARED_LIMITS = {
    "sm_80": 166_912,
    "sm_86": 101_376,
    "sm_89": 101_376,
    "sm_90": 232_448,
    "sm_100": 232_448,
    "sm_120": 101_376,
    "gfx942": 65_536,
}
"""Bytes of shared memory one program may have, by chip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A kernel as it is launched."""

    name: str
    kernel: str
    """Module and function."""
    constants: Mapping[str, Any]
    types: Mapping[str, str]
    """Of pointers that are not what their name usually is."""
    warps: int = 4
    stages: int = 2
    hip: tuple[int, int] | None = None
    """Warps and stages on an AMD chip, where they differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What became of it on one chip."""

    variant: str
    chip: str
    registers: int
    shared_bytes: int
    spills: int

    @property
    def is_fit(self) -> bool:
        return self.spills == 0 and self.shared_bytes <= SHARED_LIMITS[self.chip]


def variants() -> Iterator[Variant]:
    """All that a machine may launch, by the tiles of `linear.tiles_for` and `network`."""
    for bits in (8, 4):
        codes = {"codes": "*i8" if bits == 8 else "*u8", "zeros": "*i8" if bits == 8 else "*u8"}
        for rows in (1, 4):
            for x in ("*fp32", "*fp16"):
                yield Variant(
                    name=f"gemv W{bits}, {rows} row{'s' * (rows > 1)}, {x[1:]}",
                    kernel="qlinear.gemv",
                    types={**codes, "x": x, "out": x},
                    constants={"BITS": bits, "ACTIVATION": 1, "SPLITS": 4, "ROWS": rows, "BLOCK_N": 4, "BLOCK_K": 512},
                )
        for x in ("*fp16", "*bf16", "*fp32"):
            for block_m in (16, 32 if x == "*fp32" else 64):
                yield Variant(
                    name=f"gemm W{bits}, tiles of {block_m} rows, {x[1:]}",
                    kernel="qlinear.gemm",
                    types={**codes, "x": x, "out": x},
                    constants={
                        "BITS": bits, "ACTIVATION": 4, "SPLITS": 4, "COMPUTE": x[1:], "PRECISION": "tf32x3",
                        "BLOCK_M": block_m, "BLOCK_N": 64, "BLOCK_K": 32 if x == "*fp32" else 64,
                    },
                    warps=8 if block_m > 16 else 4,
                    stages=3,
                )  # fmt: skip
        for x in ("*fp16", "*fp32"):
            yield Variant(
                name=f"input gradient W{bits}, {x[1:]}",
                kernel="qlinear.input_gradient",
                types={**codes, "slope": x, "gradient": x},
                constants={
                    "BITS": bits, "COMPUTE": x[1:], "PRECISION": "tf32x3",
                    "BLOCK_M": 32 if x == "*fp32" else 64, "BLOCK_N": 32, "BLOCK_K": 64,
                },
                stages=3,
            )  # fmt: skip
        network = {f"{name}{index}": kind for name, kind in codes.items() for index in range(3)}
        widths = {"BLOCK_0": 128, "BLOCK_1": 64, "BLOCK_2": 16, "LAYERS": 3, "BITS": bits}
        yield Variant(
            name=f"mlp_frame W{bits}", kernel="mlp.mlp_frame", types=network, constants={**widths, "BLOCK_F": 32}
        )
        for compute in ("fp32", "fp16")[bits == 4 :]:
            yield Variant(
                name=f"mlp_batch W{bits}, {compute}",
                kernel="mlp.mlp_batch",
                types=network,
                constants={
                    **widths,
                    "BLOCK_1": 16,
                    "COMPUTE": compute,
                    "PRECISION": "tf32x3",
                    "BLOCK_M": 32,
                    "BLOCK_F": 32,
                },
                warps=8,
                hip=(4, 1),
            )
        for rows in (1, 4):
            yield Variant(
                name=f"wide mlp W{bits}, {rows} row{'s' * (rows > 1)}",
                kernel="mlp.wide_mlp",
                types=network,
                constants={
                    **widths, "BLOCK_0": 64, "SPLITS": 4, "ROWS": rows, "BLOCK_N": 4, "BLOCK_F": 512,
                },
            )  # fmt: skip


def compile_for(variant: Variant, chip: str) -> Compiled:
    """Compiles anew, whatever is cached. Raises what triton raises."""
    import triton
    import triton.language as tl
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from instrument.kernels.triton import mlp, qlinear

    module, _, name = variant.kernel.partition(".")
    kernel = getattr({"qlinear": qlinear, "mlp": mlp}[module], name)
    types = {"fp32": tl.float32, "fp16": tl.float16, "bf16": tl.bfloat16}
    is_hip = chip.startswith("gfx")
    constants = {key: types.get(value, value) for key, value in variant.constants.items()}
    if is_hip and "PRECISION" in constants:
        constants["PRECISION"] = "ieee"
    signature, attributes = {}, {}
    for index, argument in enumerate(kernel.arg_names):
        signature[argument] = _type_of(argument, variant)
        # As torch allocates: arrays start at multiples of 16 bytes, and rows of codes are multiples of 16.
        if signature[argument].startswith("*") or argument.startswith("stride"):
            attributes[(index,)] = [["tt.divisibility", 16]]
    source = ASTSource(kernel, signature, constexprs=constants, attrs=attributes)
    target = GPUTarget("hip", chip, 64) if is_hip else GPUTarget("cuda", int(chip[3:]), 32)
    said = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as cache,
        triton.knobs.cache.scope(),
        triton.knobs.nvidia.scope(),
        contextlib.redirect_stdout(said),
    ):
        triton.knobs.cache.dir = cache
        triton.knobs.nvidia.dump_ptxas_log = True
        warps, stages = variant.hip if is_hip and variant.hip else (variant.warps, variant.stages)
        options = {"num_warps": warps, "num_stages": stages}
        compiled = triton.compile(source, target=target, options=options)
    log = compiled.asm["amdgcn"] if is_hip else said.getvalue()
    patterns = (
        # What is spilled from scalar registers goes to lanes of vector ones, not to memory.
        (r"\.vgpr_count:\s*(\d+)", r"\.(?:vgpr_spill_count|private_segment_fixed_size):\s*(\d+)")
        if is_hip
        else (r"Used (\d+) registers", r"(\d+) bytes spill")
    )
    registers, spills = ([int(one) for one in re.findall(pattern, log)] for pattern in patterns)
    return Compiled(
        variant=variant.name,
        chip=chip,
        registers=max(registers),
        shared_bytes=compiled.metadata.shared,
        spills=sum(spills),
    )


def table(rows: Sequence[Compiled]) -> str:
    """Markdown: a line per variant, a column per chip: registers / shared KB, and spills where there are any."""
    chips = list(SHARED_LIMITS)
    lines = [f"| registers / shared KB | {' | '.join(chips)} |", "|---" * (len(chips) + 1) + "|"]
    by_name: dict[str, dict[str, Compiled]] = {}
    for row in rows:
        by_name.setdefault(row.variant, {})[row.chip] = row
    for name, found in by_name.items():
        cells = []
        for chip in chips:
            one = found.get(chip)
            spilled = f" ({one.spills} spilled)" if one and one.spills else ""
            cells.append(f"{one.registers} / {one.shared_bytes / 1024:.1f}{spilled}" if one else "")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _type_of(argument: str, variant: Variant) -> str:
    if argument in variant.types:
        return variant.types[argument]
    if argument.isupper() and argument in variant.constants:
        return "constexpr"
    usual = ("x", "shift", "gain", "scales", "biases", "parts", "out", "slope", "gradient")
    if argument.rstrip("012") in usual:
        return "*fp32"
    return "*i32" if argument == "arrivals" else "i32"


def main(names: Sequence[str]) -> int:
    """Compiles (variants whose names contain one of `names`), prints the table; 1 when something does not fit."""
    wanted = [one for one in variants() if not names or any(name in one.name for name in names)]
    work = [(variant, chip) for variant in wanted for chip in SHARED_LIMITS]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        rows = list(pool.map(compile_for, *zip(*work, strict=True), chunksize=len(SHARED_LIMITS)))
    print(table(rows))
    misfits = [row for row in rows if not row.is_fit]
    for row in misfits:
        print(f"does not fit: {row}", file=sys.stderr)
    return 1 if misfits else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
