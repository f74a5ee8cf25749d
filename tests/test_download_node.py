"""The node that downloads, in a running host."""

import json

import pytest
from bad_server import BadServer
from running_host import error_of
from test_downloads import write_table

pytestmark = [pytest.mark.host, pytest.mark.slow]


def graph(host, server, **values):
    inputs = host.defaults("ScoftDownloadDataset") | {"table": "links.csv", "name": "korea"}
    inputs |= {"trust_host": server.host, "host_delay": 0.0, "tries": 1, **values}
    return {
        "1": {"class_type": "ScoftDownloadDataset", "inputs": inputs},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 1]}},
    }


def test_a_table_of_the_input_folder_becomes_a_dataset_there(host):
    with BadServer() as server:
        links = [server.url(path) for path in ("good/a", "gone/404", "gone/500")]
        (host.folder / "input").mkdir(exist_ok=True)
        write_table(host.folder / "input" / "links.csv", links)
        ended = host.wait(host.queue(graph(host, server)))
        assert ended["status"]["status_str"] == "success", ended["status"]
        summary = json.dumps(ended["outputs"]["2"])
        assert "1 of 3 rows have their picture" in summary
        assert "row 3: dead" in summary
        assert ended["outputs"]["1"]["scoft"][0]["dataset"]
        server.requests.clear()
        host.wait(host.queue(graph(host, server)))
        assert server.requests == ["/robots.txt", "/gone/500"]
        listed = host.get("/object_info/ScoftLoadDataset")["ScoftLoadDataset"]["input"]
        assert "korea" in json.dumps(listed)
        refused = host.wait(host.queue(graph(host, server, name="../korea")))
        assert "is no folder's name" in error_of(refused)
