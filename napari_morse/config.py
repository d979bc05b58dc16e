"""Every number that somebody chose, with the reason or the paper's symbol beside it.

The paper is MORSE (You et al., MICCAI 2023, arXiv 2304.03209). All classes are frozen, refuse unknown keys and travel
as JSON inside ``model.json``.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

MODEL_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
"""What a model may be named: safe as a folder on every system."""
BACKBONE = r"[a-z0-9][a-z0-9._-]{0,63}"
"""What a backbone may be named."""


class _Frozen(BaseModel):
    # pydantic's JSON reader takes NaN and Infinity; most numbers below have no upper bound that would refuse them.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class BackboneConfig(_Frozen):
    """The network that makes the coarse mask."""

    name: str = Field("dynunet", pattern=f"^{BACKBONE}$")
    """Network behind the adapter: dynunet, segresnet, basicunet, unet, unetr, swinunetr, transunet, or one that an
    installed package offers or the user's own code registered (see ``docs/backbones.md``)."""
    package: str = Field("", max_length=200)
    """The installed package that offered the network; training fills it in. It is named when the network is missing."""
    spatial_dims: Literal[2, 3] = 3
    in_channels: int = Field(1, ge=1)
    classes: int = Field(3, ge=2)
    """C, background included."""
    filters: tuple[int, ...] = (32, 64, 128)
    """Channels per level, shallow to deep: about 1.5 M parameters in 3-D, a laptop's share."""
    stem: Literal["strided", "pooled"] = "strided"
    """How the input is thinned out: by the first convolution's stride (DynUNet), or by averaging blocks of voxels."""
    stem_stride: int = Field(2, ge=1)
    """Voxels of the working grid per voxel of the coarse logits: 2 makes the pass cheaper; the
    renderer then works at full resolution."""
    deep_supervision: bool = False
    """dynunet: deeper decoder maps have heads of their own while training, as in nnU-Net; half the weight per level."""
    image_size: tuple[int, ...] = ()
    """Voxels for which a ViT's position embedding is made (unetr, transunet); empty: the training window."""
    vit_width: int = Field(768, ge=1)
    """Numbers per token of the ViT in unetr and transunet; this and the next three are ViT-B's."""
    vit_mlp: int = Field(3072, ge=1)
    vit_heads: int = Field(12, ge=1)
    vit_blocks: int = Field(12, ge=1)


