"""Samples of small invented documents."""

import pytest

from tests.documents.samples import REQUEST, DocumentError, NoSampleError, find, samples_of

DOCUMENT = """---
title: Bread
---
# Bread

## Bake

Some words.

```bash theme={null}
# one comment
curl http://localhost:1/bread
```

**Response:**

```json
{"id": 1}
```

### GET /bread/:id

**Endpoint:** `POST /bread/<id>/slice`

1. **Burnt**
   ```json
   {
     "error": "burnt"
   }
   ```

## Eat

```
http://localhost:1
```
"""


def test_blocks_come_in_order_with_place_headings_label_and_language() -> None:
    first, second, *_ = samples_of("bread.md", DOCUMENT)
    assert (first.place, first.heading, first.label, first.language) == ("bread.md:10", "Bake", "Some words.", "bash")
    assert first.text == "# one comment\ncurl http://localhost:1/bread\n"
    assert (second.headings, second.label, second.language) == (("Bread", "Bake"), "Response", "json")


def test_a_heading_or_an_endpoint_line_that_names_a_request_is_a_sample() -> None:
    requests = [sample for sample in samples_of("bread.md", DOCUMENT) if sample.language == REQUEST]
    assert [sample.text for sample in requests] == ["GET /bread/:id", "POST /bread/<id>/slice"]
    assert {sample.heading for sample in requests} == {"GET /bread/:id"}


def test_an_indented_block_loses_its_indent() -> None:
    burnt = find(samples_of("bread.md", DOCUMENT), "GET /bread/:id", "1. Burnt")
    assert burnt.text == '{\n  "error": "burnt"\n}\n'


def test_a_sibling_heading_ends_a_section() -> None:
    last = samples_of("bread.md", DOCUMENT)[-1]
    assert (last.headings, last.language) == (("Bread", "Eat"), "")


def test_a_sample_is_found_by_number_or_label() -> None:
    samples = samples_of("bread.md", DOCUMENT)
    assert find(samples, "Bake", 2) is find(samples, "Bake", "Response")


@pytest.mark.parametrize("which", [0, 3, "Request"])
def test_a_sample_that_is_not_there_is_named(which: int | str) -> None:
    with pytest.raises(NoSampleError, match="'Bake'"):
        find(samples_of("bread.md", DOCUMENT), "Bake", which)


def test_a_block_without_an_end_is_named() -> None:
    with pytest.raises(DocumentError, match=r"bread\.md:1"):
        samples_of("bread.md", "```json\n{}\n")
