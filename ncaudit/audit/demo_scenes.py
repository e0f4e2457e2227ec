"""Draw the demo's pictures: a setting, its light, and a few objects on it.

Separate from `demo.py` because this is only pixels: it knows what a boat looks like, not
what a caption calls it. All is polygons in two small tables: no fonts, no files needed.
"""

import math
from collections.abc import Sequence
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageColor, ImageDraw

SIZE_PX = 224
_OVERSAMPLING = 2  # drawn twice as large and averaged down: Pillow's polygons are not smooth
_SIDE = SIZE_PX * _OVERSAMPLING
Point = tuple[float, float]

COLOURS = {
    "red": "#d64a3f", "blue": "#3b78c3", "yellow": "#f4c03c", "green": "#55a05c",
    "white": "#f8f4ea", "orange": "#ee8636", "purple": "#8760b4", "pink": "#ee8ea9",
    "black": "#3b3b47", "brown": "#96643f", "grey": "#99a0a8",
}  # fmt: skip
_INKS = {
    "w": "#fbf7ee", "k": "#2f2f3a", "n": "#7d5437", "g": "#4c8c50", "s": "#8d949c",
    "y": "#f8d052", "o": "#ee8a3c", "b": "#bfe3f2", "r": "#d6483e", "p": "#efcfa8",
}  # fmt: skip
# The sky's colour at the top and at the horizon; what a light mixes into all below it.
_SKIES = {
    "day": ("#6fb7e6", "#e3f3f6"), "sunset": ("#6a4c93", "#ffb072"), "rain": ("#75828f", "#c4ccd2"),
    "night": ("#0d1538", "#3d5488"), "fog": ("#d5d9d6", "#f0eee6"),
}  # fmt: skip
_TINTS = {
    "day": ("#fff3cf", 0.06), "sunset": ("#f0764f", 0.20), "rain": ("#7d8a99", 0.30),
    "night": ("#141d4a", 0.42), "fog": ("#e6e6e0", 0.45),
}  # fmt: skip
_WALLS = {"blue": "#a9c7dd", "green": "#b5ceb0", "pink": "#eac3c1", "yellow": "#f2dda4"}
_DEPTHS = {"underwater": ("#5cc3cf", "#17507f"), "space": ("#0b0f2c", "#2a1c4d")}
FLYING = frozenset({"balloon", "kite", "plane", "gull"})

# The ground of each setting, far to near: a method of `_Canvas`, its numbers, its inks.
_GROUNDS = {
    "sea": "tiles 54 63 100 1 #4f9ccb|tiles 63 72 100 1 #4490c2|tiles 72 82 100 1 #3a83b6|tiles 82 100 100 1 #3076a9|chevrons 26 56 99 5 1 0.6 #b9dcee",
    "beach": "tiles 54 62 100 1 #4f9ccb|tiles 62 80 100 1 #4490c2|chevrons 12 56 66 5 1 0.6 #b9dcee|hills 68 1.5 #f4f7f2|hills 71 1.5 #ecd5a3|dots 60 76 99 0.3 0.6 0.7 #c9a873",
    "meadow": "hills 54 7 #a9c98b|hills 62 5 #8dba6f|hills 71 3 #78ab5b|chevrons 45 76 99 0.8 -2.5 0.4 #568a43",
    "desert": "hills 55 5 #edc98c|hills 64 6 #e3b572|hills 75 4 #d7a45f|dots 60 78 99 0.3 0.6 0.7 #b98544",
    "mountains": "peaks 72 48 #7c8aa5|hills 70 3 #6f9a63|hills 80 3 #608b55|chevrons 25 84 99 0.8 -2.5 0.4 #4b7443",
    "street": "skyline 72 46 #b98d7a #c9ab8d #8d99ab #a8909e #9aa894|tiles 71 76 100 1 #c7c4bd|tiles 76 100 100 1 #5a5d66|tiles 93.5 95 8 1 #e8e2cf",
    "snow": "hills 56 6 #d5e3ee|hills 65 5 #e4edf4|hills 75 3 #f3f7fa|dots 45 0 99 0.3 0.9 0.9 #ffffff",
    "forest": "pines 68 46 #86ab8d|pines 74 42 #5f9070|pines 80 38 #437457|hills 77 2 #4e7148|dots 60 80 99 0.3 0.6 0.7 #86955a",
    "underwater": "rays 4 0.07 #ffffff|hills 88 3 #d9c38f|weeds 7 30 #3f8f6b #5da26a #c9707c|dots 16 5 85 0.5 1.6 0.4 #ffffff",
    "space": "dots 5 0 99 14 34 0.15 #6d4bb0 #2f5fb5 #b0508c|dots 90 0 100 0.15 0.7 1 #fff8e0",
    "room": "window 12 34 #f7f2e6|tiles 70 100 100 1 #b98a5e|tiles 76 76.5 100 1 #9b7049|tiles 83 83.6 100 1 #9b7049|tiles 91 91.8 100 1 #9b7049|tiles 68 70.5 100 1 #f7f2e6|rug 87 9 #c9796a #7892a8 #d8b878 #8d9f7c",
    "table": "tiles 0 66 5 0.5 #f8f5ec|tiles 64 100 100 1 #a5754c|tiles 68 100 100 1 #f6f0e2|tiles 68 100 6 0.5 #c8604f #5c86b5 #6f9c6c #d8b04c|tiles 72 76 100 0.4 #c8604f #5c86b5 #6f9c6c #d8b04c|tiles 81 86 100 0.4 #c8604f #5c86b5 #6f9c6c #d8b04c|tiles 92 98 100 0.4 #c8604f #5c86b5 #6f9c6c #d8b04c",
}  # fmt: skip

