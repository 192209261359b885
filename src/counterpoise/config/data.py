"""The block `datasets` of conf/: which reader, which columns, which groups, and how rows are shared out.

The parts of `counterpoise.config.parameters` that describe data, and what all of its models are made of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, model_validator

from counterpoise.bounds import Count, Positive, Share
from counterpoise.data import IMAGES
from counterpoise.data.boundary import LIMITS
from counterpoise.data.crossing import joined_name
from counterpoise.data.values import Value, name_of
from counterpoise.errors import suggest

TOLERANCE = 1e-6
"""How far the sum of fractions may be from one: they are written as decimals."""


RESERVED = frozenset({"checksums", "folder", "limits", "left_out", "reader", "treated", "untreated", "unused"})
"""Arguments of readers that are no options."""


class Settings(BaseModel):
    """A block of parameters: unknown keys are errors, values cannot be changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


def of_kind(value: Any, key: str, kinds: Mapping[str, type[Settings]], *, default: str) -> Any:
    """Read a block as the kind that its `key` names, so that a mistake is reported for that kind alone."""
    if not isinstance(value, Mapping):
        return value
    name = value.get(key, default)
    if name not in kinds:
        raise ValueError(f"{key} is {name!r}{suggest(str(name), kinds)}")
    return kinds[name].model_validate(value)


class Split(Settings):
    """How rows are shared out: fractions for pretraining and for the new task, whose parts are given in any unit.

    fractions: the shares of all rows, `pretrain` and `task`, whose sum is one.
    task: the parts of the new task, `train`, `validation` and `test`, in any unit.
    max_rows: most rows to learn from, pretrain and train together, and most to validate on, drawn by class and group
    with the replicate's seed; test rows are all used, and null uses all rows everywhere.
    together: a column of the table whose rows with the same value, such as those of one person, stay in one part, and
    in one fold of those that are learnt from. It is no feature. Null: each row stands for itself.
    """

    scheme: Literal["shares"] = "shares"
    fractions: dict[Literal["pretrain", "task"], Share]
    task: dict[Literal["train", "validation", "test"], Positive]
    max_rows: Count | None = 100_000
    together: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Split:
        for name, parts in (("fractions", {"pretrain", "task"}), ("task", {"train", "validation", "test"})):
            if missing := parts - set(getattr(self, name)):
                raise ValueError(f"{name} lacks {', '.join(sorted(missing))}")
        total = sum(self.fractions.values())
        if abs(total - 1) > TOLERANCE:
            raise ValueError(f"the fractions sum to {total:g}, expected 1")
        return self


class DomainSplit(Settings):
    """How images that exist in two domains are shared out; see `counterpoise.data.splitting.domains`.

    skew: the share of a class's pretraining images in its majority domain. majority: the classes by that domain.
    validation_per_cell: images of each class and domain to repair with. fit_share: the share of them to fit on; the
    others are chosen on. images_per_class, test_per_class: how many pretrain and test; null takes all.
    """

    scheme: Literal["domains"]
    skew: Annotated[float, Field(ge=0.5, lt=1)]
    majority: dict[str, tuple[str, ...]] = Field(min_length=2, max_length=2)
    validation_per_cell: Annotated[int, Field(ge=2)]
    fit_share: Annotated[float, Field(gt=0, lt=1)] = 0.7
    images_per_class: Annotated[int, Field(ge=2)] | None = None
    test_per_class: Count | None = None


# Values that may be of two kinds are checked by hand: pydantic would name its own name for one of them as the key.
def _shares(value: Any) -> Any:
    for column, share in value.items() if isinstance(value, Mapping) else [("", value)]:
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
            subject = f"{column!r} has {share!r}, " if column else ""
            raise ValueError(f"{subject}expected a share of at least 0 and less than 1")
    return value


def _rows_or_share(value: Any) -> Any:
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if not is_count and not (isinstance(value, float) and 0 < value < 1):
        raise ValueError("expected a number of rows, at least 1, or a share between 0 and 1")
    return value


class _Unbiased(Settings):
    """What splits with unbiased parts have in common.

    max_association: how far above what chance gives the association of class and group (`fairness.association`) may be
    in the parts train, validation and test before a run warns.
    """

    max_association: Share = 0.05


