"""What a frozen backbone says, kept: a head then learns at the price of its points."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
import torch

from napari_morse.model.backbones import CoarseMaps
from napari_morse.model.morse import Morse
from napari_morse.training.sampling import CACHED, Sampler, Samples

VARIANTS = 64
"""Samples that are made; steps draw from them."""
BYTES = 10**9
"""Of maps and samples that are kept, at most."""


@dataclass(frozen=True, eq=False)
class Seen(Samples):
    """Samples with what the backbone said of them."""

    maps: CoarseMaps | None = None


class MapsCache:
    """Maps of a fixed set of samples, the ones used last kept."""

    def __init__(self, base: Morse, sampler: Sampler) -> None:
        self._base, self._sampler = base, sampler
        self._kept: OrderedDict[int, Seen] = OrderedDict()
        self._bytes = 0
        self.seconds = 0.0
        """That the last sample took to be made."""

    def batch(self, step: int) -> Seen:
        """The samples of a step: drawn from the set by number."""
        rng = np.random.default_rng((self._sampler.seed, CACHED, step))
        return joined([self._one(int(n)) for n in rng.choice(VARIANTS, self._sampler.size, replace=False)])

    def stream(self, start: int, stop: int, _: Callable[[int], bool] = lambda _: True) -> Iterator[tuple[int, Seen]]:
        """(step, samples) from ``start`` up to ``stop``; samples that are kept hold their damaged truths."""
        for step in range(start, stop):
            yield step, self.batch(step)

    def one_batch(self) -> OneBatch:
        """A source that gives the same samples again and again: what steps cost once the maps are made."""
        return OneBatch(self)

    def _one(self, number: int) -> Seen:
        if number in self._kept:
            self._kept.move_to_end(number)
            return self._kept[number]
        begun = time.monotonic()
        samples = self._sampler.numbered(range(number, number + 1))
        here = samples.to(next(self._base.parameters()).device)
        with torch.no_grad():
            maps = self._base.coarse(here.images)
        seen = Seen(**vars(here), maps=maps)
        self.seconds = time.monotonic() - begun
        self._kept[number] = seen
        self._bytes += size_of(seen)
        while len(self._kept) > 1 and self._bytes > BYTES:
            self._bytes -= size_of(self._kept.popitem(last=False)[1])
        return seen


class OneBatch:
    """The first batch of a cache, again and again."""

    def __init__(self, cache: MapsCache) -> None:
        self._kept = cache.batch(0)

    def stream(self, start: int, stop: int, _: Callable[[int], bool] = lambda _: True) -> Iterator[tuple[int, Seen]]:
        """(step, samples) from ``start`` up to ``stop``."""
        return ((step, self._kept) for step in range(start, stop))


def size_of(seen: Seen) -> int:
    """Bytes of one kept sample."""
    maps = () if seen.maps is None else (seen.maps.logits, *seen.maps.features)
    return sum(t.numel() * t.element_size() for t in (seen.images, seen.labels, seen.codes, seen.rough, *maps))


def joined(seen: list[Seen]) -> Seen:
    """Several samples as one batch."""
    maps = [s.maps for s in seen if s.maps is not None]
    features = tuple(torch.cat([m.features[k] for m in maps]) for k in range(len(maps[0].features)))
    whole = replace(maps[0], logits=torch.cat([m.logits for m in maps]), features=features, deeper=())
    parts = {f.name: torch.cat([getattr(s, f.name) for s in seen]) for f in fields(Samples)}
    return Seen(**parts, maps=whole)