# One object a line. x runs from -50 to 50, y from 0 (the ground) up, in percent of its size.
# p INK x,y ... is a polygon, c INK x,y rx,ry an ellipse, l INK width x,y ... a line.
# An ink is the object's own colour (A, A- darker, A+ lighter) or a letter of `_INKS`.
_SPRITES = {
    "boat": "l n 3 0,15 0,98|p A 3,24 3,95 42,24|p A+ -3,28 -3,84 -32,28|p n -46,18 46,18 32,0 -32,0|p w -46,18 46,18 43,13 -43,13",
    "steamer": "c s 14,84 9,6|c s 4,76 7,5|p k -10,48 2,48 2,72 -10,72|p r -10,54 2,54 2,64 -10,64|p w -30,20 30,20 30,38 -30,38|p w -20,38 16,38 16,50 -20,50|c b -20,29 4,4|c b -6,29 4,4|c b 8,29 4,4|c b 21,29 4,4|p A -50,24 50,24 40,0 -42,0|p A- -44,8 43,8 40,0 -42,0",
    "whale": "p A 28,20 40,26 50,48 40,44 30,52 32,34|c A -4,20 42,20|p A- -6,14 12,12 0,0|c w -12,10 30,8|c A -6,16 36,8|c k -32,22 2.5,2.5|l b 3 -20,40 -20,56 -30,62|l b 3 -20,56 -10,62",
    "lighthouse": "c s 0,2 30,8|p w -14,2 14,2 9,70 -9,70|p A -13,12 13,12 12,26 -12,26|p A -11,40 11,40 10,54 -10,54|p k -13,69 13,69 13,73 -13,73|p y -7,73 7,73 7,86 -7,86|p A -11,86 11,86 0,99",
    "umbrella": "l w 3 0,0 6,62|p A -46,52 -36,76 -14,92 8,96 32,88 46,70 52,52|p w -18,52 -10,84 8,96 4,52|p w 24,52 22,84 8,96 44,72 38,52|p A- -46,50 52,50 52,53 -46,53",
    "crab": "l A 4 -24,16 -42,4|l A 4 24,16 42,4|l A 4 -20,12 -30,0|l A 4 20,12 30,0|l A 5 -24,24 -40,40|l A 5 24,24 40,40|c A -40,46 11,11|c A 40,46 11,11|p w -46,60 -34,60 -40,46|p w 46,60 34,60 40,46|c A 0,22 30,18|l k 2 -8,36 -9,46|l k 2 8,36 9,46|c w -9,48 5,5|c w 9,48 5,5|c k -9,48 2.5,2.5|c k 9,48 2.5,2.5",
    "ball": "c A 0,36 36,36|p w 0,36 -14,70 14,70|p w 0,36 34,30 26,10|p w 0,36 -34,30 -26,10|c A- 0,36 6,6",
    "palm": "p n -5,0 6,0 8,40 14,70 9,70 0,40|p A 11,70 -14,72 -34,54 -16,84|p A 11,70 36,70 52,48 38,82|p A 11,70 -10,90 -26,92 0,98|p A- 11,70 30,92 46,94 22,99|c n 8,67 5,5|c n 16,67 5,5",
    "house": "p n 22,62 32,62 32,92 22,92|p w -36,0 36,0 36,52 -36,52|p A -46,50 46,50 0,92|p A- -46,50 46,50 43,45 -43,45|p n -8,0 10,0 10,30 -8,30|c y 6,14 2,2|p b -29,18 -15,18 -15,36 -29,36|p b 17,18 31,18 31,36 17,36|l n 2 -22,18 -22,36|l n 2 24,18 24,36",
    "sheep": "p k -22,0 -16,0 -16,22 -22,22|p k -8,0 -2,0 -2,20 -8,20|p k 8,0 14,0 14,20 8,20|p k 20,0 26,0 26,22 20,22|c A -20,36 16,16|c A 0,42 20,18|c A 20,36 16,16|c A 0,28 26,14|c k -36,44 10,13|c A -34,56 10,6|c w -39,47 2.5,3",
    "flower": "l g 4 0,0 2,56|p g 0,14 22,34 26,22|p g 0,8 -22,28 -26,16|c A 2,84 11,13|c A 20,72 13,11|c A 14,54 12,12|c A -10,54 12,12|c A -16,72 13,11|c y 2,68 11,11|c o 2,66 7,7",
    "tree": "p n -7,0 8,0 5,44 -4,44|l n 4 0,34 16,52|c A- -18,54 22,20|c A- 18,54 22,20|c A 0,70 28,24|c A -18,62 18,16|c A+ -6,78 14,11|c A+ 14,66 10,7",
    "windmill": "p w -18,0 18,0 11,64 -11,64|p A -14,62 14,62 0,82|p n -6,0 6,0 6,18 -6,18|c b 0,40 5,6|l n 3 0,66 34,96|l n 3 0,66 -34,36|l n 3 0,66 -34,96|l n 3 0,66 34,36|p w 8,73 34,96 42,88 16,66|p w -8,59 -34,36 -42,44 -16,66|p w -7,73 -34,96 -26,102 0,80|p w 7,59 34,36 26,30 0,52|c n 0,66 4,4",
    "balloon": "l n 1.5 -20,44 -8,18|l n 1.5 20,44 8,18|p A -26,48 26,48 9,24 -9,24|c A 0,66 36,33|c A+ 0,66 22,33|c A 0,66 9,33|p n -9,4 9,4 9,18 -9,18|p p -10,16 10,16 10,20 -10,20",
    "kite": "l w 1.5 0,30 -8,16 4,6 -4,-8|p A 0,100 30,66 0,30 -30,66|p A+ 0,100 30,66 0,66|p A- 0,66 -30,66 0,30|p y -8,16 -18,22 -16,10|p y 4,6 14,12 12,0",
    "plane": "p A 30,56 50,84 38,84 18,58|c w 0,52 48,12|p A -6,52 22,52 34,20 22,20|p A- 2,60 18,60 26,78 18,78|c b -36,55 7,5|c b -16,56 3,3|c b -6,56 3,3|c b 4,56 3,3|c b 14,56 3,3",
    "gull": "p A 0,46 -20,66 -50,60 -22,58|p A 0,46 20,68 50,64 22,58|c A 0,48 16,7|p o -15,48 -24,46 -15,45|c k -11,50 1.5,1.5",
    "cactus": "p A -9,0 9,0 9,84 -9,84|c A 0,84 9,12|p A -34,34 -22,34 -22,60 -34,60|c A -28,60 6,9|p A -34,28 -6,28 -6,38 -34,38|p A 22,44 34,44 34,70 22,70|c A 28,70 6,9|p A 6,38 34,38 34,48 6,48|l A+ 2 -3,4 -3,84|l A+ 2 4,4 4,84|c r 0,96 5,4",
    "camel": "l A 6 -20,34 -22,0|l A 6 -8,32 -8,0|l A 6 16,32 16,0|l A 6 26,34 28,0|c A 2,42 32,16|c A -8,56 13,15|c A 16,56 13,15|p A -30,40 -22,52 -36,76 -44,72|c A -44,76 12,7|c k -44,78 2,2|p A -36,82 -32,90 -31,80|l A- 2 32,44 38,22|p p -2,58 10,58 18,58 18,40 10,40 -8,40",
    "pyramid": "p A -50,0 12,0 2,74|p A- 12,0 50,0 2,74|p A+ -6,62 3,62 2,74|l A- 1 -34,20 8,20|l A- 1 -20,40 5,40",
    "tent": "p A -46,0 46,0 0,66|p A- 8,0 46,0 0,66|p k -14,0 10,0 0,44|p A+ -14,0 -20,0 0,44|l n 2 0,66 0,74|l n 1.5 -46,0 -40,14",
    "car": "p A -28,30 -18,52 18,52 32,30|p b -21,31 -14,47 -1,47 -1,31|p b 3,31 3,47 15,47 25,31|p A -48,10 -48,28 -28,33 34,33 48,26 50,10|c k -28,10 12,12|c k 28,10 12,12|c s -28,10 5,5|c s 28,10 5,5|c y 46,24 3,4|p A- -48,10 50,10 50,14 -48,14",
    "bus": "p A -48,8 48,8 48,66 -48,66|p A+ -48,58 48,58 48,66 -48,66|p b -42,36 -26,36 -26,54 -42,54|p b -22,36 -6,36 -6,54 -22,54|p b -2,36 14,36 14,54 -2,54|p b 18,36 28,36 28,54 18,54|p w 32,12 44,12 44,54 32,54|p w -48,28 30,28 30,31 -48,31|c k -28,9 11,11|c k 28,9 11,11|c s -28,9 4,4|c s 28,9 4,4",
    "bicycle": "c k -28,22 22,22|c w -28,22 18,18|c k 28,22 22,22|c w 28,22 18,18|l A 4 -28,22 -8,54 18,54 0,22 -28,22|l A 4 0,22 -10,60|l A 4 28,22 16,66|l k 4 -18,61 -2,61|l k 4 8,68 24,66",
    "cat": "l A 7 26,14 42,24 40,48|c A 4,24 26,24|c A -4,8 30,8|c A -14,54 20,17|p A -32,58 -30,82 -16,68|p A 4,58 2,82 -12,68|p p -29,66 -28,76 -21,69|p p 1,66 0,76 -7,69|c w -8,20 11,14|c y -21,56 4,4.5|c y -7,56 4,4.5|c k -21,56 1.5,4|c k -7,56 1.5,4|p p -16,50 -12,50 -14,50 -14,47 -12,47|l k 1 -20,47 -36,50|l k 1 -8,47 8,50",
    "lamp": "c y 0,55 10,8|c n 0,3 22,5|l n 4 0,4 0,62|p A -30,56 30,56 16,92 -16,92|p A+ -30,56 30,56 28,60 -28,60",
    "armchair": "l n 5 -28,0 -26,10|l n 5 28,0 26,10|c A 0,62 30,26|p A -30,20 30,20 30,62 -30,62|p A- -30,24 30,24 30,38 -30,38|c A+ 0,38 28,7|p A -44,10 -28,10 -28,40 -44,40|p A 28,10 44,10 44,40 28,40|c A -36,41 8,8|c A 36,41 8,8|p A- -30,10 30,10 30,22 -30,22",
    "vase": "l g 3 0,34 -16,70|l g 3 0,34 2,80|l g 3 0,34 20,66|c r -18,74 11,11|c y 2,88 11,11|c w 22,72 11,11|c o -18,74 4,4|c o 2,88 4,4|c o 22,72 4,4|p A -10,44 10,44 7,36 22,18 12,0 -12,0 -22,18 -7,36|p A+ -16,22 16,22 20,16 -20,16",
    "fish": "p A 24,40 48,62 42,40 48,18|p A- -8,58 16,72 14,54|p A- -4,22 12,10 12,28|c A -4,40 36,21|c A+ -8,34 24,10|p w 2,58 8,58 12,22 4,22|c w -24,45 6,6|c k -25,45 3,3|l A- 1.5 -12,50 -9,40 -12,30",
    "jellyfish": "l A+ 3 -22,48 -26,30 -18,16 -24,0|l A+ 3 -8,48 -12,26 -4,14 -8,-4|l A+ 3 8,48 4,28 12,14 8,-4|l A+ 3 22,48 18,30 26,16 22,0|p A -34,46 -32,62 -24,76 -10,86 0,88 10,86 24,76 32,62 34,46|c A+ -10,72 14,10|c A- -22,47 10,5|c A- 0,47 10,5|c A- 22,47 10,5",
    "turtle": "c g -26,18 18,8|c g 24,18 14,7|c g -46,34 13,10|p g 36,28 50,24 38,34|c A 0,32 36,24|c A+ -12,38 9,8|c A+ 8,40 9,8|c A+ 0,24 9,7|c A+ 22,28 7,7|c A+ -24,26 6,6|c k -50,37 2,2",
    "octopus": "l A 8 -16,36 -34,22 -44,4|l A 8 -8,32 -20,14 -22,-2|l A 8 0,30 0,12 6,-4|l A 8 8,32 24,16 26,-2|l A 8 16,36 36,24 48,10|c A 0,62 28,30|c A 0,40 22,12|c w -10,54 7,8|c w 10,54 7,8|c k -9,53 3,4|c k 11,53 3,4|c A+ -10,80 8,5",
    "snowman": "c w 0,22 28,24|c w 0,54 21,19|c w 0,80 15,15|l n 3 -18,58 -42,74|l n 3 18,58 42,74|p A -20,64 20,64 20,71 -20,71|p A 8,46 16,46 16,68 8,68|p k -17,90 17,90 17,94 -17,94|p k -11,92 11,92 11,110 -11,110|c k -5,83 2,2|c k 6,83 2,2|p o 0,80 18,76 0,75|c k 0,56 2,2|c k 0,46 2,2|c k 0,28 2,2",
    "penguin": "c o -12,3 12,5|c o 12,3 12,5|c A 0,40 28,40|c A -26,40 8,22|c A 26,40 8,22|c w 0,34 20,30|c A 0,78 18,18|c w -7,78 8,9|c w 7,78 8,9|c k -6,79 3,3|c k 6,79 3,3|p o -7,73 7,73 0,64",
    "pine": "p n -5,0 5,0 5,18 -5,18|p A -36,14 36,14 0,56|p A -28,38 28,38 0,78|p A -20,60 20,60 0,100|p w -8,84 8,84 0,100|p w -14,56 2,64 -4,72|p w 14,32 28,22 20,40",
    "rocket": "p y -10,14 10,14 0,-14|p o -6,14 6,14 0,-2|p A -16,44 -32,16 -12,20|p A 16,44 32,16 12,20|c w 0,52 18,42|p A -15,74 15,74 8,90 0,100 -8,90|c k 0,58 9,9|c b 0,58 6,6|p A- -12,12 12,12 12,18 -12,18",
    "planet": "l p 3.5 48,64 47,67 42,68 34,69 23,67 10,64 -3,60 -17,56 -29,50 -38,45 -45,40 -48,36 -47,33|c A 0,50 32,32|c A+ -9,62 16,7|c A- 8,36 18,6|c A+ 4,49 8,3|l p 3.5 -48,36 -46,33 -41,32 -33,32 -22,33 -10,36 3,40 16,44 28,49 38,54 44,59 47,63 47,66",
    "ufo": "p y -18,30 18,30 32,-14 -32,-14|c b 0,56 20,22|c g 0,58 8,10|c A 0,42 46,14|c A- 0,36 34,7|c y -28,42 4,4|c y -10,46 4,4|c y 10,46 4,4|c y 28,42 4,4",
    "astronaut": "p s -26,28 26,28 26,66 -26,66|p w -16,0 -3,0 -3,30 -16,30|p w 3,0 16,0 16,30 3,30|p s -17,0 -3,0 -3,6 -17,6|p s 3,0 17,0 17,6 3,6|c w 0,44 22,24|l w 11 -18,56 -40,70|l w 11 18,56 40,40|c A -42,71 6,6|c A 42,39 6,6|c w 0,80 20,20|c k 0,80 15,13|c A+ -5,84 6,4|p A -9,38 9,38 9,48 -9,48",
    "apple": "c A -11,34 24,32|c A 11,34 24,32|c A+ -18,44 6,9|l n 4 0,60 4,78|p g 4,72 28,86 26,70",
    "cup": "c A 34,34 15,16|c w 34,34 8,9|p A -34,60 34,60 26,2 -26,2|c A- 0,60 34,8|c n 0,59 28,6|p A+ -31,34 31,34 31,42 -31,42|c w -10,78 5,9|c w 8,86 5,9",
    "cake": "c w 0,4 46,7|p A -36,6 36,6 36,44 -36,44|c w 0,44 36,8|c w -24,38 9,9|c w -6,35 9,9|c w 12,38 9,9|c w 28,37 8,9|l p 3 -14,46 -14,46 -14,64 -14,64|l b 3 4,46 4,64|l y 3 20,46 20,64|c o -14,68 3,6|c o 4,68 3,6|c o 20,68 3,6",
    "teapot": "l A 6 28,52 44,46 44,24 26,18|p A -26,18 -50,50 -42,54 -24,42|c A 0,32 32,30|c A- 0,56 20,6|c A 0,59 15,6|c k 0,67 4,4|c A+ -10,42 10,8|p A- -20,1 20,1 20,5 -20,5",
    "mushroom": "p p -10,0 10,0 7,40 -7,40|c A 0,46 38,16|c A 0,52 32,24|c w -16,54 6,5|c w 4,66 6,5|c w 18,52 6,5|c w -2,48 4,3",
    "fox": "p A 12,6 44,10 50,34 34,24|p w 50,34 38,26 46,14|c A 2,18 20,18|c w -2,13 9,12|p A -30,78 -27,50 -8,58|p A 26,78 23,50 4,58|p k -27,71 -25,58 -17,61|p k 23,71 21,58 13,61|c A -2,54 25,12|p A -27,52 23,52 -2,27|p w -27,50 -12,44 -2,27|p w 23,50 8,44 -2,27|c k -2,30 3.5,3|c k -11,52 2.5,3|c k 7,52 2.5,3",
    "owl": "p A -22,66 -26,88 -8,76|p A 22,66 26,88 8,76|c A 0,40 28,38|c A- -24,36 9,24|c A- 24,36 9,24|c p 0,28 17,20|c w -11,58 11,11|c w 11,58 11,11|c k -11,58 5,5|c k 11,58 5,5|p o -4,52 4,52 0,43|l o 4 -8,4 -8,0|l o 4 8,4 8,0",
}  # fmt: skip
KINDS, SETTINGS = tuple(_SPRITES), tuple(_GROUNDS)


