"""Kernels that fill an array with the words and normals that a GPU's steps draw (`dsmachine.emulator.normals`)."""

from __future__ import annotations

from typing import Any

from dsmachine.emulator.kernels import defines
from dsmachine.emulator.normals import CUDA

FILL = """
extern "C" __global__ void words(
    const long long size, const long long octet, const Keys keys, unsigned long long* out)
{
    const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i >= size) return;
    Normals(keys, i).raw((unsigned long long)octet, out + 4 * i);
}

extern "C" __global__ void normals(
    const long long size, const long long first, const int count, const Keys keys, REAL* out)
{
    const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i >= size) return;
    const Normals drawn(keys, i);
    for (long long octet = first / TOGETHER; octet * TOGETHER < first + count; ++octet) {
        REAL normal[TOGETHER];
        drawn.draw((unsigned long long)octet, normal);
        for (int n = 0; n < TOGETHER; ++n) {
            const long long k = octet * TOGETHER + n - first;
            if (k >= 0 && k < count) out[k * size + i] = normal[n];
        }
    }
}
"""


def fill_source(dtype: Any) -> str:
    """Source of `words` (size, 4) and `normals` (count, size), which only fill an array."""
    return defines(dtype) + CUDA + FILL
