"""Counts the machine instructions of a kernel's step loop in a cubin: what scripts/kernel_table.py prints.

No disassembler: NVIDIA's 128-bit encoding (sm_70 on) has the operation in the low 9 bits of an instruction, and the few
operations counted here have kept their numbers. nvdisasm gives the same counts (checked for sm_80 to sm_120).
"""
import collections
import struct

NAMES = {0x03c: "HMMA", 0x03b: "LDSM", 0x108: "MUFU", 0x184: "LDS", 0x188: "STS", 0x183: "LDL", 0x187: "STL", 0x181: "LDG",
         0x186: "STG", 0x021: "FADD", 0x023: "FFMA", 0x020: "FMUL", 0x009: "FMNMX", 0x031: "HFMA2", 0x032: "HMUL2",
         0x030: "HADD2", 0x03e: "F2FP", 0x024: "IMAD", 0x025: "IMAD", 0x027: "IMAD", 0x012: "LOP3", 0x010: "IADD3",
         0x035: "IADD3", 0x106: "I2F", 0x045: "I2F", 0x002: "MOV", 0x118: "NOP", 0x11d: "BAR"}
GROUPS = {"MMA": ["HMMA"], "weights": ["LDSM"], "shared": ["LDS", "STS"], "MUFU": ["MUFU"],
          "FP32": ["FADD", "FFMA", "FMUL", "FMNMX"], "half": ["HFMA2", "HMUL2", "HADD2", "F2FP"],
          "integer": ["IMAD", "LOP3", "IADD3", "I2F"], "local": ["LDL", "STL"], "global": ["LDG", "STG"]}
BRANCH = 0x947  # BRA to an address relative to the next instruction


def code_of(cubin):
    """The bytes of the cubin's largest .text section."""
    table, = struct.unpack_from("<Q", cubin, 0x28)
    size, count, names = struct.unpack_from("<HHH", cubin, 0x3A)
    sections = [struct.unpack_from("<IIQQQQIIQQ", cubin, table + i * size) for i in range(count)]
    strings = sections[names][4]
    found = b""
    for section in sections:
        begin = strings + section[0]
        name = cubin[begin:cubin.index(b"\0", begin)].decode()
        code = cubin[section[4]:section[4] + section[5]]
        if name.startswith(".text.") and len(code) > len(found):
            found = code
    return found


def branch_target(index, low, high, scaled):
    """Index of the instruction that a BRA goes to. Offsets are in 4 bytes with 50 bits; from sm_90 on with 8 bits more."""
    offset = (low >> 34) | ((high & ((1 << 18) - 1)) << 30)
    if offset >> 47:
        offset -= 1 << 48
    if scaled:
        offset = offset * 256 + ((low >> 16) & 0xFF)
    return index + 1 + offset * 4 // 16


def loops_of(cubin):
    """Every loop as (instructions, the same by name)."""
    code = code_of(cubin)
    words = [struct.unpack_from("<QQ", code, at) for at in range(0, len(code), 16)]
    names = [NAMES.get(low & 0x1FF, "other") for low, _ in words]
    loops = []
    for i, (low, high) in enumerate(words):
        if low & 0xFFF != BRANCH:
            continue
        for scaled in (False, True):  # a wrong reading goes nowhere, or around nothing
            target = branch_target(i, low, high, scaled)
            if 0 <= target <= i:
                loops.append((i - target, collections.Counter(names[target:i + 1])))
    return loops


def step_loop(cubin):
    """Instructions of the innermost loop that holds all products of a step, by name."""
    return min(loops_of(cubin), key=lambda loop: (-loop[1]["HMMA"], loop[0]))[1]


def loop_with(cubin, name, least):
    """Those of the shortest loop that has so many of one kind."""
    return min((loop for loop in loops_of(cubin) if loop[1][name] >= least), key=lambda loop: loop[0])[1]


def grouped(counts):
    groups = {name: sum(counts[n] for n in names) for name, names in GROUPS.items()}
    groups["other"] = sum(counts.values()) - sum(groups.values())
    return groups