class Item(NamedTuple):
    """Some objects: a name of `KINDS`, a name of `COLOURS`, and how many are drawn."""

    kind: str
    colour: str
    number: int


class _Canvas:
    """A picture in percent, x to the right and y down; its public methods draw `_GROUNDS`."""

    def __init__(self, ends: tuple[str, str], rng: np.random.Generator) -> None:
        column = np.array([[_rgb(ink)] for ink in ends], dtype=np.uint8)
        self.image = Image.fromarray(column).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
        self.rng = rng
        self.tint = ("#000000", 0.0)
        self._draw = ImageDraw.Draw(self.image, "RGBA")

    def fill(self, points: Sequence[Point], ink: str, alpha: float = 1.0) -> None:
        rgba = (*_rgb(_mix(ink, *self.tint)), round(255 * alpha))
        self._draw.polygon([(x * _SIDE / 100, y * _SIDE / 100) for x, y in points], rgba)

    def line(self, points: Sequence[Point], ink: str, width: float) -> None:
        pixels = [(x * _SIDE / 100, y * _SIDE / 100) for x, y in points]
        n_wide = max(1, round(width * _SIDE / 100))
        self._draw.line(pixels, _rgb(_mix(ink, *self.tint)), n_wide, joint="curve")

    def oval(self, ink: str, x: float, y: float, radii: Point, alpha: float = 1.0) -> None:
        self.fill(_ellipse((x, y), radii), ink, alpha)

    def box(self, ink: str, low: Point, high: Point, alpha: float = 1.0) -> None:
        self.fill([low, (high[0], low[1]), high, (low[0], high[1])], ink, alpha)

    def tiles(self, ink: str, top: float, bottom: float, width: float, alpha: float) -> None:
        for x in np.arange(0, 100, 2 * width):
            self.box(ink, (x, top), (x + width, bottom), alpha)

    def rug(self, ink: str, y: float, height: float) -> None:
        self.oval(ink, 50, y, (42, height))
        self.oval("#fff6dd", 50, y, (36, height * 0.8), 0.25)

    def hills(self, ink: str, top: float, height: float) -> None:
        (p, q), (f, g) = self.rng.uniform(0, math.tau, 2), self.rng.uniform(0.02, 0.07, 2)
        waves = [(x, math.sin(x * f + p) + math.sin(x * g + q)) for x in range(0, 101, 4)]
        self.fill([(0, 100), *((x, top + height * w / 2) for x, w in waves), (100, 100)], ink)

    def dots(self, ink: str, n: float, *numbers: float) -> None:
        top, bottom, least, most, alpha = numbers
        for x, y, r in self.rng.uniform((0, top, least), (100, bottom, most), (int(n), 3)):
            self.oval(ink, x, y, (r, r * 0.9), alpha)

    def chevrons(self, ink: str, n: float, *numbers: float) -> None:
        top, bottom, half, drop, width = numbers
        for x, y in self.rng.uniform((0, top), (100, bottom), (int(n), 2)):
            self.line([(x - half, y + drop), (x, y), (x + half, y + drop)], ink, width)

    def peaks(self, ink: str, foot: float, most: float) -> None:
        for x, height in zip((8, 88, 35, 64), self.rng.uniform(0.6, 1, 4) * most, strict=True):
            half, top, shade = height * 0.75, foot - height, _mix(ink, "#1d2440", 0.2)
            self.fill([(x - half, foot), (x, top), (x + half, foot)], ink)
            self.fill([(x, top), (x + half, foot), (x + half * 0.15, foot)], shade)
            snow = ((-0.3, 0.3), (0, 0), (0.3, 0.3), (0.1, 0.22), (-0.03, 0.34))
            self.fill([(x + half * u, top + height * v) for u, v in snow], "#fbfbf8")

    def skyline(self, ink: str, foot: float, most: float) -> None:
        for x, tall in zip(range(-4, 100, 17), self.rng.uniform(0.4, 1, 7) * most, strict=True):
            shade = _mix(ink, "#33405c", float(self.rng.uniform(0, 0.4)))
            self.box(shade, (x, foot - tall), (x + 17, foot))
            rows = range(int(foot - tall) + 3, int(foot) - 6, 7)
            for left, row in product((x + 2, x + 7, x + 12), rows):
                glass = "#f5e3a1" if self.rng.random() < 0.5 else "#5d6b80"
                self.box(glass, (left, row), (left + 3, row + 4))

    def pines(self, ink: str, foot: float, most: float) -> None:
        for x, height in zip(
            range(-5, 108, 11), self.rng.uniform(0.7, 1.1, 11) * most, strict=True
        ):
            for step in (0.0, 0.28, 0.52):
                y, half = foot - height * step, 8 * (1 - step)
                self.fill([(x - half, y), (x, y - height * 0.5), (x + half, y)], ink)

    def rays(self, ink: str, n: float, alpha: float) -> None:
        for x in self.rng.uniform(0, 90, int(n)):
            self.fill([(x, 0), (x + 9, 0), (x + 30, 90), (x + 8, 90)], ink, alpha)

    def weeds(self, ink: str, n: float, most: float) -> None:
        for x, tall, p in self.rng.uniform((0, 0.3, 0), (100, 1, 6), (int(n), 3)):
            stem = [(x + 2 * math.sin(s + p), 95 - most * tall * s / 8) for s in range(9)]
            self.line(stem, ink, 1.8)

    def window(self, ink: str, top: float, height: float) -> None:
        x = self.rng.uniform(6, 60)
        self.box(ink, (x, top), (x + 32, top + height))
        for left in (x + 2, x + 17):
            self.box("#a8d8ee", (left, top + 2), (left + 13, top + height - 2))


