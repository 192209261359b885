"""The report stage hands over what there is: of each part its own, of all parts one table."""

from __future__ import annotations

import pickle

from counterpoise.pipelines.fairness_report.pipeline import create_pipeline

PARTS = {"99.0%": "990", "99.5%": "995"}
SHARED = {"raw", "samples", "splits", "data_summary", "params:dataset"}
DIVIDED = {"pretrained", "predictions", "repairs", "curves", "pruned_layers", "mask_agreement", "costs", "explanations"}


class TestPipeline:
    def test_the_tables_of_the_parts_are_joined_and_the_rest_is_handed_over(self) -> None:
        pipeline = create_pipeline(SHARED, DIVIDED, parts=PARTS)
        nodes = {node.name: node for node in pipeline.nodes}
        assert {name for name in nodes if name.startswith("join_")} == {
            f"join_{kind}"
            for kind in ("metrics", "predictions", "repairs", "curves", "pruned_layers", "mask_agreement", "costs")
        }
        report = nodes["write_report"]
        assert {"990__explanations", "995__explanations", "repairs", "data_summary"} <= set(report.inputs)
        assert {"figure_explanations", "figure_curves", "figure_pruned"} <= set(report.outputs)
        assert not {"figure_plane", "figure_agreement", "figure_performance"} & set(report.outputs)

    def test_an_objective_adds_its_sections(self) -> None:
        judged = create_pipeline({*SHARED, "params:objective"}, DIVIDED - {"explanations"})
        outputs = judged.all_outputs()
        assert {"figure_plane", "figure_agreement", "figure_critic"} <= outputs
        assert not {"figure_accuracy", "figure_explanations"} & outputs

    def test_parts_with_data_of_their_own_have_one_description(self) -> None:
        pipeline = create_pipeline({"params:dataset"}, {*DIVIDED, "data_summary", "samples", "splits"}, parts=PARTS)
        assert "data_summary" in pipeline.outputs() | pipeline.all_outputs()
        assert {f"{key}__data_summary" for key in PARTS.values()} <= pipeline.inputs()


def test_the_report_may_be_written_in_another_process() -> None:
    """As Kedro's ParallelRunner asks of every node."""
    (report,) = (node for node in create_pipeline(SHARED, DIVIDED).nodes if node.name == "write_report")
    writer = pickle.loads(pickle.dumps(report.func)).__self__
    assert [one.name for one in writer.producers if one.is_figure] == [
        name.removeprefix("figure_") for name in report.outputs if name.startswith("figure_")
    ]
