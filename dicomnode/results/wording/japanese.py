"""Japanese."""

from __future__ import annotations

from dicomnode.results.wording.wording import Wording

WORDING = Wording(
    language="ja",
    present="あり",
    absent="なし",
    undetermined="判定不能",
    probability="確率 {percent}",
    uncalibrated_score="未較正スコア {percent}",
    at_or_above="動作点 {percent} 以上",
    below="動作点 {percent} 未満",
    in_grey_zone="動作点 {percent} のグレーゾーン内",
    no_finding="動作点に達した所見はありません。",
    by="AI ({algorithm}): {sentence}",
    suggests="AI ({algorithm}) は次の所見を示唆します:",
    undetermined_names="判定不能: {names}。",
    below_is_not_absent="動作点未満の結果は、所見がないことを証明するものではありません。",
    disclaimer=(
        "AIによる自動結果であり、医師による確認を受けていません。",
        "研究目的のみ (Research use only)。一次診断に使用しないでください。",
    ),
    not_analysed="未解析: {reason}",
    no_opinion="AI ({algorithm}) はこの検査について判断していません。"
    "これは陰性の結果ではありません。",
    images_not_analysed="{total} 画像中 {count} 画像は未解析: {reason}",
    series_read="解析済み: {title}, {n_slices} スライス中 {n_read} スライス。",
    in_slices="スライス {numbers}, 最も強いのはスライス {top}",
    replaces="この報告書は、この検査に関する以前のAI報告書に代わるものです。",
    algorithm="アルゴリズム: {algorithm}。",
    intended_use="使用目的: {use}",
    bundle="バンドル (SHA-256): {digest}",
    image_view="撮影方向",
    stop="。",
    comma="、",
)