def _rgb(ink: str) -> tuple[int, int, int]:
    return ImageColor.getrgb(ink)[:3]


@cache
def _mix(ink: str, other: str, amount: float) -> str:
    pairs = zip(_rgb(ink), _rgb(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * amount):02x}" for a, b in pairs)


def _ellipse(at: Point, radii: Point) -> list[Point]:
    turns = [math.tau * step / 32 for step in range(32)]
    return [(at[0] + radii[0] * math.cos(t), at[1] + radii[1] * math.sin(t)) for t in turns]


def draw_scene(
    setting: str, light: str, items: Sequence[Item], rng: np.random.Generator
) -> Image.Image:
    """Draw `items` in a setting; `rng` decides the details and where things stand.

    Args:
        setting: A name of `SETTINGS`.
        light: A weather of `_SKIES`, a colour of `_WALLS`, or "" (under water, in space).
        items: What is shown.
        rng: Two generators in the same state draw the same picture.
    """
    canvas = _Canvas(_DEPTHS.get(setting) or _SKIES.get(light) or (_WALLS[light],) * 2, rng)
    if light in _TINTS:
        _hang_sky(canvas, light)
    _lay_ground(canvas, setting)
    canvas.tint = (canvas.tint[0], canvas.tint[1] * 0.5)  # the objects keep their colours
    shown = [item for item in items for _ in range(item.number)]
    slots = rng.permutation(len(shown)) * 100 / len(shown) + 50 / len(shown)
    size = rng.uniform(0.88, 1.1) * {1: 58, 2: 45, 3: 36, 4: 29}.get(len(shown), 24)
    for item, x in zip(shown, slots + rng.uniform(-12, 12, len(shown)) / len(shown), strict=True):
        _place(canvas, item, (x, size), floats=setting in _DEPTHS)
    for x, y in rng.uniform((0, 0), (104, 100), (90 if light == "rain" else 0, 2)):
        canvas.line([(x, y), (x - 1.2, y + 4)], "#d3dde6", 0.3)
    return canvas.image.reduce(_OVERSAMPLING)


