"""Sweeps over a folder of JPEG images with a random crop, by one reader, in a process of its own.

    python image_readers.py ENGINE MAP SIZE MINIBATCH WORKERS     ENGINE: lab or torch

Serves: for each line of standard input one sweep; answers with a JSON object {"seconds", "images", "version"}. The work
is the same for both: decode, cut out a square of 80 % of the shorter side at a random place, mirror half of them, scale
to SIZE x SIZE by linear interpolation, 32-bit floats with channels first, in minibatches.
"""

import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def lab(map_file: str, size: int, minibatch: int, workers: int) -> tuple[Callable[[], int], str]:
    """CNTK Lab's ImageDeserializer; its threads decode."""
    sys.path.insert(0, str(ROOT))
    import cntk_lab
    from cntk_lab import io

    cntk_lab.settings.set_option("threads", workers)
    made = [io.transforms.crop("randomside", side_ratio=0.8), io.transforms.scale(size, size, 3, "linear")]
    streams = io.StreamDefs(x=io.StreamDef(field="image", transforms=made), y=io.StreamDef(field="label", shape=1000))
    source = io.MinibatchSource(io.ImageDeserializer(map_file, streams))

    def sweep() -> int:
        count = 0
        while True:
            data = source.next_minibatch(minibatch)[source.streams.x]
            count += data.num_samples
            if data.end_of_sweep:
                return count

    return sweep, cntk_lab.__version__


def torch(map_file: str, size: int, minibatch: int, workers: int) -> tuple[Callable[[], int], str]:
    """PyTorch's DataLoader over a data set that does with Pillow what torchvision's transforms do."""
    import numpy as np
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    class Folder(Dataset):
        def __init__(self) -> None:
            folder = Path(map_file).parent
            lines = Path(map_file).read_text(encoding="utf-8").splitlines()
            self.entries = [(folder / p.removeprefix(".../"), int(n)) for p, n in (line.split("\t") for line in lines)]

        def __len__(self) -> int:
            return len(self.entries)

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            path, label = self.entries[index]
            with Image.open(path) as opened:
                image = opened.convert("RGB")
            side = int(0.8 * min(image.size))
            x, y = random.randint(0, image.width - side), random.randint(0, image.height - side)
            image = image.crop((x, y, x + side, y + side))
            if random.random() < 0.5:
                image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            image = image.resize((size, size), Image.Resampling.BILINEAR)
            return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float(), label

    loader = DataLoader(Folder(), minibatch, shuffle=True, num_workers=workers, persistent_workers=True)

    def sweep() -> int:
        return sum(len(images) for images, _ in loader)

    return sweep, torch.__version__


def main() -> None:
    """Serve until standard input ends."""
    name, map_file, size, minibatch, workers = sys.argv[1:6]
    build = {"lab": lab, "torch": torch}[name]
    sweep, version = build(map_file, int(size), int(minibatch), int(workers))
    sweep()  # workers are started and kernels are compiled
    print(json.dumps({"version": version}), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        images = sweep()
        print(json.dumps({"seconds": time.perf_counter() - start, "images": images}), flush=True)


if __name__ == "__main__":
    main()