class AlignedSplit(_Unbiased):
    """How images that are rendered with a bias are shared out; see `counterpoise.data.splitting.aligned`.

    rho: the share of a class's pretraining images that is aligned with the bias; of several, by column.
    gates, validation: unbiased images to repair with: those of the part `train`, and those to choose on.
    images_per_class, test_per_class: how many pretrain and test; null takes all.
    """

    scheme: Literal["aligned"]
    rho: Annotated[float | dict[str, float], PlainValidator(_shares)]
    gates: Count = 10_000
    validation: Count = 10_000
    images_per_class: Count | None = None
    test_per_class: Count | None = None


class BalancedSplit(_Unbiased):
    """How natural images are shared out with as many rows of each class and group in every part but `pretrain`.

    per_cell: rows of each class and group in the parts; a whole number, or a number below one for that share of the
    smallest class and group. See `counterpoise.data.splitting.balanced`.
    """

    scheme: Literal["balanced"]
    per_cell: dict[Literal["train", "validation", "test"], Annotated[int | float, PlainValidator(_rows_or_share)]]

    @model_validator(mode="after")
    def _complete(self) -> BalancedSplit:
        if missing := {"train", "validation", "test"} - set(self.per_cell):
            raise ValueError(f"per_cell lacks {', '.join(sorted(missing))}")
        return self


SCHEMES: dict[str, type[Settings]] = {
    "aligned": AlignedSplit,
    "balanced": BalancedSplit,
    "domains": DomainSplit,
    "shares": Split,
}


def _split(value: Any) -> Any:
    return of_kind(value, "scheme", SCHEMES, default="shares")


def _names(value: Any) -> Any:
    """Read classes as texts: numbers and truth values name themselves."""
    if not isinstance(value, list | tuple) or not all(isinstance(name, Value) for name in value):
        return value
    return tuple(map(name_of, value))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


class Limits(Settings):
    """How large the raw files may be; see `counterpoise.data.boundary.Limits`, to which this block is handed on.

    file_bytes: of a file. unpacked_bytes: of what a packed file unpacks to, and of all features. image_pixels: of an
    image. columns: of a table, and features.
    """

    file_bytes: Count = LIMITS.file_bytes
    unpacked_bytes: Count = LIMITS.unpacked_bytes
    image_pixels: Count = LIMITS.image_pixels
    columns: Count = LIMITS.columns