class RenderConfig(_Frozen):
    """Points, experts, gate and head."""

    points: int = Field(2048, ge=1)
    """N, points per image in training."""
    oversample: float = Field(3.0, ge=1)
    """k, candidates per point in training."""
    importance: float = Field(0.75, ge=0, le=1)
    """β, share of the N points taken where the coarse logits are most uncertain."""
    voxel_centres: bool = True
    """Training points are moved to voxel centres, where labels are exact; the published form leaves them between
    voxels."""
    uncertain_below: float = Field(4.0, gt=0)
    """At inference every voxel whose two largest coarse logits are closer than this is re-predicted: M grows with the
    boundary, and does not depend on how much background the scan holds."""
    fraction: float = Field(0.25, gt=0, le=1)
    """Upper bound of M as a share of the voxels (the most uncertain ones are kept)."""
    selection: Literal["margin", "count"] = "margin"
    """``count``: the M most uncertain voxels of every image, however sure they are, the published form; ``margin`` asks
    ``uncertain_below`` first."""
    test_points: int = Field(0, ge=0)
    """M of ``count`` as a number; 0 takes ``fraction`` of the voxels, so that M grows with the volume."""
    steps: int = Field(1, ge=1)
    """How often voxels are chosen at inference, each time from the map that the last rendering left; the published
    form does it twice. The head always reads the coarse pass's own logits."""
    encoding: Literal["fourier", "cell_relative", "none"] = "cell_relative"
    """γ. ``cell_relative`` (offset from the feature cell's centre) survives tiling; ``fourier`` is the published
    one."""
    fourier_features: int = Field(128, ge=1)
    """Columns of B ∈ R^{d × 128}."""
    fourier_draw: Literal["uniform", "normal"] = "uniform"
    """B ~ U(0, 1), low frequencies, the published form; or N(0, 1), Implicit PointRend's."""
    scales: int = Field(0, ge=0)
    """S: how many decoder maps are read, counted from the finest; 0 reads all."""
    experts: Literal["pointwise", "dense"] = "pointwise"
    """``dense``: experts, gate and fusion on whole maps, the published form; ``pointwise``: at the points only, whose
    cost grows with the boundary."""
    mixture: Literal["none", "deterministic", "stochastic"] = "stochastic"
    """``none``: no experts and no gate, the features go straight to the head; ``deterministic``: no expert is ever
    silenced."""
    rescale: Literal["none", "renorm"] = "renorm"
    """``renorm`` divides the weights that are left by their sum; the published form does not, and its features are
    2S / (S + 1) times larger at test than in training."""
    gate_norm: Literal["batch", "instance", "group"] = "batch"
    """In the dense gate. ``batch`` is the published one; in 3-D it would see the statistics of two volumes."""
    width: int = Field(64, ge=1)
    """Hidden units of experts and gate (256 in the published dense form)."""
    head_width: int = Field(128, ge=1)
    """Hidden units of the rendering head (512 in the published form)."""
    native: bool = True
    """An expert that reads the image's own 3^d neighbourhood at the point: what the coarse pass did not see."""
    native_rings: tuple[int, ...] = (1, 2)
    """Distances, in voxels of the model's spacing, at which that expert looks around."""
    stem: int = Field(0, ge=0)
    """Maps per layer of a light convolutional stem that the native expert reads besides: over the image and the coarse
    probabilities, at the model's spacing, in the boundary's blocks only. 0: none."""
    stem_layers: int = Field(2, ge=0)
    """Its residual layers after the first; it sees 2 · (2 + their number) voxels to each side."""
    stem_outputs: int = Field(16, ge=1)
    """What it says of a voxel."""
    stem_window: int = Field(24, ge=2)
    """In training, voxels per axis of the box in which points are drawn; the stem reads its reach besides."""
    stochastic: float = Field(0.25, ge=0, le=1)
    """Share of the training batches in which r ~ U{0..S−1} experts are silenced; the published form silences in all."""
    residual: bool = True
    """The head predicts a correction whose last layer starts at zero (the published head does not)."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """In the fusion MLP."""
    looks: Literal[1, 2, 4] = 1
    """How often a doubtful voxel is looked at, at inference: the second look runs the backbone over the boundary's box
    again, mirrored and half a cell beside the first, and the renderings are averaged. The published form has one."""
    detach: bool = True
    """The point loss does not reach the backbone: it protects the coarse mask. False is the published form."""

    @property
    def dense(self) -> bool:
        """Whether there is a mixture of whole maps."""
        return self.experts == "dense" and self.mixture != "none"

    @property
    def silencing(self) -> float:
        """Share of the training batches in which experts are silenced."""
        return self.stochastic if self.mixture == "stochastic" else 0.0

    @model_validator(mode="after")
    def _possible(self) -> RenderConfig:
        if self.dense and self.native:
            raise ValueError("dense experts read decoder maps only; set render.native=false")
        return self


class TrainConfig(_Frozen):
    """Budget and schedule."""

    window: tuple[int, ...] = (48, 64, 48)
    """Voxels of one training sample; also the tile of inference."""
    overlap: float = Field(1 / 3, ge=0, lt=1)
    """Share of a window that neighbouring windows have in common at inference, at least."""
    batch: int = Field(2, ge=1)
    iterations: int = Field(8000, ge=1)
    """Both stages together."""
    stage_one: float = Field(0.6, ge=0, le=1)
    """Share of the iterations in which the backbone trains alone."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = Field(2e-3, gt=0)
    schedule: Literal["cosine", "poly"] = "cosine"
    """How the learning rate falls: half a cosine, or (1 − t/T)^0.9."""
    floor: float = Field(0.01, ge=0, le=1)
    """Where it ends, as a share of where it began."""
    restart: bool = False
    """The renderer's learning rate begins anew when the renderer does, and falls over the second stage; else it takes
    over what the backbone's has fallen to, as published: a head that begins at zero then ends half trained."""
    renderer_rate: float = Field(1.0, gt=0)
    """The renderer's learning rate, in multiples of the backbone's."""
    weight_decay: float = Field(1e-4, ge=0)
    warmup: int = Field(100, ge=0)
    ema: float = Field(0.995, ge=0, lt=1)
    """Decay of the averaged weights, which are the ones judged and kept."""
    point_weight: float = Field(1.0, ge=0)
    """λ of the point loss in stage two."""
    point_dice: float = Field(0.25, ge=0, le=1)
    """Share of soft Dice in the point loss; 0 is the published form."""
    point_ramp: bool = False
    """λ grows as (t − t₀)/T over the second stage, which starts at t₀. With ``stage_one`` = 0.5 this is the published
    (t − T/2)/T, which ends at 1/2."""
    rough: float = Field(0.0, ge=0, le=1)
    """Share of the samples of stage two whose coarse map is replaced, for the renderer alone, by a damaged truth: the
    head then also sharpens a mask that was painted or that another program made."""
    frozen: bool = False
    """Leave the backbone as it is and train the renderer alone, from the first iteration; for a run that begins with a
    model's backbone."""
    mirror: bool = True
    """Half of the samples are mirrored left to right, and looks may be. Not for structures that are told apart by their
    side."""
    validate_every: int = Field(500, ge=1)
    precision: Literal["float32", "bfloat16"] = "float32"
    """``bfloat16`` runs the backbone's convolutions in bfloat16 while training; masters stay float32."""

    @property
    def second_stage(self) -> float:
        """Share of the run at which the renderer begins to train."""
        return 0.0 if self.frozen else self.stage_one


