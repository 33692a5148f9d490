"""`spec` of a TrainingJob: what the user asks for. FIELDS.md tells where each field comes from."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from fettle_schema.base import (
    HubId,
    Model,
    ResourceName,
    Revision,
    ShortText,
    Text,
    WorkspacePath,
)


class Method(StrEnum):
    """How the model is trained, or what else the trainer does with it."""

    SFT = "sft"
    DPO = "dpo"
    ORPO = "orpo"
    KTO = "kto"
    SIMPO = "simpo"
    CPO = "cpo"
    IPO = "ipo"
    MERGE = "merge"
    BENCHMARK = "benchmark"


class BaseModelSpec(Model):
    """The model that is trained on. Set exactly one of `id` and `path`."""

    id: HubId | None = None
    """Id on the Hugging Face hub; looked up in the workspace under `models/<id>` first."""
    revision: Revision | None = None
    """Branch, tag or commit of `id`. The commit that was used is in `status.resolved.baseModelRevision`."""
    path: WorkspacePath | None = None
    """Directory inside the workspace, for example `models/smollm2-135m`."""


class WorkspaceSource(Model):
    """A dataset file or directory inside the workspace."""

    path: WorkspacePath
    """For example `datasets/kubectl` or `uploads/train.jsonl`."""
    version: Annotated[str, Field(max_length=63, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] | None = None
    """Version below `path`; the newest if absent."""


class HubSource(Model):
    """A dataset on the Hugging Face hub."""

    id: HubId
    """For example `trl-lib/Capybara`."""
    config: ShortText | None = None
    """Name of the dataset's configuration, where it has several."""
    split: ShortText = "train"
    """Which split to train on."""
    revision: Revision | None = None
    """Branch, tag or commit."""


class InlineSource(Model):
    """A few examples in the manifest itself, to try a job without a file."""

    examples: Annotated[list[Annotated[str, Field(min_length=2, max_length=8192)]], Field(min_length=1, max_length=100)]
    """At most 100 examples, each one row as JSON text of at most 8 KiB, or a plain text."""


class DatasetSource(Model):
    """Where examples come from. Set exactly one field."""

    workspace: WorkspaceSource | None = None
    """A file or directory inside the workspace."""
    hugging_face: HubSource | None = None
    """A dataset on the Hugging Face hub."""
    inline: InlineSource | None = None
    """Examples written in the manifest."""


class DatasetFormat(StrEnum):
    """What a row holds. `auto` detects it from the columns."""

    AUTO = "auto"
    MESSAGES = "messages"
    PROMPT_COMPLETION = "prompt-completion"
    PREFERENCE = "preference"
    UNPAIRED_PREFERENCE = "unpaired-preference"
    TEXT = "text"
    ALPACA = "alpaca"
    SHAREGPT = "sharegpt"


TemplateText = Annotated[str, Field(max_length=2048)]


class CustomTemplate(Model):
    """Pieces of a chat template, in either spelling: prefixes and suffixes, or whole templates."""

    system_prefix: TemplateText | None = None
    """Before the system message."""
    system_suffix: TemplateText | None = None
    """After the system message."""
    user_prefix: TemplateText | None = None
    """Before a user message."""
    user_suffix: TemplateText | None = None
    """After a user message."""
    assistant_prefix: TemplateText | None = None
    """Before an assistant message."""
    assistant_suffix: TemplateText | None = None
    """After an assistant message."""
    prompt_template: TemplateText | None = None
    """The whole prompt, with `{system}` and `{prompt}`."""
    chosen_template: TemplateText | None = None
    """The chosen answer, with `{chosen}`."""
    rejected_template: TemplateText | None = None
    """The rejected answer, with `{rejected}`."""


class TemplateSpec(Model):
    """How messages become text."""

    name: Literal["tokenizer", "chatml", "llama3", "mistral", "qwen3", "custom"] = "tokenizer"
    """`tokenizer` is the chat template that the model brings."""
    thinking: bool | None = None
    """Qwen3 only: whether answers may think first."""
    custom: CustomTemplate | None = None
    """The pieces, when `name` is `custom`."""


