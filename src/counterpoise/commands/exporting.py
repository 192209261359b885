"""`counterpoise export`: a model that a run has left, as an MLflow folder that takes rows of the file, or images.

| experiment | model |
|---|---|
| with a frontier, on images | the model that was chosen, with its backbone |
| that fine-tunes heads (`win_*`) | the head of a variant and a seed, on its perceptron or its backbone |
| that repairs whole networks (`alter_*`, `ffw_*`) | the pruned network of a method and a seed, without what is pruned |

What a frontier on a table chooses is exported by its run.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from counterpoise import registered
from counterpoise.errors import InputError, suggest
from counterpoise.experiments import Experiment, Part


@dataclass(frozen=True)
class Request:
    """What is to be exported: `method` is a variant of heads or networks; the first seed, unless another is named."""

    experiment: str
    to: Path
    method: str | None = None
    part: str | None = None
    seed: int | None = None
    environment: str | None = None


class _Run:
    """The artifacts and parameters of an experiment, or of one of its parts."""

    def __init__(self, request: Request, catalog: Any, parameters: Mapping[str, Any]) -> None:
        self.request, self._catalog, self._parameters = request, catalog, parameters
        self.experiment = _entry({row.name: row for row in registered.experiments()}, request.experiment, "experiment")
        self.part = _part(self.experiment, request.part)

    def artifact(self, name: str) -> Any:
        """Return an artifact of the part, or of its experiment.

        Raises:
            InputError: there is none: the experiment has not been run.
        """
        from counterpoise.pipelines.assemble import artifact, owner

        owners = [self.experiment.name] if self.part is None else [owner(self.experiment, self.part)]
        for place in dict.fromkeys([*owners, self.experiment.name]):
            dataset = self._catalog.get(artifact(place, name))
            if dataset is not None and dataset.exists():
                return dataset.load()
        raise InputError(
            f"{self.experiment.name}: there is no {name!r} in its folders, expected it from `kedro run "
            f"--pipelines={self.experiment.name}`"
        )

    def parameter(self, kind: str) -> Any:
        """Return a block of parameters."""
        from counterpoise.pipelines.assemble import parameter

        block: Any = self._parameters
        for key in parameter(kind, self.experiment, self.part).split("."):
            block = block[key]
        return block

    def raw(self) -> Path:
        """Return the folder of the raw files."""
        from counterpoise.pipelines.assemble import raw_of

        return Path(self._catalog.load(raw_of(self.experiment, self.part)))

    def table(self) -> Any:
        """Return the rows as their reader left them."""
        from counterpoise.pipelines.assemble import artifact, table_of

        return self._catalog.load(artifact(table_of(self.experiment, self.part), "table"))

    def model_files(self) -> Path:
        """Return the folder of the model that came trained."""
        from counterpoise.pipelines.assemble import artifact

        return Path(self._catalog.load(artifact(str(self.experiment.model), "raw")))

    def dataset(self) -> Any:
        from counterpoise.config.parameters import Dataset

        return Dataset.model_validate(self.parameter("dataset"))


def export(request: Request) -> list[str]:
    """Write the folder; return what to say about it.

    Raises:
        InputError: the experiment, its part, a method or a seed is unknown, or has left nothing to export.
    """
    from kedro.framework.session import KedroSession

    from counterpoise.artifacts.serving import ServableDataset

    registered.read(environment=request.environment)
    with KedroSession.create(project_path=Path.cwd(), env=request.environment) as session:
        context = session.load_context()  # type: ignore[attr-defined]  # Kedro's own sessions have it
        run = _Run(request, context.catalog, context.params)
        model = _model(run)
    ServableDataset(str(request.to)).save(model)
    return [
        f"written: {request.to}, which takes {', '.join(model.columns)}. Try it with",
        f"  mlflow models predict --env-manager local -m {request.to} -t json "
        f"-i {request.to}/serving_input_example.json",
    ]


def _model(run: _Run) -> Any:
    experiment = run.experiment
    if experiment.frontier is not None and experiment.images:
        from counterpoise.pipelines.shared.served import bytes_of, on_images

        return on_images(run.artifact("model"), _backbone(run), bytes_of(_files(run)))
    if experiment.frontier is not None:
        raise InputError(
            f"{experiment.name}: is on a table, expected one on images (its run has exported the model already)"
        )
    return _network(run) if experiment.repairs is not None else _head(run)


def _network(run: _Run) -> Any:
    """Return a pruned network of an experiment that repairs whole ones."""
    from counterpoise.artifacts.compacted import model_of
    from counterpoise.artifacts.networks_served import framed, servable
    from counterpoise.pipelines.shared.served import EXAMPLES, choice

    stored, dataset = run.artifact("compact_networks"), run.dataset()
    variant = _variant(run, stored.header["variants"])
    seed = int(choice(run.request.seed, [int(seed) for seed in stored.header["variants"][variant]], "seed"))
    described = _described(run, dataset, variant, seed, stored.header)
    network = model_of(stored, variant, seed)
    if not run.experiment.images:
        encoding, example = _table(run)
        return servable(network, example, encoding=encoding, **described)
    pixels = run.artifact("pixels").tensors["pixels"]
    framing = framed(dataset.image_size, dataset.image_size, **_limits(dataset))
    framing["size"] = list(pixels.shape[2:])
    return servable(network, _images([_png(image) for image in pixels[:EXAMPLES]]), framing=framing, **described)


def _head(run: _Run) -> Any:
    """Return a fine-tuned head on what it stands on."""
    from counterpoise.pipelines.shared.served import bytes_of, choice, served_head, served_image_head

    stored, dataset = run.artifact("finetuned_heads"), run.dataset()
    variant = _variant(run, stored.header["variants"])
    seeds = list(stored.header["seeds"])
    seed = choice(run.request.seed, seeds, "seed")
    described = _described(run, dataset, variant, seed, stored.header)
    chosen = {"experiment": run.experiment.name, "variant": variant, "seed": seed, "metadata": described["metadata"]}
    if run.experiment.images:
        return served_image_head(stored, _backbone(run), bytes_of(_files(run)), dataset, **chosen)
    encoding = run.artifact("encoding")
    model = served_head(stored, run.artifact("pretrained"), encoding, dataset, **chosen)
    return _on_model(run, model, encoding) if run.experiment.base == "model" else model


def _on_model(run: _Run, model: Any, encoding: dict[str, Any]) -> Any:
    """Return a head with the user's model that it stands on.

    Raises:
        InputError: that has no form without pickled objects.
    """
    from counterpoise.config.parameters import Block
    from counterpoise.pipelines.shared.bodies import body_of, on_body
    from counterpoise.pipelines.shared.trained import Trained

    settings = Block[Trained].model_validate(run.parameter("model")).root
    written = body_of(run.artifact("samples"), run.table(), run.model_files(), settings, run.dataset(), encoding)
    if written is None:
        raise InputError(f"{run.experiment.name}: the model that it stands on cannot be written down without pickles")
    return on_body(model, *written)


def _backbone(run: _Run) -> Any:
    """Return the frozen backbone of an experiment on images."""
    from counterpoise.config.parameters import Backbone as Settings
    from counterpoise.pipelines.shared.served import image_network

    settings = Settings.model_validate(run.parameter("backbone"))
    return image_network(_files(run), run.artifact("features"), run.dataset(), settings, run.experiment.name)


def _limits(dataset: Any) -> dict[str, Any]:
    return {"max_pixels": dataset.limits.image_pixels, "value_range": dataset.image_range}


def _table(run: _Run) -> tuple[dict[str, Any], Any]:
    import pandas as pd

    encoding = dict(run.artifact("encoding"))
    return encoding, pd.DataFrame(encoding.pop("example"))


def _files(run: _Run) -> list[Path]:
    from counterpoise.pipelines.shared.served import EXAMPLES

    return [run.raw() / name for name in run.artifact("samples")["image"].head(EXAMPLES)]


def _images(contents: list[bytes]) -> Any:
    import pandas as pd

    return pd.DataFrame({"image": contents})


def _png(image: Any) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(buffer, "PNG")
    return buffer.getvalue()


def _described(run: _Run, dataset: Any, variant: str, seed: int, header: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {"variant": variant, "seed": seed, "part": None if run.part is None else run.part.name}
    metadata["digests"] = header["digests"]
    return {"label": dataset.label, "experiment": run.experiment.name, "metadata": metadata}


def _variant(run: _Run, variants: Mapping[str, Any]) -> str:
    from counterpoise.pipelines.shared.served import choice

    if not variants:
        raise InputError(f"{run.experiment.name}: nothing is pruned, expected a network from which something is cut")
    return str(choice(run.request.method, list(variants), "--method"))


def _part(experiment: Experiment, name: str | None) -> Part | None:
    if not experiment.parts:
        if name is not None:
            raise InputError(f"--part is {name!r}, expected none: {experiment.name} has no parts")
        return None
    from counterpoise.pipelines.shared.served import choice

    parts = {part.name: part for part in experiment.parts}
    return parts[choice(name, list(parts), "--part")]


def _entry(among: Mapping[str, Any], name: str, what: str) -> Any:
    if name not in among:
        raise InputError(f"{what}: {name!r} is unknown{suggest(name, among)}, expected the name of an experiment")
    return among[name]
