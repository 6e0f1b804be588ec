"""How many images a second a network computes on this machine."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from foveal.graph import Graph
from foveal.machine import cpu_threads
from foveal.shapes import Shape
from foveal.zoo import create_graph


def images_per_second(name: str, *, seconds: float = 1.0) -> float:
    """Images a second that the network called `name` computes here, at its own input size.

    OpenVINO in float32, weights drawn at random, every processor busy with one image at a time; compiling and a first
    image come before the clock starts.

    Parameters
    ----------
    seconds : for how long at least; a slow network takes one image a processor.
    """
    from foveal.engines.openvino import OpenVinoEngine

    graph, threads = create_graph(name), cpu_threads()
    engine = OpenVinoEngine(graph, _random_weights(graph), threads=threads)
    image = np.random.default_rng(0).standard_normal((1, *graph.input_shape), np.float32)

    def work(until: float) -> int:
        images = 0
        while not images or time.perf_counter() < until:
            engine(image)
            images += 1
        return images

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, [0.0] * threads))
        start = time.perf_counter()
        images = sum(pool.map(work, [start + seconds] * threads))
        return images / (time.perf_counter() - start)


def _random_weights(graph: Graph) -> dict[str, np.ndarray]:
    """Weights under which values keep their size from layer to layer: vanishing ones would be slow to multiply."""
    rng = np.random.default_rng(0)

    def drawn(name: str, shape: Shape) -> np.ndarray:
        if len(shape) > 1:
            return rng.standard_normal(shape, np.float32) * np.float32(math.sqrt(2 / math.prod(shape[1:])))
        return np.full(shape, name.endswith((".weight", ".running_var")), np.float32)

    return {name: drawn(name, shape) for name, shape in (graph.parameters() | graph.buffers()).items()}
