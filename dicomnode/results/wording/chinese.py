"""Chinese (simplified)."""

from __future__ import annotations

from dicomnode.results.wording.wording import Wording

WORDING = Wording(
    language="zh",
    present="存在",
    absent="不存在",
    undetermined="不确定",
    probability="概率 {percent}",
    uncalibrated_score="未校准分数 {percent}",
    at_or_above="达到或高于工作点 {percent}",
    below="低于工作点 {percent}",
    in_grey_zone="处于工作点 {percent} 的灰区",
    no_finding="没有任何征象达到其工作点。",
    by="人工智能({algorithm}): {sentence}",
    suggests="人工智能({algorithm})提示:",
    undetermined_names="不确定: {names}。",
    below_is_not_absent="结果低于工作点并不能证明该征象不存在。",
    disclaimer=(
        "人工智能自动结果, 未经医师审核。",
        "仅供研究使用 (Research use only), 不得用于首要诊断。",
    ),
    not_analysed="未分析: {reason}",
    no_opinion="人工智能({algorithm})未对本检查给出意见; 这不是阴性结果。",
    images_not_analysed="{total} 幅图像中有 {count} 幅未分析: {reason}",
    series_read="已分析: {title}, {n_slices} 层中的 {n_read} 层。",
    in_slices="层面 {numbers}, 最显著为第 {top} 层",
    replaces="本报告替代本检查较早的人工智能报告。",
    algorithm="算法: {algorithm}。",
    intended_use="预期用途: {use}",
    bundle="模型包 (SHA-256): {digest}",
    image_view="投照体位",
    stop="。",
    comma="、",
)
