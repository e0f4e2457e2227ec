"""The columns of the audit table: names, order, and what each means.

This is the one place they are defined; docs/audit-csv.md is generated from it.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "integer", "number", "numbers", "flag"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of audit.csv.

    Attributes:
        name: Header of the column.
        kind: Type of the values; empty cells mean "does not apply".
        range: Possible values, in words or as an interval.
        bad: Which end speaks for a mismatch: "high", "low" or "".
        meaning: One sentence.
        source: Paper or method, or "".
    """

    name: str
    kind: Kind
    range: str
    bad: str
    meaning: str
    source: str = ""


PAIR_COLUMNS = (
    Column("shard", "text", "path", "", "Shard under the common root, without `.tar`."),
    Column("key", "text", "key", "", "Sample key: member path up to the first dot."),
    Column("caption_index", "integer", "0, 1, ...", "", "Position among the sample's captions."),
    Column("status", "text", "`scored` or a reason", "", "`scored`, or why it could not be."),
    Column("verdict", "text", "`keep` `review` `rematch` `drop`", "", "What the audit suggests."),
    Column(
        "p_mismatch",
        "number",
        "[0, 1]",
        "high",
        "Calibrated probability that image and caption do not belong together.",
    ),
    Column("p_low", "number", "[0, 1]", "high", "10 % end of the interval of `p_mismatch`."),
    Column("p_high", "number", "[0, 1]", "high", "90 % end of the interval of `p_mismatch`."),
    Column("reasons", "text", "`;`-joined codes", "", "Signals that decided."),
    Column("caption", "text", "text", "", "Caption; made safe for spreadsheets in the CSV."),
)

SIGNAL_COLUMNS = (
    Column(
        "similarity",
        "number",
        "[-1, 1]",
        "low",
        "Cosine of image and caption in the matching space.",
        "Ridge CCA or a shared orthogonal map, refined by ACL",
    ),
    Column(
        "neg_clip_loss",
        "number",
        "(-inf, 0]",
        "low",
        "Similarity less what the pair's image and caption have with a reference bank.",
        "Wang et al. 2024 (negCLIPLoss)",
    ),
    Column(
        "srem_energy_i2t",
        "number",
        "[-1 - tau ln B, 1 - tau ln B]",
        "high",
        "Free energy of the image's similarities to its caption and a bank of captions.",
        "SREM-style (Dang et al., AAAI 2024)",
    ),
    Column(
        "srem_energy_t2i",
        "number",
        "[-1 - tau ln B, 1 - tau ln B]",
        "high",
        "Free energy of the caption's similarities to its image and a bank of images.",
        "SREM-style (Dang et al., AAAI 2024)",
    ),
    Column(
        "srem_uncertainty",
        "number",
        "[-1 - tau ln B, 1 - tau ln B]",
        "high",
        "Mean of the two energies.",
        "SREM-style (Dang et al., AAAI 2024)",
    ),
    Column(
        "srem_swapped_entropy",
        "number",
        "[0, inf)",
        "high",
        "Cross entropy between the two directions' match distributions.",
        "SREM-style (Dang et al., AAAI 2024)",
    ),
    Column(
        "mscn_similarity",
        "number",
        "[0, 1]",
        "low",
        "Similarity of the meta-corrected matching network.",
        "MSCN (Han et al., CVPR 2023)",
    ),
    Column(
        "mscn_clean_posterior",
        "number",
        "[0, 1]",
        "low",
        "Posterior of the clean component of a Beta mixture over `mscn_similarity`.",
        "MSCN (Han et al., CVPR 2023)",
    ),
    Column(
        "crcl_label",
        "number",
        "[0, 1]",
        "low",
        "Self-refined correspondence label after training; 0 is given up.",
        "CRCL (Qin et al., NeurIPS 2023)",
    ),
    Column(
        "crcl_match_probability",
        "number",
        "[0, 1]",
        "low",
        "Mean of both directions' softmax at the pair, against the reference banks.",
        "CRCL (Qin et al., NeurIPS 2023)",
    ),
    Column(
        "neighbour_discrepancy",
        "number",
        "real",
        "high",
        "Distance of the pair plus how little its neighbours agree with it.",
        "LEMoN (Zhang et al., ICML 2025)",
    ),
)

PROPOSAL_COLUMNS = (
    Column("rematch_shard", "text", "path", "", "Shard of the proposed caption's sample."),
    Column("rematch_key", "text", "key", "", "Key of the proposed caption's sample."),
    Column("rematch_caption", "text", "text", "", "Proposed caption."),
    Column("rematch_similarity", "number", "[-1, 1]", "low", "Similarity with that caption."),
    Column("rematch_confidence", "number", "[0, 1]", "low", "Chance that the proposal is right."),
    Column("rematch_p_mismatch", "number", "[0, 1]", "high", "`p_mismatch` of the proposed pair."),
    Column(
        "rematch_mutual", "flag", "true, false", "", "Both are each other's nearest candidate."
    ),
)

AUDIT_COLUMNS = PAIR_COLUMNS + SIGNAL_COLUMNS + PROPOSAL_COLUMNS
SIGNAL_NAMES = tuple(column.name for column in SIGNAL_COLUMNS)

# Only in scores/*.parquet: what programs need and people rarely look at.
PART_COLUMNS = (
    Column("sample_index", "integer", "0, 1, ...", "", "Position of the sample in its shard."),
    Column("detail", "text", "text", "", "More about a reject reason."),
    Column("uid", "text", "hex", "", "`uid` of the sample's JSON, as DataComp has it."),
    Column("url", "text", "URL", "", "`url` of the sample's JSON; never opened."),
    Column("image_width", "integer", "pixels", "", "Width of the stored image."),
    Column("image_height", "integer", "pixels", "", "Height of the stored image."),
    Column("image_digest", "text", "hex", "", "First 16 hex digits of the image file's sha256."),
    Column("rematch_caption_index", "integer", "0, 1, ...", "", "Position of that caption there."),
    Column("rematch_sample_index", "integer", "0, 1, ...", "", "Position of that sample there."),
    Column(
        "rematch_alternatives",
        "text",
        "JSON list",
        "",
        "Up to three captions next in line: shard, key, caption_index, similarity.",
    ),
    Column("in_fit", "flag", "true, false", "", "The pair was among those the model saw."),
    Column(
        "crcl_label_history",
        "numbers",
        "[0, 1] each",
        "low",
        "`crcl_label` after each epoch of training, the last one last.",
    ),
)
