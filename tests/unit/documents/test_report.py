"""What becomes of samples."""

from tests.documents.report import Report, summary
from tests.documents.samples import samples_of

DOCUMENT = "# Bread\n```bash\nserve\n```\n```bash\ncurl\n```\n```json\n{}\n```\n"


def test_samples_pass_differ_or_start_their_server() -> None:
    serve, curl, answer = samples_of("bread.md", DOCUMENT)
    report = Report([serve, curl, answer])
    report.leave_out(serve, "their own")
    report.use(curl, "run by bash")
    report.use(answer, "answer")
    report.differ(answer, "id is missing")
    words, is_well = summary([report])
    assert words == "3 samples: 1 passed, 1 differ, 1 start their server and are not run; 0 checks broke off"
    assert not is_well
    lines = [line for result in report.results() for line in result.lines()]
    assert lines[0].startswith("bread.md:2")
    assert "not run" in lines[0]
    assert any("id is missing" in line for line in lines)


def test_a_sample_that_no_check_used_differs_and_is_named() -> None:
    report = Report(samples_of("bread.md", DOCUMENT))
    words, is_well = summary([report])
    assert words.startswith("3 samples: 0 passed, 3 differ")
    assert not is_well
    (line,) = [line for line in report.results()[2].lines() if "≠" in line]
    assert "no check has used it: json below 'Bread'" in line


def test_a_check_that_broke_off_is_a_failure() -> None:
    report = Report([])
    report.failures.append("no sample 1 below 'Bake'")
    assert not summary([report])[1]


def test_a_document_that_is_as_it_should_be_is_well() -> None:
    samples = samples_of("bread.md", DOCUMENT)
    report = Report(samples)
    for sample in samples:
        report.use(sample, "used")
    assert summary([report])[1]
