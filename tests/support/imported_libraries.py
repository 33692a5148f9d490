"""What trainings on the CPU import: loaded once by the process that `warm_training` copies."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

import bitsandbytes  # noqa: F401
import datasets  # noqa: F401
import peft  # noqa: F401
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM  # noqa: F401
from trl import DPOTrainer, KTOTrainer, SFTTrainer  # noqa: F401
from trl.experimental.cpo import CPOTrainer  # noqa: F401
from trl.experimental.orpo import ORPOTrainer  # noqa: F401

from fettle_trainer import run, training  # noqa: F401