class EvaluationSpec(Model):
    """Examples that are kept from training and measured. Set `fraction` or `source`, or neither."""

    fraction: Annotated[float, Field(ge=0, le=0.5)] | None = None
    """Share of the dataset that is held out; the split is stable under `hyperparameters.seed`."""
    source: DatasetSource | None = None
    """A dataset of its own."""


class DatasetSpec(Model):
    """What is trained on."""

    source: DatasetSource
    """Where the examples come from."""
    format: DatasetFormat = DatasetFormat.AUTO
    """What a row holds."""
    columns: Annotated[
        dict[Annotated[str, Field(max_length=128)], Annotated[str, Field(max_length=128)]],
        Field(max_length=32),
    ] = {}
    """Dataset column → the name that the format expects."""
    template: Annotated[TemplateSpec, Field(default_factory=TemplateSpec)]
    """How messages become text."""
    evaluation: EvaluationSpec | None = None
    """What is held out."""
    max_examples: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    """Use at most this many examples, after shuffling if `shuffle` is set."""
    shuffle: bool = True
    """Shuffle the examples once by `hyperparameters.seed` before training."""


class QuantizationSpec(Model):
    """How the frozen base model is stored in memory (bitsandbytes)."""

    bits: Literal[4, 8] = 4
    """4 or 8 bits for each weight."""
    type: Literal["nf4", "fp4"] = "nf4"
    """Data type of 4-bit weights."""
    double_quantization: bool = True
    """Quantize the scales too (4 bits only)."""
    compute_dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """What the weights are expanded to for a multiplication."""


ModuleName = Annotated[str, Field(min_length=1, max_length=128)]


class AdapterType(StrEnum):
    """Which weights are trained."""

    LORA = "lora"
    QLORA = "qlora"
    NONE = "none"


class AdapterParameters(Model):
    """Which weights are trained: a LoRA adapter, one over a quantized base, or all of them (`none`)."""

    type: AdapterType = AdapterType.LORA
    """`lora`, `qlora` (quantized base), or `none` for full fine-tuning."""
    rank: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Rank of the two factors. 16 if absent."""
    alpha: Annotated[float, Field(gt=0, le=4096)] | None = None
    """The adapter is scaled by alpha / rank. Twice the rank if absent."""
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Dropout before the first factor. 0.05 if absent."""
    target_modules: Annotated[list[ModuleName], Field(min_length=1, max_length=64)] | None = None
    """Names of linear layers, or the single item `all-linear` (the value if absent)."""
    modules_to_save: Annotated[list[ModuleName], Field(max_length=16)] | None = None
    """Modules that are trained whole and saved with the adapter."""
    bias: Literal["none", "all", "lora_only"] | None = None
    """Which biases are trained. `none` if absent."""
    use_dora: bool | None = None
    """Weight-decomposed LoRA."""
    use_rslora: bool | None = None
    """Scale by alpha / sqrt(rank)."""
    quantization: QuantizationSpec | None = None
    """For `qlora`; 4-bit nf4 with double quantization if absent."""


