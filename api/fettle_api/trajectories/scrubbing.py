"""Takes secrets and e-mail addresses out of texts, and counts them. Pure.

It knows forms of secrets, so it finds what has one: prefixes of well-known services, keys, tokens, `name=value`. Every
pattern is linear in the text: a run of characters is entered at its beginning only, and repetitions are bounded.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from fettle_api.errors import BodyError
from fettle_api.web.body import parse_json

SECRET = "[SECRET]"  # noqa: S105 - what stands for one
EMAIL = "[EMAIL]"

_WORD = r"(?<![A-Za-z0-9_-])"
_WITH_DIGIT = r"(?=[A-Za-z_.-]{0,4096}[0-9])"
_NAMES = (
    r"(?:(?:api|access|private|secret|signing)[_-]?keys?|(?:access|auth|bearer|refresh|session)?[_-]?tokens?"
    r"|(?:client[_-]?)?secrets?|password|passwd|passphrase|pwd|credentials?)"
)
_PREFIXES = (
    r"(?:sk-|[srp]k_(?:live|test)_|gh[oprsu]_|github_pat_|glpat-|hf_|xox[a-z]-|npm_|pypi-|AIza|ya29\.|SG\.|shpat_"
    r"|dop_v1_|gsk_|r8_|wandb_)"
)


@dataclass(frozen=True)
class _Form:
    """One form of secrets."""

    signs: tuple[str, ...]
    """One of these is in every text that holds it, in lower case: looking for them is quick."""
    pattern: re.Pattern[str]
    replacement: str = SECRET


_FORMS = (
    _Form(
        ("-----begin ",),
        re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)", re.S),
    ),
    _Form(
        ("://",),
        re.compile(r"\b([a-zA-Z][a-zA-Z0-9+.-]{1,20}://)[^\s/@:\[]{0,256}:[^\s/@]{1,256}@"),
        rf"\1{SECRET}@",
    ),
    _Form(
        ("key", "token", "secret", "passw", "passphrase", "pwd", "credential"),
        re.compile(
            rf"(?<![A-Za-z0-9])({_NAMES}[\"']?\s{{0,3}}[:=]\s{{0,3}}[\"']?)"
            r"(?!\[)(?!(?:Bearer|null|none|true|false)\b)[^\s\"',;]{6,}",
            re.I,
        ),
        rf"\1{SECRET}",
    ),
    _Form(
        ("bearer ",),
        re.compile(r"\b(Bearer {1,4})(?=[A-Za-z._~+/=-]{0,4096}[0-9])[A-Za-z0-9._~+/=-]{12,}", re.I),
        rf"\1{SECRET}",
    ),
    _Form(("eyj",), re.compile(_WORD + r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}")),
    _Form(
        ("-", "_", "aiza", "."),
        re.compile(_WORD + _PREFIXES + rf"(?:{_WITH_DIGIT}[A-Za-z0-9_.-]{{9,}}[A-Za-z0-9]|[A-Za-z0-9]{{20,}})"),
    ),
    _Form(("akia", "asia"), re.compile(r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])")),
    _Form((":",), re.compile(r"(?<![A-Za-z0-9:])[0-9]{8,10}:[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])")),
    _Form((".",), re.compile(_WORD + r"[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}(?![\w-])")),
    _Form(("0x",), re.compile(r"(?<![A-Za-z0-9])0x[0-9a-fA-F]{64}(?![0-9a-fA-F])")),
)
_EMAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]{1,128}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")
_SECRET_KEY = re.compile(rf"(?:.*[_-])?(?:{_NAMES}|authorization|cookie)", re.I)
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Scrubber:
    """Scrubs one request, and counts."""

    def __init__(self) -> None:
        self.secret_count = 0
        self.email_count = 0

    def text(self, text: str) -> str:
        """The text without them, and without NUL, which no dataset can hold."""
        text = text.replace("\0", "")
        lowered = text.lower()
        for form in _FORMS:
            if any(sign in lowered for sign in form.signs):
                text, count = form.pattern.subn(form.replacement, text)
                self.secret_count += count
        if "@" in text:
            text, count = _EMAIL.subn(EMAIL, text)
            self.email_count += count
        return text

    def value(self, value: Any) -> Any:
        """The same for all texts of a JSON value; what a name says is secret goes, whatever it looks like."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return {self.text(key): self._named(key, item) for key, item in value.items()}
        return value

    def json_text(self, text: str) -> str:
        """The same inside a text that is JSON, if it is."""
        try:
            value = parse_json(text.encode())
        except BodyError:
            return self.text(text)
        return json.dumps(self.value(value), ensure_ascii=False)

    def _named(self, key: str, item: Any) -> Any:
        if isinstance(item, str) and item and _SECRET_KEY.fullmatch(_HUMP.sub("_", key[:128])):
            self.secret_count += 1
            return SECRET
        return self.value(item)