class Dataset(Settings):
    """A data set: which reader, which column is predicted, which one is sensitive, and how rows are split.

    title: in reports. reader: which function reads the files (`counterpoise.data.READERS`). options: what that reader
    takes beside them. origin: where the files come from, and in what form they belong there: for errors and the report.
    checksums: file name → SHA-256; a file that differs is refused.
    label: the column that is predicted. drop: columns that are no features.
    split: how rows are shared out among the parts. limits: how large files may be.
    group_names: what reports call the groups. max_bad_fraction: the share of images that may be unreadable.
    positive: the label of class 1; null if the labels are the names of the classes, of which there may be many.
    classes: the labels, or names of the classes, that of the positive one second; labels may stand in any order.
    groups: values of the sensitive column, or lists of values; "*" takes all that no other group names.
    sensitive: a column, or a list of columns whose values are joined: `gender × race` has groups as `female, black`.
    crossed: the columns of such a list; it follows from `sensitive`.
    bands: of a sensitive column of numbers, where each group but the first begins; `groups` are then names for them. Of
        columns that are joined, a mapping: `age: [25, 60]` makes `below 25`, `25 to 60` and `from 60`.
    crossed_bands: that mapping; it follows from `bands`.
    scored_only: of a table, values of the sensitive column whose rows are neither learnt from nor compared, but scored
        by a frontier's model and counted in its report: groups of too few people, or null for rows without one.
    min_test_rows: groups with fewer rows in the test part are learnt from and reported, but not compared: no gap, no
        penalty or rule, and no choice of a model by a gap takes them into account. 0 compares all.
    rare_categories: categories of a column with fewer rows than this are one; 0: none are.
    categories: columns of a table that are categories though their values look like numbers or dates.
    dates: what becomes of columns of dates: `refuse`, or `days` since 1970-01-01.
    further_sensitive: of images with several biases, the other columns and their groups; they stay in `samples`.
    keep_sensitive: whether the network also sees the sensitive column of a table.
    image_size: edge in pixels of the images that a network is trained from; null takes them as they are. Backbones have
        a size of their own.
    image_range: the values that are black and white in grey images of more than 8 bits; null takes 0 and 65,535 of
        whole numbers, 0 and 1 of floating-point ones. See `counterpoise.data.images.decode`.
    """

    title: str
    reader: str
    options: dict[str, Any] = {}
    label: str
    positive: Value | None
    classes: Annotated[tuple[str, ...], BeforeValidator(_names)] = Field(min_length=2)
    sensitive: str
    crossed: tuple[str, ...] = ()
    groups: tuple[Value | tuple[Value, ...], ...] = Field(min_length=2)
    group_names: tuple[str, ...] = Field(min_length=2)
    further_sensitive: dict[str, tuple[Value, ...]] = {}
    bands: tuple[float, ...] = ()
    crossed_bands: dict[str, tuple[float, ...]] = {}
    scored_only: tuple[Value | None, ...] = ()
    min_test_rows: Annotated[int, Field(ge=0)] = 30
    drop: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    dates: Literal["refuse", "days"] = "refuse"
    rare_categories: Annotated[int, Field(ge=0)] = 0
    keep_sensitive: bool = False
    checksums: dict[str, str] | None = None
    origin: str
    split: Annotated[Split | DomainSplit | AlignedSplit | BalancedSplit, BeforeValidator(_split)]
    image_size: Annotated[int, Field(ge=8)] | None = None
    image_range: tuple[float, float] | None = None
    max_bad_fraction: Share = 0.001
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _named(self) -> Dataset:
        if len(self.groups) != len(self.group_names):
            raise ValueError(f"{len(self.groups)} groups have {len(self.group_names)} group_names")
        if self.positive is not None and len(self.classes) != 2:
            raise ValueError(f"{len(self.classes)} classes with 'positive', expected 2")
        if twice := {name for name in self.classes if self.classes.count(name) > 1}:
            raise ValueError(f"class {min(twice)!r} is given more than once")
        return self

    @model_validator(mode="before")
    @classmethod
    def _joined(cls, block: Any) -> Any:
        """Read a list of sensitive columns, and their bands by name, as what they stand for."""
        if not isinstance(block, Mapping):
            return block
        columns, bands = block.get("sensitive"), block.get("bands")
        if isinstance(columns, list | tuple):
            if len(columns) < 2 or len(set(map(str, columns))) < len(columns) or not all(map(_is_text, columns)):
                raise ValueError(f"sensitive is {list(columns)}, expected a column, or two or more different ones")
            block = {**block, "sensitive": joined_name(columns), "crossed": tuple(columns)}
        elif "crossed" not in block and isinstance(bands, Mapping):
            raise ValueError("bands has names of columns, expected them where 'sensitive' is a list")
        if isinstance(bands, Mapping):
            if unknown := set(bands) - set(block["crossed"]):
                raise ValueError(f"bands names {min(unknown)!r}{suggest(min(unknown), block['crossed'])}")
            block = {**{key: value for key, value in block.items() if key != "bands"}, "crossed_bands": dict(bands)}
        elif bands and block.get("crossed"):
            raise ValueError(f"bands are {bands}, expected a mapping from a column of 'sensitive' to them")
        return block

    @model_validator(mode="before")
    @classmethod
    def _positive_second(cls, block: Any) -> Any:
        """Put the class that `positive` names second, wherever it stands: class 1 has its name everywhere."""
        if not isinstance(block, Mapping) or (positive := block.get("positive")) is None:
            return block
        classes = _names(block.get("classes"))
        if not isinstance(classes, tuple) or len(classes) != 2:
            return block
        exact = [name == name_of(positive) for name in classes]
        alike = [name.casefold() == name_of(positive).casefold() for name in classes]
        first_is_positive = exact[0] or (alike[0] and not any(alike[1:]))
        return {**block, "classes": classes[::-1] if first_is_positive else classes}

    @model_validator(mode="after")
    def _groups_and_options(self) -> Dataset:
        for edges in (self.bands, *self.crossed_bands.values()):
            if list(edges) != sorted(set(edges)):
                raise ValueError(f"bands are {list(edges)}, expected increasing numbers")
        if any(not edges for edges in self.crossed_bands.values()):
            raise ValueError("bands has a column without numbers, expected at least one")
        if self.bands and len(self.bands) + 1 != len(self.groups):
            raise ValueError(
                f"{len(self.bands)} bands begin after the first one, expected {len(self.bands) + 1} groups"
            )
        for position, (group, name) in enumerate(zip(self.groups, self.group_names, strict=True)):
            others = [value for value in (*self.groups[:position], *self.groups[position + 1 :]) if value != group]
            if name != group and name in others:
                raise ValueError(f"group_names calls {group!r} {name!r}, which is the value of another group")
        if self.further_sensitive and self.reader not in IMAGES:
            raise ValueError("further_sensitive is of images alone, expected several columns in 'sensitive' of a table")
        if reserved := RESERVED & set(self.options):
            raise ValueError(f"options has {min(reserved)!r}, expected what the reader takes beside it")
        return self

    @model_validator(mode="after")
    def _apart(self) -> Dataset:
        grouped = {value for group in self.groups for value in ([group] if isinstance(group, Value) else group)}
        if both := [value for value in self.scored_only if value in grouped]:
            raise ValueError(f"scored_only names {both[0]!r}, which is one of 'groups' too, expected it in one of both")
        if self.scored_only and self.reader in IMAGES:
            raise ValueError("scored_only is given for images, expected it for a table alone")
        return self

    @model_validator(mode="after")
    def _darker_first(self) -> Dataset:
        if self.image_range is not None and not self.image_range[0] < self.image_range[1]:
            raise ValueError(
                f"image_range is {list(self.image_range)}, expected the value of black below that of white"
            )
        return self

    @model_validator(mode="after")
    def _domains(self) -> Dataset:
        if not isinstance(self.split, DomainSplit):
            return self
        if unknown := set(self.split.majority) - set(self.groups):
            raise ValueError(f"split.majority names {min(unknown)!r}{suggest(min(unknown), self.groups)}")
        skewed = [name for names in self.split.majority.values() for name in names]
        if sorted(skewed) != sorted(self.classes):
            raise ValueError(f"split.majority has the classes {sorted(skewed)}, expected each of 'classes' once")
        return self

    @model_validator(mode="after")
    def _aligned(self) -> Dataset:
        if not isinstance(self.split, AlignedSplit):
            return self
        values = self.biases
        for column, groups in values.items():
            if len(groups) != len(self.classes):
                raise ValueError(
                    f"{column!r} has {len(groups)} groups, expected one for each of the "
                    f"{len(self.classes)} classes, in their order"
                )
        rho = self.split.rho
        if not isinstance(rho, dict) and len(values) > 1:
            raise ValueError(f"split.rho is {rho}, expected one for each of {', '.join(values)}")
        if isinstance(rho, dict) and sorted(rho) != sorted(values):
            raise ValueError(f"split.rho names {', '.join(rho)}, expected {', '.join(values)}")
        return self

    @model_validator(mode="after")
    def _together(self) -> Dataset:
        if (column := self.together) in {self.label, self.sensitive, *self.crossed, *self.further_sensitive}:
            raise ValueError(f"split.together is {column!r}, which is the label or sensitive, expected another column")
        return self

    @property
    def together(self) -> str | None:
        """The column whose rows with the same value stay in one part."""
        return self.split.together if isinstance(self.split, Split) else None

    @property
    def not_features(self) -> tuple[str, ...]:
        """The columns that are no features, beside the label and what is sensitive."""
        return self.drop if self.together is None or self.together in self.drop else (*self.drop, self.together)

    @property
    def biases(self) -> dict[str, tuple[Value | tuple[Value, ...], ...]]:
        """The sensitive columns and their groups, the one that is compared first."""
        return {self.sensitive: self.groups, **self.further_sensitive}