class Hyperparameters(Model):
    """What depends on method and adapter has no default here; `status.resolved.hyperparameters` shows what was used."""

    epochs: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Passes over the dataset. 3 if neither `epochs` nor `maxSteps` is set."""
    max_steps: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    """Optimizer steps; wins over `epochs`."""
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 4
    """Examples in one micro-batch of one process."""
    eval_batch_size: Annotated[int, Field(ge=1, le=4096)] | None = None
    """The same for evaluation; `batchSize` if absent."""
    gradient_accumulation_steps: Annotated[int, Field(ge=1, le=4096)] = 1
    """Micro-batches in one step."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] | None = None
    """Peak learning rate. Depends on method and adapter if absent."""
    learning_rate_multiplier: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Multiplies the learning rate that would be used by default; not together with `learningRate`."""
    optimizer: (
        Literal[
            "adamw_torch",
            "adamw_torch_fused",
            "adamw_8bit",
            "paged_adamw_8bit",
            "paged_adamw_32bit",
            "adafactor",
            "sgd",
        ]
        | None
    ) = None
    """Optimizer, as `transformers` names it. `adamw_torch` if absent."""
    scheduler: Literal["linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup"] = (
        "cosine"
    )
    """Learning-rate schedule."""
    warmup_ratio: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of all steps that warm up. 0.03 if neither this nor `warmupSteps` is set."""
    warmup_steps: Annotated[int, Field(ge=0, le=10_000_000)] | None = None
    """Steps that warm up; not together with `warmupRatio`."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Decoupled weight decay."""
    max_grad_norm: Annotated[float, Field(ge=0, le=1000)] = 1.0
    """Gradients are clipped to this norm; 0 clips nothing."""
    adam_beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay of the first moment."""
    adam_beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of the second moment."""
    adam_epsilon: Annotated[float, Field(gt=0, le=1)] = 1e-8
    """Added to the denominator."""
    max_length: Annotated[int, Field(ge=8, le=1_048_576)] | None = None
    """Longest example in tokens; longer ones are truncated. 1024 if absent."""
    max_prompt_length: Annotated[int, Field(ge=1, le=1_048_576)] | None = None
    """Longest prompt in tokens; preference methods only."""
    beta: Annotated[float, Field(gt=0, le=100)] | None = None
    """Strength of the preference loss; preference methods only."""
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] | None = None
    """Assumed share of wrong preferences; dpo and cpo only."""
    desirable_weight: Annotated[float, Field(gt=0, le=100)] | None = None
    """Weight of desirable examples; kto only."""
    undesirable_weight: Annotated[float, Field(gt=0, le=100)] | None = None
    """Weight of undesirable examples; kto only."""
    cpo_alpha: Annotated[float, Field(ge=0, le=100)] | None = None
    """Weight of the behaviour-cloning term; cpo and simpo only."""
    simpo_gamma: Annotated[float, Field(ge=0, le=100)] | None = None
    """Target margin; simpo only."""
    packing: bool | None = None
    """Put several examples into one sequence; sft only."""
    assistant_only_loss: bool | None = None
    """Loss on assistant messages only; sft only. On where the data allows, if absent."""
    gradient_checkpointing: bool | None = None
    """Recompute activations to save memory. On when a GPU is used, if absent."""
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    """`auto` is bf16 where the hardware has it."""
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"] = "auto"
    """Attention implementation."""
    logging_steps: Annotated[int, Field(ge=1, le=100_000)] = 1
    """Steps between two reports."""
    evaluation_steps: Annotated[float, Field(gt=0, le=10_000_000)] | None = None
    """Steps between two evaluations, or a share of all steps if below 1. Each epoch if absent."""
    neftune_noise_alpha: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Noise on the embeddings; sft only."""
    seed: Annotated[int, Field(ge=0, le=4_294_967_295)] = 42
    """Seed of everything random."""


class StartFrom(Model):
    """Start from another job's checkpoint or from an Adapter. Set exactly one of `trainingJob` and `adapter`."""

    training_job: ResourceName | None = None
    """Name of a TrainingJob in the same namespace."""
    checkpoint: Annotated[str, Field(pattern=r"^(latest|checkpoint-[0-9]{1,9})$", max_length=20)] | None = None
    """`latest` (the value if absent) or `checkpoint-<step>`, of `trainingJob`."""
    adapter: ResourceName | None = None
    """Name of an Adapter in the same namespace."""


class PushSpec(Model):
    """Upload the result to a repository of the Hugging Face hub."""

    repository: HubId
    """Repository, for example `acme/kubectl-helper`."""
    private: bool = True
    """Create it private."""
    merged: bool = False
    """Push the merged model instead of the adapter."""


class OutputSpec(Model):
    """What becomes of the result."""

    adapter_name: ResourceName | None = None
    """Name of the Adapter; the job's name if absent."""
    on_conflict: Literal["fail", "newVersion"] = "fail"
    """What to do when that Adapter exists already and belongs to another job."""
    merge: bool = False
    """Also publish the merged model under `models/`."""
    push: PushSpec | None = None
    """Upload the result to a hub."""


