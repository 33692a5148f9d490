"""A client's request → the answers that the engine is asked to make. No HTTP."""

from dataclasses import dataclass, field
from typing import Any

from fettle_trainer.serve.errors import RequestError
from fettle_trainer.serve.requests import ChatRequest, CompletionRequest, GenerationParameters
from fettle_trainer.serve.sampling import SamplingParameters
from fettle_trainer.serve.sequences import SequenceRequest


@dataclass(frozen=True)
class Preparation:
    """What a model knows that a request needs."""

    tokenizer: Any
    max_length: int
    end_tokens: frozenset[int]
    default_sampling: dict[str, float] = field(default_factory=dict)

    def of_chat(self, request: ChatRequest) -> list[SequenceRequest]:
        """`n` answers to a conversation; RequestError names what is wrong."""
        messages = [message.for_template() for message in request.messages]
        prompt = self.conversation_tokens(messages, **request.chat_template_kwargs)
        return self._sequences([prompt], request, request.max_new_tokens, "messages")

    def of_completion(self, request: CompletionRequest) -> list[SequenceRequest]:
        """`n` continuations of each prompt; RequestError names what is wrong."""
        prompts = [self._text_tokens(prompt) if isinstance(prompt, str) else prompt for prompt in request.prompts]
        known = len(self.tokenizer)
        if any(not 0 <= token < known for prompt in prompts for token in prompt):
            raise RequestError(f"prompt: token ids must be at least 0 and less than {known}.", "prompt")
        return self._sequences(prompts, request, request.max_tokens, "prompt")

    def of_prompt(self, prompt: str, system: str | None, max_new_tokens: int, index: int) -> SequenceRequest:
        """A greedy answer to one text, as a conversation if the model has a template; shorter if there is no room."""
        messages = [{"role": "user", "content": prompt}]
        if system is not None:
            messages.insert(0, {"role": "system", "content": system})
        has_template = self.tokenizer.chat_template is not None
        tokens = self.conversation_tokens(messages) if has_template else self._text_tokens(prompt)
        room = self._allowed_tokens(len(tokens), None, f"prompts[{index}]")
        return SequenceRequest(
            prompt=tokens,
            max_new_tokens=min(max_new_tokens, room),
            parameters=SamplingParameters(temperature=0),
            end_tokens=self.end_tokens,
            index=index,
        )

    def conversation_tokens(self, messages: list[dict[str, str]], **options: Any) -> list[int]:
        """The prompt that the model's chat template makes of a conversation."""
        if self.tokenizer.chat_template is None:
            raise RequestError("The model has no chat template; use /v1/completions with a prompt instead.", "messages")
        reserved = sorted({"tokenize", "add_generation_prompt", "conversation", "return_dict"} & set(options))
        if reserved:
            raise RequestError(f"chat_template_kwargs: {reserved[0]!r} cannot be set.", "chat_template_kwargs")
        try:
            text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **options)
        except Exception as error:  # a template is a program of the model's author and raises what it likes
            raise RequestError(
                f"The model's chat template refuses the messages: {str(error)[:300]}", "messages"
            ) from error
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _text_tokens(self, text: str) -> list[int]:
        return list(self.tokenizer(text)["input_ids"])

    def _sequences(
        self, prompts: list[list[int]], request: GenerationParameters, max_new_tokens: int | None, param: str
    ) -> list[SequenceRequest]:
        parameters = self._parameters(request)
        ends = frozenset() if request.ignore_eos else self.end_tokens
        sequences: list[SequenceRequest] = []
        for prompt in prompts:
            allowed = self._allowed_tokens(len(prompt), max_new_tokens, param)
            for choice in range(request.n):
                sequences.append(
                    SequenceRequest(
                        prompt=prompt,
                        max_new_tokens=allowed,
                        parameters=parameters[choice],
                        stops=request.stops,
                        end_tokens=ends | frozenset(request.stop_token_ids),
                        index=len(sequences),
                        is_streamed=request.stream,
                    )
                )
        return sequences

    def _allowed_tokens(self, prompt_length: int, max_new_tokens: int | None, param: str) -> int:
        room = self.max_length - prompt_length
        if prompt_length == 0:
            raise RequestError(f"{param}: the prompt is empty; it needs at least one token.", param)
        if room < 1 or (max_new_tokens or 0) > room:
            asked = f" and max_tokens is {max_new_tokens}" if room >= 1 else ""
            raise RequestError(
                f"This model's maximum context length is {self.max_length} tokens. However, the prompt has "
                f"{prompt_length} tokens{asked}. Please shorten the prompt or lower max_tokens.",
                param if room < 1 else "max_tokens",
            )
        return max_new_tokens or room

    def _parameters(self, request: GenerationParameters) -> list[SamplingParameters]:
        """One for each choice: with a seed, each choice has its own."""
        names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
        given = {name: getattr(request, name) for name in names}
        chosen: dict[str, Any] = self.default_sampling | {name: got for name, got in given.items() if got is not None}
        return [
            SamplingParameters(
                frequency_penalty=request.frequency_penalty,
                presence_penalty=request.presence_penalty,
                seed=None if request.seed is None else _wrapped(request.seed + choice),
                **chosen,
            )
            for choice in range(request.n)
        ]


def _wrapped(seed: int) -> int:
    return seed if seed < 1 << 63 else seed - (1 << 64)
