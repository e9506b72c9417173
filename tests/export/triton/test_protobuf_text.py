"""What is written as protobuf's text format is what protobuf's own parser reads."""

from typing import Any

from google.protobuf import text_format
from hypothesis import example, given
from hypothesis import strategies as st
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInput, ModelParameter

from capsedge.export.triton.protobuf_text import Symbol, protobuf_text

texts = st.text(st.characters(exclude_categories=["Cs"]))  # a lone surrogate is no character, and has no UTF-8
int32s = st.integers(-(2**31), 2**31 - 1)
int64s = st.integers(-(2**63), 2**63 - 1)
inputs = st.lists(
    st.fixed_dictionaries(
        {
            "name": texts,
            "data_type": st.sampled_from(["TYPE_UINT8", "TYPE_FP32", "TYPE_BF16"]),
            "dims": st.lists(int64s),
            "optional": st.booleans(),
        }
    )
)


def read(text: str) -> Any:
    return text_format.Parse(text, ModelConfig())


@given(name=texts, max_batch_size=int32s, inputs=inputs, parameters=st.dictionaries(texts, texts))
@example(
    name='"\\', max_batch_size=0, inputs=[], parameters={"": "\\n", "\n": "'", "\x001": "\x7f9", "é靴🥾": "\u2028"}
)
def test_every_message_is_read_as_it_was_written(
    name: str, max_batch_size: int, inputs: list[dict[str, Any]], parameters: dict[str, str]
) -> None:
    text = protobuf_text(
        {
            "name": name,
            "max_batch_size": max_batch_size,
            "input": [each | {"data_type": Symbol(each["data_type"])} for each in inputs],
            "parameters": [{"key": key, "value": {"string_value": value}} for key, value in parameters.items()],
            "model_transaction_policy": {"decoupled": True},
        }
    )

    wanted: Any = ModelConfig(
        name=name,
        max_batch_size=max_batch_size,
        input=[ModelInput(**each) for each in inputs],
        parameters={key: ModelParameter(string_value=value) for key, value in parameters.items()},
    )
    wanted.model_transaction_policy.decoupled = True
    assert read(text) == wanted
    assert text.isascii()


def test_a_person_can_read_it() -> None:
    text = protobuf_text({"name": 'a "b"', "input": [{"dims": [28, 28, 1], "data_type": Symbol("TYPE_UINT8")}]})

    assert text == 'name: "a \\"b\\""\ninput {\n  dims: [28, 28, 1]\n  data_type: TYPE_UINT8\n}\n'


def test_a_message_without_fields_is_there_all_the_same() -> None:
    assert read(protobuf_text({"dynamic_batching": {}})).HasField("dynamic_batching")
