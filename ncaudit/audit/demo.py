"""Make small demo shards with planted mismatches, for a first audit with no data at hand.

Separate from the benchmark's noise because nothing is read here: pictures are drawn and
captions come from a small grammar. The truth lies beside the shards, never inside them.
"""

import io
import json
import re
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ncaudit.audit.demo_scenes import FLYING, SIZE_PX, Item, draw_scene
from ncaudit.errors import ConfigError, OutputExistsError
from ncaudit.files import atomic_path

N_PER_SHARD = 300
MIN_PAIRS = 20
TRUTH_NAME = "truth.csv"
_HTML = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head></html>\n"
# One sample of each is added to every demo, to show what rejects look like.
_DAMAGES = ("image_truncated", "image_is_html", "caption_empty", "image_missing")
_NEAR_RATE = 0.6  # of the exchanges stay within a setting: harder to see, like real mix-ups
_ANY = "red blue yellow green white orange purple pink"

# kind: its nouns; the settings it may stand in; its colours; what is coloured, if not all of it.
_WORDS = {
    "boat": ("sailing boat,sailboat", "sea", _ANY, ""),
    "steamer": ("steamship,ship", "sea", "red blue green black orange", ""),
    "whale": ("whale", "sea", "blue grey", ""),
    "lighthouse": ("lighthouse", "beach", "red blue green black", "with {} stripes"),
    "umbrella": ("parasol,beach umbrella", "beach meadow", _ANY, ""),
    "crab": ("crab", "beach underwater", "red orange purple", ""),
    "ball": ("beach ball,striped ball", "beach meadow room snow street", _ANY, ""),
    "palm": ("palm tree,palm", "beach desert", "green", ""),
    "house": ("house,cottage", "meadow snow mountains forest", "red blue brown grey purple", "with a {} roof"),
    "sheep": ("sheep", "meadow mountains snow", "white black brown grey", ""),
    "flower": ("flower,blossom", "meadow mountains desert", "red blue white orange purple pink", ""),
    "tree": ("tree,leafy tree", "meadow mountains street", "green orange yellow red", ""),
    "windmill": ("windmill", "meadow mountains", "red blue green brown", "with a {} roof"),
    "balloon": ("hot air balloon,balloon", "meadow mountains desert sea street", _ANY, ""),
    "kite": ("kite", "beach meadow street", _ANY, ""),
    "plane": ("plane,airplane", "sea street mountains desert snow", "red blue green orange", ""),
    "gull": ("seagull,gull", "sea beach street", "white", ""),
    "cactus": ("cactus", "desert", "green", ""),
    "camel": ("camel", "desert", "brown yellow white", ""),
    "pyramid": ("pyramid", "desert", "yellow orange brown", ""),
    "tent": ("tent", "forest mountains desert snow meadow", "red blue yellow orange green purple", ""),
    "car": ("car", "street desert snow meadow beach", _ANY + " black", ""),
    "bus": ("bus", "street mountains", "red blue yellow green", ""),
    "bicycle": ("bicycle,bike", "street meadow beach forest", "red blue green orange pink", ""),
    "cat": ("cat,kitten", "room street meadow snow table", "orange black grey brown white", ""),
    "lamp": ("lamp,table lamp", "room table", "red blue green yellow pink", "with a {} shade"),
    "armchair": ("armchair,cosy chair", "room", "red blue green purple brown", ""),
    "vase": ("vase of flowers,flower vase", "room table", "blue white green purple", ""),
    "fish": ("fish", "underwater", _ANY, ""),
    "jellyfish": ("jellyfish", "underwater", "pink purple white blue", ""),
    "turtle": ("turtle,sea turtle", "underwater beach", "green brown orange", ""),
    "octopus": ("octopus", "underwater", "red orange purple pink", ""),
    "snowman": ("snowman", "snow", "red blue green purple", "with a {} scarf"),
    "penguin": ("penguin", "snow beach", "black blue", ""),
    "pine": ("pine tree,fir tree", "snow mountains street", "green", ""),
    "rocket": ("rocket,space rocket", "space desert", "red blue green orange purple", ""),
    "planet": ("planet with a ring,ringed planet", "space", _ANY, ""),
    "ufo": ("flying saucer,spaceship", "space", "grey green purple orange", ""),
    "astronaut": ("astronaut", "space", "red blue orange", "with {} gloves"),
    "apple": ("apple", "table", "red green yellow", ""),
    "cup": ("cup of coffee,coffee mug", "table", _ANY, ""),
    "cake": ("birthday cake,cake with candles", "table", "pink yellow brown blue", ""),
    "teapot": ("teapot", "table", _ANY + " grey", ""),
    "mushroom": ("mushroom,toadstool", "forest meadow", "red brown orange", ""),
    "fox": ("fox", "forest snow meadow mountains", "orange red white", ""),
    "owl": ("owl", "forest snow", "brown grey white", ""),
}  # fmt: skip
_PLACES = {
    "sea": "on the open sea,on a calm sea,out on the water", "beach": "on a sandy beach,on the shore,on the sand by the sea",
    "meadow": "on a green meadow,in the grass,in a grassy field", "desert": "in the desert,among sand dunes,on hot sand",
    "mountains": "in front of snowy mountains,in the mountains,below high peaks", "street": "on a city street,in front of tall buildings,in town",
    "snow": "in the snow,in a snowy field,out in the cold", "forest": "in the forest,among tall trees,in the woods",
    "underwater": "under water,at the bottom of the sea,among seaweed", "space": "in space,among the stars,far from earth",
    "room": "in a room,on the wooden floor,in the living room", "table": "on the table,on a checked tablecloth,in the kitchen",
}  # fmt: skip
_LIGHTS = {
    "day": "on a sunny day,under a blue sky,in the sunshine", "sunset": "at sunset,in the evening,under a purple sky",
    "night": "at night,under the moon,on a dark night", "rain": "in the rain,on a rainy day,under grey clouds",
    "fog": "in the mist,on a foggy morning,on a pale cloudy day",
}  # fmt: skip
_WALLS = ("blue", "green", "pink", "yellow")
_LIGHTS_OF = {"room": _WALLS, "table": _WALLS, "underwater": ("",), "space": ("",)}
# What a caption of the one may say of the other: such captions are never exchanged.
_ALIKE = {
    "beach": "sea", "mountains": "meadow", "street": "house", "forest": "tree", "palm": "tree",
    "pine": "tree", "vase": "flower", "steamer": "boat", "ufo": "rocket",
}  # fmt: skip
_FORMS = (
    "{what} {where} {when}", "{what} {when} {where}", "{where}, {what} {when}", "{when}, {what} {where}",
    "a drawing of {what} {where} {when}", "a picture of {what} {where}", "{what}", "{mood} {where} {when}",
)  # fmt: skip
_MOODS = ("a quiet moment", "just another day", "my favourite view", "good memories")
_PLURALS = {
    "sheep": "sheep", "fish": "fish", "jellyfish": "jellyfish", "cactus": "cacti", "bus": "buses",
    "octopus": "octopuses", "fox": "foxes", "snowman": "snowmen",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class DemoSummary:
    """What `make_demo` wrote.

    Attributes:
        n_pairs: Readable pairs, the rows of `truth.csv`.
        n_mismatched: Those of them that carry another picture's caption.
        n_rejects: Damaged samples on top of the pairs.
        shards: The tar files, in order.
    """

    n_pairs: int
    n_mismatched: int
    n_rejects: int
    shards: tuple[Path, ...]


class _Scene(NamedTuple):
    setting: str
    light: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class _Sample:
    scene: _Scene
    caption: str
    is_vague: bool = False  # the caption names the place but none of the objects
    is_mismatched: bool = False
    damage: str = ""

    def misleads(self, scene: _Scene) -> bool:
        """True if this caption is surely wrong for a picture of `scene`."""
        named = {_ALIKE.get(item.kind, item.kind) for item in self.scene.items}
        here, there = (_ALIKE.get(place, place) for place in (self.scene.setting, scene.setting))
        shown = {there, *(_ALIKE.get(item.kind, item.kind) for item in scene.items)}
        return named.isdisjoint(shown) and not (self.is_vague and here == there)


def make_demo(
    out: Path,
    *,
    n_pairs: int = 1200,
    noise_rate: float = 0.2,
    seed: int = 0,
    on_image: Callable[[int], None] | None = None,
) -> DemoSummary:
    """Draw pairs into shards under `out`, exchange some captions, and write the truth.

    Args:
        out: Folder to write; it may exist if it is empty.
        n_pairs: Readable pairs; four damaged samples come on top.
        noise_rate: Share of the pairs, 0 to 1, that get the caption of another picture.
        seed: Same seed, same bytes. The pictures do not depend on `noise_rate`.
        on_image: Called with the number of pairs drawn so far.

    Raises:
        ConfigError: If a number is out of range, or too few captions could be exchanged.
        OutputExistsError: If `out` is a file, or holds anything.
    """
    _check(n_pairs, noise_rate, seed)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        hint = "Choose another folder with -o, or empty this one."
        raise OutputExistsError(f"{out} is not an empty folder", hint=hint)
    rows = _deal(_plan(n_pairs, round(noise_rate * n_pairs), seed), seed)
    n_drawn = count(1)
    shards = []
    for shard, group in groupby(rows, key=lambda row: row[0][:5]):
        shards.append(out / f"{shard}.tar")
        with atomic_path(shards[-1]) as temporary, tarfile.open(temporary, "w") as tar:
            for key, sample in group:
                _add(tar, key, _members(key, sample, np.random.default_rng((seed, 2, int(key)))))
                if on_image and not sample.damage:
                    on_image(next(n_drawn))
    truth = [f"{key[:5]},{key},{s.is_mismatched:d}\n" for key, s in rows if not s.damage]
    with atomic_path(out / TRUTH_NAME) as temporary:
        temporary.write_bytes("".join(["shard,key,is_mismatched\n", *truth]).encode())
    n_mismatched = sum(sample.is_mismatched for _, sample in rows)
    return DemoSummary(n_pairs, n_mismatched, len(_DAMAGES), tuple(shards))


def _check(n_pairs: int, noise_rate: float, seed: int) -> None:
    if n_pairs < MIN_PAIRS or seed < 0 or not 0 <= noise_rate <= 1:
        raise ConfigError(
            f"cannot plant a noise rate of {noise_rate} in {n_pairs} pairs with seed {seed}",
            hint=f"Give at least {MIN_PAIRS} pairs, a rate from 0 to 1 and a seed from 0 on.",
        )


def _plan(n_pairs: int, n_mismatched: int, seed: int) -> list[_Sample]:
    rng, noise = np.random.default_rng((seed, 0)), np.random.default_rng((seed, 1))
    kinds = rng.permutation(np.resize(rng.permutation(list(_WORDS)), n_pairs))
    samples = [_caption(_compose(str(kind), rng), rng) for kind in kinds]
    chosen = [int(index) for index in noise.choice(n_pairs, n_mismatched, replace=False)]
    donors = _derange([samples[index] for index in chosen], noise)
    for index, donor in zip(chosen, donors, strict=True):
        samples[index] = replace(donor, scene=samples[index].scene, is_mismatched=True)
    return samples


def _derange(samples: Sequence[_Sample], rng: np.random.Generator) -> list[_Sample]:
    """Return `samples` in an order in which each caption misleads, or raise ConfigError."""
    groups = [s.scene.setting if rng.random() < _NEAR_RATE else "" for s in samples]
    orders = [sorted(rng.permutation(len(samples)), key=groups.__getitem__) for _ in range(2)]
    order = [samples[donor] for _, donor in sorted(zip(*orders, strict=True))]
    for i, sample in enumerate(samples):
        if order[i].misleads(sample.scene):
            continue
        for j, other in enumerate(samples):
            if order[j].misleads(sample.scene) and order[i].misleads(other.scene):
                order[i], order[j] = order[j], order[i]
                break
        else:
            raise ConfigError("too few captions to exchange", hint="Ask for more, or for none.")
    return order


def _compose(kind: str, rng: np.random.Generator) -> _Scene:
    setting = _pick(_WORDS[kind][1].split(), rng)
    others = [other for other in _WORDS if other != kind and setting in _WORDS[other][1].split()]
    shown = [(kind, 1 + int(rng.choice(3, p=(0.55, 0.25, 0.2))))]
    if rng.random() < 0.35:
        shown.append((_pick(others, rng), 1))
    items = tuple(Item(name, _pick(_WORDS[name][2].split(), rng), n) for name, n in shown)
    return _Scene(setting, _pick(_LIGHTS_OF.get(setting, tuple(_LIGHTS)), rng), items)


def _caption(scene: _Scene, rng: np.random.Generator) -> _Sample:
    """Put a scene into words; as people do, some leave out colours, the place or the light."""
    form, subject = _pick(_FORMS, rng), scene.items[0]
    what, flies = _name(subject, rng), subject.kind in FLYING
    if len(scene.items) > 1 and not flies and rng.random() < 0.75:
        what += f" {_pick(('and', 'beside', 'next to'), rng)} {_name(scene.items[1], rng)}"
    where = _pick(_PLACES[scene.setting].split(","), rng)
    if flies and "{what}" in form:
        where = re.sub(r"^(in front of|out on|on|in|at|among|below)\b", "flying over", where)
    wall = f"in front of a {scene.light} wall" if scene.light else ""
    when = _pick(_LIGHTS.get(scene.light, wall).split(","), rng) if rng.random() < 0.7 else ""
    text = form.format(what=what, where=where, when=when, mood=_pick(_MOODS, rng)).strip(" ,")
    text = " ".join(text.split())
    text = text if rng.random() < 0.5 else text[0].upper() + text[1:] + "."
    return _Sample(scene, text, is_vague="{what}" not in form)


def _name(item: Item, rng: np.random.Generator) -> str:
    nouns, _, _, part = _WORDS[item.kind]
    noun, *rest = re.split(r"(?= of | with )", _pick(nouns.split(","), rng))
    *first, last = noun.split(" ")
    if item.number > 1:
        last = _PLURALS.get(last, last + "s")
    colour, words = item.colour if rng.random() < 0.75 else "", [*first, last, *rest]
    words = [*words, part.format(colour)] if part and colour else [colour, *words]
    name = " ".join(" ".join(words).split())
    number = (("an" if name[0] in "aeiou" else "a"), "two", "three")[item.number - 1]
    return f"{number} {name}"


def _pick(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]


def _deal(samples: Sequence[_Sample], seed: int) -> list[tuple[str, _Sample]]:
    """Return samples by key, shard by shard; some shards get damaged samples near their start."""
    groups = [list(samples[n : n + N_PER_SHARD]) for n in range(0, len(samples), N_PER_SHARD)]
    for number, sample in enumerate(_plan(len(_DAMAGES), 0, seed + 1)):
        groups[number % len(groups)].insert(10, replace(sample, damage=_DAMAGES[number]))
    return [(f"{n:05d}{i:04d}", s) for n, group in enumerate(groups) for i, s in enumerate(group)]


def _members(key: str, sample: _Sample, rng: np.random.Generator) -> dict[str, bytes]:
    picture = io.BytesIO()
    draw_scene(*sample.scene, rng).save(picture, "JPEG", quality=88)
    jpeg = picture.getvalue()
    caption = "" if sample.damage == "caption_empty" else sample.caption
    fields = {"caption": caption, "key": key, "width": SIZE_PX, "height": SIZE_PX}
    spoilt = {"image_truncated": jpeg[: len(jpeg) // 2], "image_is_html": _HTML}
    members = {"jpg": spoilt.get(sample.damage, jpeg), "json": json.dumps(fields).encode()}
    if sample.damage == "image_missing":
        del members["jpg"]
    return {**members, "txt": caption.encode()}


def _add(tar: tarfile.TarFile, key: str, members: Mapping[str, bytes]) -> None:
    for suffix, data in members.items():
        # A TarInfo's own defaults (mtime 0, root, mode 644) make the bytes repeatable.
        info = tarfile.TarInfo(f"{key}.{suffix}")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