def _hang_sky(canvas: _Canvas, light: str) -> None:
    x, y = canvas.rng.uniform((12, 10), (88, 24))
    if light == "night":
        canvas.dots("#fdf6d8", 40, 0, 55, 0.2, 0.6, 0.9)
    suns = {"night": (y, 6, "#f6efc8"), "sunset": (46, 11, "#ffe08a"), "day": (y, 7, "#ffe27a")}
    for scale, alpha in ((2.6, 0.10), (1.9, 0.14), (1.4, 0.22), (1.0, 1.0)):
        row, radius, ink = suns.get(light, (y, 0, "#ffffff"))
        canvas.oval(ink, x, row, (radius * scale, radius * scale), alpha)
    n_clouds = 0 if light == "night" else 3
    for left, top, size in canvas.rng.uniform((5, 8, 5), (95, 34, 9), (n_clouds, 3)):
        ink = {"rain": "#a3acb5", "sunset": "#f7c5a5"}.get(light, "#ffffff")
        for dx, dy, r in ((-1.2, 0.2, 0.7), (0, -0.2, 1.0), (1.2, 0.15, 0.75), (0, 0.35, 0.8)):
            radii = (size * r * 1.3, size * r * 0.7)
            canvas.oval(ink, left + dx * size, top + dy * size, radii, 0.85)
    canvas.tint = _TINTS[light]