class EditsConfig(_Frozen):
    """How much of the corrections of one case can be undone."""

    edits: int = Field(100, ge=100)
    """So many of the last edits can always be undone, however large they are."""
    history_bytes: int = Field(256 * 2**20, ge=0)
    """Beyond this many bytes of encoded edits (4 a changed voxel at most, mostly far less) older ones are forgotten."""


class Recipe(_Frozen):
    """Everything needed to train a model again."""

    name: str
    backbone: BackboneConfig = BackboneConfig()
    render: RenderConfig = RenderConfig()
    train: TrainConfig = TrainConfig()
    contrast: Literal["as_is", "either"] = "as_is"
    """``either``: a scan is read as it is and with inverted grey levels, and taken as the network is surer of it."""


class LabelEntry(_Frozen):
    """One structure: id in the mask, name, hex colour, coded term."""

    id: int = Field(ge=1, le=65535)
    name: str
    color: str = Field(pattern=r"^#[0-9a-fA-F]{6}$")
    code: str = ""
    """``SCHEME:value``, e.g. ``SCT:…``; empty when none is known."""


class Intensity(_Frozen):
    """How grey levels become network input, and what they looked like in training."""

    method: Literal["zscore_above_minimum"] = "zscore_above_minimum"
    """Mean 0, sd 1 over finite voxels above the minimum, after clipping to the percentiles below."""
    lower_percentile: float = 0.5
    upper_percentile: float = 99.5
    skewness: tuple[float, float] = (-10.0, 10.0)
    """1st and 99th percentile over training cases of the normalised histogram's skewness (of channel 0): far outside is
    another contrast."""


class TrainingData(_Frozen):
    """Where the weights come from."""

    name: str
    cases: int = Field(ge=0)
    licence: str
    attribution: str = ""
    digest: str = ""
    """sha256 over the sorted file digests of the training cases."""


class Tuned(_Frozen):
    """How a model came out of a round of learning, with everything that must stay true in later rounds."""

    parent: str = Field(max_length=200)
    """Name of the model that it was tuned from, whose digest ends the card's ``lineage``; empty: from none."""
    by: str = Field("", max_length=200)
    """Who asked for it."""
    settings: dict[str, str | int | float]
    trained: tuple[str, ...]
    """What the scans of all cases that were trained on are known by, in this round and in those before: digests of
    their voxels (``voxels-1:…``), of older versions sha256 of their files."""
    held_out: tuple[str, ...] = ()
    """The same of the scans that judged it, in this round and in those before: never to be trained on."""
    verdict: str = Field("", max_length=2000)
    """One sentence."""


class ModelCard(_Frozen):
    """``model.json``: what a model is, strict."""

    format: Literal["napari-morse-model"] = "napari-morse-model"
    format_version: Literal[1] = 1
    name: str = Field(pattern=f"^{MODEL_NAME}$")
    version: int = Field(1, ge=1)
    summary: str = ""
    recipe: Recipe
    labels: tuple[LabelEntry, ...]
    channels: tuple[str, ...] = ("image",)
    """Names of the images that the model reads per case, all on one grid, in order."""
    spacing: tuple[float, ...]
    """mm of the working grid along the model's axes (R, A, S; in 2-D the two in the plane)."""
    slice_axis: Literal["R", "A", "S"] | None = None
    """2-D models: the patient axis across the slices (A = coronal)."""
    intensity: Intensity = Intensity()
    field_of_view: tuple[tuple[float, float], ...] = ()
    """Smallest and largest extent in mm seen in training, per model axis."""
    largest_component: bool = False
    minimum_volume_mm3: float = Field(0.0, ge=0)
    temperature: float = Field(1.0, gt=0)
    """Rendered logits are divided by it before they are read as probabilities; fitted on validation cases."""
    data: TrainingData
    lineage: tuple[str, ...] = ()
    """sha256 of the models that this one was tuned from, oldest first."""
    tuned: Tuned | None = None
    """None for a model that no round of learning made."""
    metrics: dict[str, float] = {}
    """Figures on validation cases, by name."""
    created: str = ""
    """ISO 8601 date."""
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Digest of ``model.safetensors``."""
