"""What runs with `helm test`, and at the end of `helm uninstall`."""

import pytest

from fettle_schema.manifests import load_manifests
from fettle_schema.validation import admit
from tests.unit.chart.conftest import Render
from tests.unit.chart.manifests import container, of_kind

pytestmark = pytest.mark.cluster


def test_uninstalling_lets_go_of_the_adapters_that_were_watched(render: Render) -> None:
    for values, options in (((), []), (('watchNamespaces=["one","two"]',), ["--namespace=one", "--namespace=two"])):
        [job] = of_kind(render(*values), "Job")
        assert job["metadata"]["annotations"]["helm.sh/hook"] == "post-delete", "when no operator is left"
        assert container(job)["command"] == ["python", "-m", "fettle_client.finalizers", *options]


def test_what_takes_the_crds_along_has_adapters_unloaded_before(render: Render) -> None:
    """The deletion of the CRD waits for each Adapter, and the operator is gone by then."""
    [job] = of_kind(render("crds.keep=false"), "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete", "while the operator can still unload"
    assert container(job)["command"] == ["python", "-m", "fettle_client.finalizers", "--unload-within=90"]
    [other] = of_kind(render("crds.keep=false", "crds.enabled=false"), "Job")
    assert other["metadata"]["annotations"]["helm.sh/hook"] == "post-delete", "the CRDs are another release's"


def test_the_test_is_left_out_where_no_job_is_run(render: Render) -> None:
    assert of_kind(render('watchNamespaces=["elsewhere"]'), "Pod") == []
    assert len(of_kind(render('watchNamespaces=["elsewhere","demo"]'), "Pod")) == 1


def test_the_tests_job_is_a_job(render: Render) -> None:
    [config_map] = of_kind(render('imagePullSecrets=[{"name": "pull"}]'), "ConfigMap")
    [job] = load_manifests(config_map["data"]["job.yaml"])
    spec = admit(job)["spec"]
    assert spec["hyperparameters"]["maxSteps"] == 5
    assert spec["resources"]["gpusPerNode"] == 0
    [trial] = of_kind(render(), "Pod")
    [init] = trial["spec"]["initContainers"]
    assert f"models/{init['command'][-1]}" == spec["baseModel"]["path"]