Quantity = Annotated[str, Field(max_length=32, pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$")]


class ResourcesSpec(Model):
    """What each run needs."""

    gpus_per_node: Annotated[int, Field(ge=0, le=64)] = 1
    """GPUs of one pod; 0 trains on the CPU."""
    nodes: Annotated[int, Field(ge=1, le=64)] = 1
    """Pods of one run."""
    gpu_resource: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$")] = (
        "nvidia.com/gpu"
    )
    """Extended resource that a GPU is."""
    cpu: Quantity | None = None
    """CPUs of one pod, for example `4`; the installation's default if absent."""
    memory: Quantity | None = None
    """Memory of one pod, for example `16Gi`; the installation's default if absent."""
    shared_memory: Quantity | None = None
    """Size of /dev/shm; 1Gi for each GPU if absent."""


class EnvironmentVariable(Model):
    """One variable of the trainer's environment. Secrets belong into `credentials.secretName`."""

    name: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    """Name of the variable."""
    value: Text = ""
    """Its value."""


class Toleration(Model):
    """A toleration, as in a pod."""

    key: ShortText | None = None
    """Taint key; empty matches all."""
    operator: Literal["Exists", "Equal"] | None = None
    """`Equal` if absent."""
    value: ShortText | None = None
    """Taint value."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Taint effect; empty matches all."""
    toleration_seconds: int | None = None
    """How long a NoExecute taint is tolerated."""


class LocalObjectReference(Model):
    """A Secret in the same namespace."""

    name: ShortText
    """Name of the Secret."""


class RuntimeSpec(Model):
    """How the pod is made. Everything is optional; the installation has defaults."""

    image: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """Trainer image."""
    command: Annotated[list[Text], Field(min_length=1, max_length=64)] | None = None
    """Replaces the command of the image; `/etc/fettle/run.json` is given as its last argument."""
    env: Annotated[
        list[EnvironmentVariable],
        Field(
            max_length=64,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = []
    """Further environment variables, none of them secret."""
    node_selector: Annotated[dict[Annotated[str, Field(max_length=317)], ShortText], Field(max_length=32)] | None = None
    """Labels that the node must have."""
    tolerations: Annotated[list[Toleration], Field(max_length=32)] | None = None
    """Taints that are tolerated."""
    affinity: dict[str, Any] | None = None
    """Affinity, as in a pod."""
    runtime_class_name: ShortText | None = None
    """RuntimeClass, for example `nvidia`."""
    priority_class_name: ShortText | None = None
    """PriorityClass of the pods."""
    image_pull_secrets: Annotated[list[LocalObjectReference], Field(max_length=8)] | None = None
    """Secrets to pull the image with."""
    termination_grace_period_seconds: Annotated[int, Field(ge=5, le=86400)] | None = None
    """Time for a last checkpoint; the installation's default if absent."""


class SchedulingSpec(Model):
    """When the job may start."""

    queue: ResourceName = "default"
    """Queue of the installation."""
    priority: Literal["low", "normal", "high"] = "normal"
    """Order within the queue. May be changed while the job waits."""
    kueue_queue: Annotated[str, Field(max_length=253)] | None = None
    """LocalQueue of Kueue; the queues of the installation are then skipped."""


class CheckpointSpec(Model):
    """When training state is saved."""

    every_steps: Annotated[int, Field(ge=1, le=10_000_000)] = 50
    """Steps between two checkpoints."""
    keep_last: Annotated[int, Field(ge=1, le=10)] = 2
    """How many are kept."""
    on_termination: bool = True
    """Save one when the run is asked to stop."""


class LimitsSpec(Model):
    """How long and how often. May be changed while the job lives."""

    max_retries: Annotated[int, Field(ge=0, le=100)] = 3
    """Further attempts after failures that may pass; preemptions do not count."""
    active_deadline_seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = None
    """The job fails after running this long in all."""
    pending_deadline_seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = None
    """The job fails after waiting this long to start."""
    startup_timeout_seconds: Annotated[int, Field(ge=1, le=604_800)] = 3600
    """A run is restarted when its first step takes longer."""
    stall_timeout_seconds: Annotated[int, Field(ge=1, le=604_800)] = 900
    """A run is restarted when it makes no progress for this long."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=31_536_000)] | None = None
    """The finished job is deleted after this time; its Adapter stays."""


class WandbSpec(Model):
    """Weights & Biases. The key comes from `credentials.secretName`."""

    project: ShortText
    """Project."""
    entity: ShortText | None = None
    """User or team."""
    run_name: ShortText | None = None
    """Name of the run; the job's name if absent."""
    tags: Annotated[list[ShortText], Field(max_length=32)] = []
    """Tags of the run."""
    notes: Text | None = None
    """Notes of the run."""


class MlflowSpec(Model):
    """MLflow. The server is given by MLFLOW_TRACKING_URI in `runtime.env` or the credentials."""

    experiment: ShortText
    """Experiment."""
    run_name: ShortText | None = None
    """Name of the run; the job's name if absent."""


class TrackingSpec(Model):
    """Where metrics are sent besides the workspace."""

    wandb: WandbSpec | None = None
    """Weights & Biases."""
    mlflow: MlflowSpec | None = None
    """MLflow."""
    tensorboard: bool = False
    """Write TensorBoard files into the job's directory."""


class CredentialsSpec(Model):
    """Secrets of the run, which only the kubelet reads."""

    secret_name: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """Secret in the same namespace with keys such as HF_TOKEN and WANDB_API_KEY."""


class WebhookSpec(Model):
    """A call when the job has ended."""

    url: Annotated[str, Field(min_length=8, max_length=2048, pattern=r"^https?://")]
    """Where to."""
    format: Literal["standard", "cluster"] = "standard"
    """`standard` is signed as Standard Webhooks; `cluster` is the body of that REST dialect."""


class TrainingJobSpec(Model):
    """One fine-tuning job. All of it is immutable but `suspend`, `cancel`, `scheduling.priority` and `limits`."""

    method: Method = Method.SFT
    """How the model is trained."""
    base_model: BaseModelSpec
    """The model that is trained on."""
    dataset: DatasetSpec | None = None
    """What is trained on; required but for `merge`."""
    adapter: Annotated[AdapterParameters, Field(default_factory=AdapterParameters)]
    """Which weights are trained."""
    hyperparameters: Annotated[Hyperparameters, Field(default_factory=Hyperparameters)]
    """How they are trained."""
    start_from: StartFrom | None = None
    """Start from another job's checkpoint or from an Adapter."""
    output: Annotated[OutputSpec, Field(default_factory=OutputSpec)]
    """What becomes of the result."""
    resources: Annotated[ResourcesSpec, Field(default_factory=ResourcesSpec)]
    """What each run needs."""
    runtime: Annotated[RuntimeSpec, Field(default_factory=RuntimeSpec)]
    """How the pod is made."""
    scheduling: Annotated[SchedulingSpec, Field(default_factory=SchedulingSpec)]
    """When the job may start."""
    checkpoint: Annotated[CheckpointSpec, Field(default_factory=CheckpointSpec)]
    """When training state is saved."""
    limits: Annotated[LimitsSpec, Field(default_factory=LimitsSpec)]
    """How long and how often."""
    tracking: Annotated[TrackingSpec, Field(default_factory=TrackingSpec)]
    """Where metrics are sent besides the workspace."""
    credentials: Annotated[CredentialsSpec, Field(default_factory=CredentialsSpec)]
    """Secrets of the run."""
    preflight: Literal["auto", "always", "skip"] = "auto"
    """Check dataset, model and memory before GPUs are claimed; `auto` does when GPUs are asked for."""
    webhook: WebhookSpec | None = None
    """A call when the job has ended."""
    suspend: bool = False
    """Save a checkpoint, free the GPUs and wait; set to false to continue."""
    cancel: bool = False
    """Stop for good. Cannot be taken back."""