def _lay_ground(canvas: _Canvas, setting: str) -> None:
    pick = int(canvas.rng.integers(60))  # one pick for all layers: a cloth has one colour
    for layer in _GROUNDS[setting].split("|"):
        verb, *words = layer.split()
        inks = [word for word in words if word[0] == "#"]
        numbers = [float(word) for word in words if word[0] != "#"]
        getattr(canvas, verb)(inks[pick % len(inks)], *numbers)


def _place(canvas: _Canvas, item: Item, where: Point, *, floats: bool) -> None:
    (x, size), flies, rng = where, item.kind in FLYING, canvas.rng
    low, high = (size + 3, 64) if flies else (size + 5, 90) if floats else (80, 95)
    foot, side = rng.uniform(low, max(low, high)), rng.choice((-1, 1))
    tilt = math.radians(rng.uniform(-1, 1) * (10 if flies or floats else 2.5))
    if not (flies or floats):
        canvas.oval("#1c2233", x, foot, (size * 0.48, size * 0.05), 0.22)
    cos, sin = math.cos(tilt) * size / 100, math.sin(tilt) * size / 100
    shades = {"A": ("#000000", 0.0), "A-": ("#1d2440", 0.22), "A+": ("#fff6dd", 0.28)}
    for verb, ink, width, points in _shapes(item.kind):
        at = [(x + side * u * cos + v * sin, foot - v * cos + side * u * sin) for u, v in points]
        colour = _mix(COLOURS[item.colour], *shades[ink]) if ink in shades else _INKS[ink]
        canvas.line(at, colour, width * size / 100) if verb == "l" else canvas.fill(at, colour)


@cache
def _shapes(kind: str) -> list[tuple[str, str, float, list[Point]]]:
    shapes = []
    for shape in _SPRITES[kind].split("|"):
        verb, ink, *words = shape.split()
        width = float(words.pop(0)) if verb == "l" else 0.0
        points: list[Point] = [(float(x), float(y)) for x, y in (w.split(",") for w in words)]
        shapes.append((verb, ink, width, _ellipse(*points) if verb == "c" else points))
    return shapes
