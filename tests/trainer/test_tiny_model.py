"""What tries an installation: a model and a dataset that the trainer's image makes by itself."""

from pathlib import Path

from fettle_trainer.tiny_model import main


def test_the_command_fills_a_workspace_and_may_be_repeated(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    for _ in range(2):
        main([str(tmp_path), "trial"])
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "models/trial")
    assert sum(weight.numel() for weight in model.parameters()) < 50_000
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "models/trial")
    assert tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False).startswith("<|im_start|>")
    assert len((tmp_path / "datasets/trial/train.jsonl").read_text().splitlines()) == 48
